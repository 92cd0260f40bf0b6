"""``renew_lookups``: make members' lookups anew, after a change of the normal form or a crash."""

import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from access_control.management.console import REFUSED, ConsoleCommand, bad_usage
from members.services.renewal import remaining, renew_lookups

MOST_DAYS = 3_650


class Command(ConsoleCommand):
    """Makes lookups anew while the console runs; may be stopped and run again at any time."""

    help = "Make the lookups anew by which members are found, after a change of the normal form."

    def add_arguments(self, parser: CommandParser) -> None:
        """``--check`` and ``--corrected``."""
        super().add_arguments(parser)
        parser.add_argument("--check", action="store_true", help="Only count the members that remain.")
        parser.add_argument(
            "--corrected",
            type=int,
            default=0,
            metavar="DAYS",
            help="Also of members corrected in the last DAYS days: after a crash, an old value may still find them.",
        )

    def handle(self, *args: Any, check: bool, corrected: int, json: bool, **options: Any) -> None:
        """Print renewed and remaining; exit status 1 when somebody remains after a run."""
        if not 0 <= corrected <= MOST_DAYS:
            raise bad_usage(f"--corrected must be a number of days up to {MOST_DAYS}.")
        if check:
            left = remaining()
            self.answer({"renewed": 0, "remaining": left}, f"{left:,} members remain.", as_json=json)
            return
        with Progress(
            TextColumn("renew"),
            TextColumn("{task.completed:,.0f} members"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        ) as bar:
            task = bar.add_task("members", total=None)
            result = renew_lookups(
                corrected_since=timezone.now() - datetime.timedelta(days=corrected) if corrected else None,
                progress=lambda members: bar.advance(task, members),
            )
        summary = {"renewed": result.renewed, "remaining": result.remaining}
        self.answer(summary, f"{result.renewed:,} renewed, {result.remaining:,} remaining.", as_json=json)
        if result.ceiling_reached:
            raise CommandError(
                "The vault's ceiling for this hour is reached. What was made anew stays, and everybody is found as"
                " before; run the command again in an hour.",
                returncode=REFUSED,
            )
        if result.remaining:
            raise CommandError(
                f"{result.remaining:,} members keep their older lookups, by which they are found as before: their"
                " values do not open, or their number or login ID is another member's in the new form.",
                returncode=REFUSED,
            )
