"""Mail when no server is named in the environment: nothing is sent, and nothing is pretended."""

from collections.abc import Sequence

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend


class NoMailServer(Exception):
    """EMAIL_URL names no server, so the message stays where it was."""


class NoServerBackend(BaseEmailBackend):
    """Refuses every message."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Raises NoMailServer."""
        raise NoMailServer("EMAIL_URL is not set.")
