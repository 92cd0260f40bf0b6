"""``policy_board``: whether the published sentences are being kept."""

import sys
from typing import Any

from django.utils import timezone

from access_control.controls import State
from access_control.management.console import REFUSED, ConsoleCommand
from retention.board import board


class Command(ConsoleCommand):
    """Computes every control now. Exit status 1 when a sentence is not kept or cannot be computed."""

    while_restored = True
    help = "Show, sentence by sentence, whether the published policy is being kept."

    def handle(self, *args: Any, json: bool, **options: Any) -> None:
        """Print the board."""
        rows = board(now=timezone.now())
        summary = [
            {
                "sentence": row.sentence,
                "control": row.result.control.code,
                "figure": row.result.figure,
                "state": row.result.state.value,
                "label": str(row.result.control.label),
                "rows": list(row.result.rows),
            }
            for row in rows
        ]
        lines = [
            f"{row.sentence:7} {'' if row.result.figure is None else row.result.figure:>6} "
            f"{row.result.state.label:22} {row.result.control.label}"
            for row in rows
        ]
        self.answer({"sentences": summary}, "\n".join(lines), as_json=json)
        if any(row.result.state in {State.NOT_KEPT, State.CANNOT_COMPUTE} for row in rows):
            sys.exit(REFUSED)
