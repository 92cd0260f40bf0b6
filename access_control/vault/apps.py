"""The vault's Django app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class VaultConfig(AppConfig):
    """Keys and fences; lives in the database alias ``vault``."""

    name = "access_control.vault"
    label = "vault"
    verbose_name = _("vault")

    def ready(self) -> None:
        """Lay functions, triggers and privileges after every migrate of the vault."""
        from access_control.vault import sql

        post_migrate.connect(sql.lay_after_migrate, sender=self, dispatch_uid="vault.sql")
