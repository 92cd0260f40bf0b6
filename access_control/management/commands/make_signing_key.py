"""``make_signing_key``: the one time a signing key is made."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from access_control import signing
from access_control.management.console import REFUSED, ConsoleCommand


class Command(ConsoleCommand):
    """Makes the signing key, mode 600. An existing file is never touched."""

    while_restored = True
    help = "Make the key that signs certificates (mode 600). Refuses when it exists."

    def handle(self, *args: Any, json: bool, **options: Any) -> None:
        """Make it, or say why not."""
        path = Path(settings.CONSOLE_SIGNING_KEY)
        try:
            signing.make(path)
        except signing.SigningKeyError as error:
            raise CommandError(str(error), returncode=REFUSED) from None
        mark = signing.fingerprint(signing.load())
        text = f"Made {path}. Back it up apart from both databases. Fingerprint: {mark}"
        self.answer({"made": str(path), "fingerprint": mark}, text, as_json=json)
