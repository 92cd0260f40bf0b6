"""``publish_rules``: the retention rules that the console comes with, in force from a day on."""

import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from access_control.management.console import REFUSED, ConsoleCommand, bad_usage
from retention.services.rules import AlreadyInForce, built_in, publish_rules


class Command(ConsoleCommand):
    """Publishes them, for the entities there are. A version takes effect on its day and is never changed."""

    help = "Publish the built-in retention rules (retention/services/rules.py) as a new version."
    by_person = True

    def add_arguments(self, parser: CommandParser) -> None:
        """``--effective-on`` and ``--because``."""
        super().add_arguments(parser)
        parser.add_argument("--effective-on", metavar="DATE", help="In force from this day (default: today).")
        parser.add_argument("--because", default="", help="Why the rules change, in a sentence.")

    def handle(
        self, *args: Any, effective_on: str | None, because: str, username: str, json: bool, **options: Any
    ) -> None:
        """Publish, print one summary."""
        try:
            day = datetime.date.fromisoformat(effective_on) if effective_on else timezone.localdate()
        except ValueError:
            raise bad_usage(f"--effective-on {effective_on}: give a day like 2026-11-24.") from None
        actor = self.actor(username, "retention.approve_plan")
        try:
            version = publish_rules(built_in(), effective_on=day, actor=actor, change_reason=because)
        except AlreadyInForce:
            raise CommandError(f"A version takes effect on {day} already.", returncode=REFUSED) from None
        summary = {"version": version.number, "effective_on": day, "rules": version.rules.count()}
        text = f"Version {version.number}: {summary['rules']} rules, in force from {day}."
        self.answer(summary, text, as_json=json)
