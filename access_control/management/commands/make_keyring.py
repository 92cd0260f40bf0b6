"""``make_keyring``: the one time a keyring is made."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import Error as DatabaseError

from access_control.management.console import REFUSED, ConsoleCommand
from access_control.vault import keyring, store
from access_control.vault.errors import KeyringError
from access_control.vault.keyring import PUT_BACK


class Command(ConsoleCommand):
    """Makes the keyring file, mode 600. An existing file is never touched."""

    while_restored = True
    help = "Make the keyring file of a new installation (mode 600). Refuses when it exists, or the vault holds keys."

    def handle(self, *args: Any, json: bool, **options: Any) -> None:
        """Make it, or say why not."""
        path = Path(settings.CONSOLE_KEYRING)
        try:
            # New keys under another key of the same id would stand beside old ones that never open again.
            if not path.exists() and store.holds_keys():
                raise KeyringError(f"The vault holds keys, sealed with another keyring than one made now. {PUT_BACK}")
            keyring.make(path)
        except KeyringError as error:
            raise CommandError(str(error), returncode=REFUSED) from None
        except DatabaseError as error:
            said = f"The vault cannot be asked whether it holds keys ({type(error).__name__})."
            raise CommandError(said, returncode=REFUSED) from None
        self.answer({"made": str(path)}, f"Made {path}. Back it up apart from both databases.", as_json=json)
