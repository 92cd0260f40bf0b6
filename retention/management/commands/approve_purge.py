"""``approve_purge``: another person agrees to a plan."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from access_control.management.console import REFUSED, ConsoleCommand
from retention.management.progress import find_plan
from retention.services.planning import FutureDay, NotApprovable, SamePerson, approve_plan
from retention.waiting import overlaps_of


class Command(ConsoleCommand):
    """Approves exactly the list that the plan's hash names."""

    help = "Approve a destruction plan, as another person than the one who made it."
    by_person = True

    def add_arguments(self, parser: CommandParser) -> None:
        """PLAN."""
        super().add_arguments(parser)
        parser.add_argument("plan", help="The plan's reference, as plan_purge prints it.")

    def handle(self, *args: Any, plan: str, username: str, json: bool, **options: Any) -> None:
        """Approve, print one summary."""
        found = find_plan(plan)
        actor = self.actor(username, "retention.approve_plan")
        overlaps = overlaps_of(found, timezone.now())
        try:
            approve_plan(found, actor=actor)
        except SamePerson:
            raise CommandError("Whoever made a plan does not approve it.", returncode=REFUSED) from None
        except FutureDay:
            raise CommandError(
                f"Plan {found.reference} is for {found.as_of}, and that day has not come. Make one for today with"
                " plan_purge.",
                returncode=REFUSED,
            ) from None
        except NotApprovable:
            raise CommandError(
                f"Plan {found.reference} cannot be approved: it was approved before, or its time is over."
                " Make a new one with plan_purge.",
                returncode=REFUSED,
            ) from None
        summary = {
            "plan": found.reference,
            "approved_by": actor.username,
            "approved_at": found.approval.approved_at,
            "expires_at": found.approval.expires_at,
            "due": found.line_count,
            "hash": bytes(found.payload_hash).hex(),
            "listed_twice": {one.reference: one.items for one in overlaps},
        }
        text = f"Plan {found.reference} is approved: {found.line_count:,} items. Next: run_purge {found.reference}."
        for one in overlaps:
            text += (
                f"\nApproved plan {one.reference} lists {one.items:,} of the same items. Whichever runs first destroys"
                " them; the other says so."
            )
        self.answer(summary, text, as_json=json)
