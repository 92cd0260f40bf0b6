"""Who may, and who did."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class AccessControlConfig(AppConfig):
    """Persons, accounts, grants, approvals and the ledger."""

    name = "access_control"
    verbose_name = _("access control")

    def ready(self) -> None:
        """Register checks, and lay the console database's privileges and triggers after every migrate."""
        from access_control import checks, incidents, restore, sql
        from access_control.vault import consoles, ring

        checks.register_all()
        consoles.testimony = restore.testimony
        ring.note_broken = incidents.note_broken_seal
        post_migrate.connect(sql.lay_after_migrate, dispatch_uid="access_control.sql")
        post_migrate.connect(restore.note_at_set_up, dispatch_uid="access_control.restore")
