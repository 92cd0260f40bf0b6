"""``make_keyring``: the one time a keyring is made."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from access_control.vault import keyring
from access_control.vault.errors import KeyringError


class Command(BaseCommand):
    """Makes the keyring file, mode 600. An existing file is never touched."""

    help = "Make the keyring file of a new installation (mode 600). Refuses when it exists."

    def handle(self, *args: Any, **options: Any) -> None:
        """Make it, or say why not."""
        path = Path(settings.CONSOLE_KEYRING)
        try:
            keyring.make(path)
        except KeyringError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Made {path}. Back it up apart from both databases.")
