"""``run_purge``: destroys what an approved plan lists. Runs as the *purger*."""

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from access_control.management.console import REFUSED, ConsoleCommand
from access_control.signing import SigningKeyError
from access_control.vault import store
from access_control.vault.errors import CeilingReached
from retention.journal import JournalError
from retention.management.progress import find_plan, progress_bar
from retention.models import Plan
from retention.services.planning import FutureDay
from retention.services.purging import AlreadyRunning, NotApprovable, Outcome, Unfinished, run_plan


def next_plan() -> Plan | None:
    """The plan to run when none is named: one that was begun and not finished, else the oldest that is approved."""
    plans = Plan.objects.select_related("approval", "rules").order_by("made_at")
    begun = plans.filter(run__isnull=False, run__finished_at=None).first()
    approved = plans.filter(run=None, approval__approved_at__isnull=False, approval__expires_at__gt=timezone.now())
    return begun or approved.first()


class Command(ConsoleCommand):
    """Destroys, certifies, prints one summary. Exit status 1 when an item was parked or the run could not end."""

    help = "Destroy what an approved plan lists. A run that was interrupted goes on where it stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        """PLAN."""
        super().add_arguments(parser)
        parser.add_argument(
            "plan", nargs="?", help="The plan's reference. Without it: what was begun or approved and is not finished."
        )

    def handle(self, *args: Any, plan: str | None, json: bool, **options: Any) -> None:
        """Run it. What stayed of members' numbers goes when its time is over, whether or not a plan waits."""
        store.forget_tombstones()
        found = find_plan(plan) if plan else next_plan()
        if found is None:
            nothing = {"plan": None, "destroyed": 0, "parked": 0, "ended_elsewhere": 0, "seconds": 0.0}
            self.answer(nothing, "No approved plan waits.", as_json=json)
            return
        outcome = self._run(found)
        summary = {
            "plan": found.reference,
            "destroyed": outcome.destroyed,
            "parked": outcome.parked,
            "ended_elsewhere": outcome.ended_elsewhere,
            "seconds": round(outcome.seconds, 3),
        }
        elsewhere = ""
        if outcome.ended_elsewhere:
            elsewhere = f" {outcome.ended_elsewhere:,} destroyed before under another certificate,"
        text = (
            f"Plan {found.reference}: {outcome.destroyed:,} items destroyed, {outcome.parked:,} parked,"
            f"{elsewhere} {outcome.seconds:.1f} s. Next: verify_purge {found.reference}."
        )
        self.answer(summary, text, as_json=json)
        if outcome.parked:
            sys.exit(REFUSED)

    def _run(self, plan: Plan) -> Outcome:
        name = plan.reference
        try:
            with progress_bar("destroy", plan.line_count) as advance:
                return run_plan(plan, progress=advance)
        except AlreadyRunning:
            said = "Another run is under way; two never destroy at once. Its plan's page shows how far it is."
        except NotApprovable:
            said = (
                f"Plan {name} has no approval that stands: nobody gave it, it expired, or somebody who asked or agreed"
                " has left or moved. Approve it (approve_purge), or make a new plan."
            )
        except FutureDay:
            said = f"Plan {name} is for a day that has not come."
        except CeilingReached:
            said = "The vault's ceiling of destructions for this hour is reached. Run it again in an hour; it goes on."
        except Unfinished as error:
            said = (
                f"The keys of {len(error.lines)} items of plan {name} are destroyed, but their rows could not be"
                f" emptied ({error}). Mend the cause and run it again; it goes on."
            )
        except (SigningKeyError, JournalError) as error:
            said = f"Nothing more was destroyed. {error}"
        raise CommandError(said, returncode=REFUSED)
