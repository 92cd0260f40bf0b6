"""``leftovers``: what is past its rule and why it is still there."""

from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from access_control.management.console import REFUSED, ConsoleCommand
from retention.leftovers import leftovers, parked_in_words
from retention.management.progress import progress_bar
from retention.services.rules import NoRules


class Command(ConsoleCommand):
    """Counts by reason. Exit status 0 also when something is left: every reason may be a good one."""

    while_restored = True
    help = "Show what is past its retention rule and still there, by reason, with the oldest date."

    def handle(self, *args: Any, json: bool, **options: Any) -> None:
        """Count, print one summary."""
        now = timezone.now()
        today = timezone.localdate(now)
        try:
            with progress_bar("leftovers", None) as advance:
                found = leftovers(now=now, progress=advance)
        except NoRules:
            raise CommandError(
                "No retention rules are in force. Publish them: publish_rules.", returncode=REFUSED
            ) from None
        rows = [
            {
                "reason": row.reason,
                "label": str(row.label),
                "items": row.items,
                "persons": row.persons,
                "oldest_due": row.oldest,
                "oldest_age_days": row.age(today),
                "parked": row.parked,
            }
            for row in found
        ]
        lines = []
        for row in found:
            lines.append(
                f"{row.items:>8,} items of {row.persons:,} persons, the oldest kept until {row.kept_until},"
                f" due for {row.age(today):,} days: {row.label}"
            )
            lines += [f"{count:>12,} because {why}" for why, count in parked_in_words(row)]
        total = sum(row.items for row in found)
        head = f"{total:,} items are past their date." if total else "Nothing is past its date."
        self.answer({"rows": rows, "items": total}, "\n".join([head, *lines]), as_json=json)
