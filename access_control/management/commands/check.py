"""``check``: Django's own, which also asks both databases whether one was restored from a backup."""

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import check
from django.db import connections

from access_control.checks import check_restored
from access_control.management.console import REFUSED


class Command(check.Command):
    """Exit status 1 also when a database was restored and nobody has accepted it. One out of reach is not asked."""

    def handle(self, *app_labels: Any, **options: Any) -> None:
        """Django's checks, then the restore guard's."""
        super().handle(*list(app_labels), **options)
        if options["list_tags"]:
            return
        if restored := check_restored(databases=list(connections)):
            raise CommandError(restored[0].msg, returncode=REFUSED)
