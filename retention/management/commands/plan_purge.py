"""``plan_purge``: what is due, and what is left out, as a plan that waits for approval."""

import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import Count
from django.utils import timezone

from access_control.management.console import REFUSED, ConsoleCommand, bad_usage
from retention.management.progress import progress_bar
from retention.models import PlanExclusion
from retention.services.planning import FutureDay, make_plan
from retention.services.rules import NoRules


class Command(ConsoleCommand):
    """Reads, and writes nothing but the plan. Exit status 0 also when nothing is due."""

    help = "List what is due for destruction and what is left out, and why. Another person approves it."

    def add_arguments(self, parser: CommandParser) -> None:
        """``--as-of``."""
        super().add_arguments(parser)
        parser.add_argument("--as-of", metavar="DATE", help="Due up to this day, like 2026-11-24 (default: today).")

    def handle(self, *args: Any, as_of: str | None, json: bool, **options: Any) -> None:
        """Plan, print one summary."""
        try:
            day = datetime.date.fromisoformat(as_of) if as_of else timezone.localdate()
        except ValueError:
            raise bad_usage(f"--as-of {as_of}: give a day like 2026-11-24.") from None
        try:
            with progress_bar("plan", None) as advance:
                plan = make_plan(day, actor=None, progress=advance)
        except FutureDay:
            raise bad_usage(f"--as-of {day}: this day has not come. Only a demo plans for the future.") from None
        except NoRules:
            raise CommandError(
                f"No retention rules are in force on {day}. Publish them first: publish_rules.", returncode=REFUSED
            ) from None
        excluded = dict(
            PlanExclusion.objects.filter(plan=plan).values_list("reason").annotate(n=Count("subject")).order_by()
        )
        summary = {
            "plan": plan.reference,
            "as_of": plan.as_of,
            "due": plan.line_count,
            "subjects": plan.subject_count,
            "excluded": {reason.value: excluded.get(reason.value, 0) for reason in PlanExclusion.Reason},
            "hash": bytes(plan.payload_hash).hex(),
        }
        self.answer(summary, self._text(plan, excluded), as_json=json)

    def _text(self, plan: Any, excluded: dict[str, int]) -> str:
        if plan.line_count:
            first = f"Plan {plan.reference}: {plan.line_count:,} items of {plan.subject_count:,} persons are due."
            last = f"Next: somebody else reads it and runs approve_purge {plan.reference} --as USERNAME."
        else:
            first = f"Plan {plan.reference}: nothing is due up to {plan.as_of}."
            last = "There is nothing to approve or to destroy."
        lines = [first]
        lines += [
            f"Left out: {count:,} person{'' if count == 1 else 's'}, because {PlanExclusion.Reason(reason).label}."
            for reason, count in sorted(excluded.items())
        ]
        return "\n".join([*lines, f"Hash: {bytes(plan.payload_hash).hex()}", last])
