"""``run_purge``: destroys what an approved plan lists. Runs as the *purger*."""

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone

from access_control.management.console import REFUSED, ConsoleCommand
from access_control.signing import SigningKeyError
from access_control.vault import store
from access_control.vault.errors import CeilingReached
from retention.journal import JournalError
from retention.management.progress import find_plan, progress_bar
from retention.models import Plan, Run
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
        found = find_plan(plan) if plan else next_plan()
        store.forget_tombstones()
        if found is None:
            nothing = {"plan": None, "destroyed": 0, "parked": 0, "seconds": 0.0}
            self.answer(nothing, "No approved plan waits.", as_json=json)
            return
        run = Run.objects.filter(plan=found, finished_at__isnull=False).first()
        if run is not None:
            self._say_finished(run, as_json=json)
            return
        outcome = self._run(found)
        summary = {
            "plan": found.reference,
            "destroyed": outcome.destroyed,
            "parked": outcome.parked,
            "seconds": round(outcome.seconds, 3),
        }
        text = (
            f"Plan {found.reference}: {outcome.destroyed:,} items destroyed, {outcome.parked:,} parked,"
            f" {outcome.seconds:.1f} s. Next: verify_purge {found.reference}."
        )
        self.answer(summary, text, as_json=json)
        if outcome.parked:
            sys.exit(REFUSED)

    def _say_finished(self, run: Run, *, as_json: bool) -> None:
        """A plan is carried out once; whoever asks for it again is told where its certificate is."""
        name, day = run.plan.reference, timezone.localdate(run.finished_at)
        summary = {"plan": name, "destroyed": run.destroyed_count, "parked": run.parked_count, "seconds": 0.0}
        text = (
            f"Plan {name} was finished on {day}: {run.destroyed_count:,} items destroyed, {run.parked_count:,} parked."
            f" Nothing was done now. Its certificate is {name}. Next: verify_purge {name}."
        )
        self.answer({**summary, "finished": day, "certificate": name}, text, as_json=as_json)

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
            said = (
                "The vault's ceiling of destructions for this hour is reached; what was destroyed until then is on"
                f" record. Run it again in an hour; plan {name} goes on. Another ceiling: docs/operations.md."
            )
        except Unfinished as error:
            said = (
                f"The keys of {len(error.lines)} items of plan {name} are destroyed, but their rows could not be"
                f" emptied ({error}). Mend the cause and run it again; it goes on."
            )
        except (SigningKeyError, JournalError) as error:
            said = f"Nothing more was destroyed. {error}"
        except DatabaseError as error:
            # The message of a database may quote a row; its code does not.
            code = getattr(error.__cause__, "sqlstate", None) or "no SQLSTATE"
            said = (
                f"A database ended the run of plan {name} ({type(error).__name__}, {code}). Nothing is half done. See"
                " its log and its disk, mend the cause, and run it again; it goes on."
            )
        raise CommandError(said, returncode=REFUSED)
