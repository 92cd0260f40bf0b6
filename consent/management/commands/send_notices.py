"""``send_notices``: the queue of notices, once."""

import dataclasses
import sys
from typing import Any

from access_control.management.console import REFUSED, ConsoleCommand
from consent.services.notices import send_notices


class Command(ConsoleCommand):
    """Sends what is queued. Exit status 1 when the gate refused a notice or one failed for good."""

    help = "Send queued notices through the gate. The worker does this every minute."

    def handle(self, *args: Any, json: bool, **options: Any) -> None:
        """Send, print one summary."""
        done = send_notices()
        text = f"{done.sent} sent, {done.refused} refused, {done.failed} failed, {done.waiting} waiting."
        self.answer(dataclasses.asdict(done), text, as_json=json)
        if done.refused or done.failed:
            sys.exit(REFUSED)
