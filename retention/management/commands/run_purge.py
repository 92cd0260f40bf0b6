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
from retention.models import Plan, PlanEnd, Run
from retention.services.planning import FutureDay, PlanChanged
from retention.services.purging import AlreadyRunning, NotApprovable, Outcome, Unfinished, outcome_of, run_plan
from retention.showing import state_of
from retention.waiting import queue
from retention.words import PlanState


class Stopped(CommandError):
    """The run of a plan could not be carried to its end; ``why`` is a code."""

    def __init__(self, message: str, why: str) -> None:
        super().__init__(message, returncode=REFUSED)
        self.why = why


# What stands in the way of one plan alone: without PLAN, the next one is taken.
_OF_THE_PLAN = frozenset({"journal", "not_approved", "unfinished", "future", "changed"})
# What somebody has to mend: the command ends with status 1, though the next plan was run.
_FAULTS = frozenset({"journal", "unfinished", "changed"})


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
        """Run it, or the first that can be run. What stayed of members' numbers goes when its time is over."""
        found = find_plan(plan) if plan else None
        _forget_tombstones()
        passed_over: list[dict[str, str]] = []
        if found is not None:
            finished = Run.objects.filter(plan=found, finished_at__isnull=False).first()
            if finished is not None:
                self._say_finished(finished, as_json=json)
                return
            outcome: Outcome | None = self._run(found)
        else:
            outcome = self._run_next(passed_over)
        faults = any(one["why"] in _FAULTS for one in passed_over)
        lines = [f"Passed over: plan {one['plan']}, {_WHY[one['why']]}." for one in passed_over]
        if outcome is None:
            summary: dict[str, Any] = {"plan": None, "destroyed": 0, "parked": 0, "seconds": 0.0}
            lines.append("No approved plan waits.")
        else:
            summary = _summary(outcome)
            lines.append(_text(outcome))
        if passed_over:
            summary["passed_over"] = passed_over
        self.answer(summary, "\n".join(lines), as_json=json)
        if faults or (outcome is not None and outcome.parked):
            sys.exit(REFUSED)

    def _run_next(self, passed_over: list[dict[str, str]]) -> Outcome | None:
        """Runs that were given up are certified first; then one plan is run. Adds to ``passed_over``."""
        waiting = queue(timezone.now())
        passed_over += [{"plan": one.reference, "why": state_of(one).value} for one in waiting.passed_over]
        for plan in waiting.next:
            try:
                outcome = self._run(plan)
            except Stopped as stopped:
                if stopped.why not in _OF_THE_PLAN:
                    raise
                self.stderr.write(str(stopped))
                passed_over.append({"plan": plan.reference, "why": stopped.why})
                continue
            if state_of(plan) != PlanState.GIVEN_UP:
                return outcome
            passed_over.append({"plan": plan.reference, "why": PlanState.GIVEN_UP.value})
        return None

    def _say_finished(self, run: Run, *, as_json: bool) -> None:
        """A plan is carried out once; whoever asks for it again is told where its certificate is."""
        name, day, outcome = run.plan.reference, timezone.localdate(run.finished_at), outcome_of(run, 0.0)
        text = (
            f"Plan {name} was finished on {day}: {_counts(outcome)}. Nothing was done now. Its certificate is {name}."
            f" Next: verify_purge {name}."
        )
        self.answer({**_summary(outcome), "finished": day, "certificate": name}, text, as_json=as_json)

    def _run(self, plan: Plan) -> Outcome:
        name = plan.reference
        try:
            with progress_bar("destroy", plan.line_count) as advance:
                return run_plan(plan, progress=advance)
        except AlreadyRunning:
            why = "running"
            said = "Another run is under way; two never destroy at once. Its plan's page shows how far it is."
        except NotApprovable:
            why = "not_approved"
            said = (
                f"Plan {name} has no approval that stands: nobody gave it, it expired, or somebody who asked or agreed"
                " has left or moved. Approve it (approve_purge), or make a new plan."
            )
        except PlanChanged:
            why = "changed"
            said = (
                f"Plan {name} lists something else than what was approved. Nothing more is destroyed by it. Stop the"
                " timer, keep both databases as they are, and tell the privacy officer; then withdraw the plan"
                " (withdraw_plan) or, if its run had begun, give it up (abandon_run)."
            )
        except FutureDay:
            why = "future"
            said = f"Plan {name} is for a day that has not come."
        except CeilingReached:
            why = "ceiling"
            said = (
                "The vault's ceiling of destructions for this hour is reached; what was destroyed until then is on"
                f" record. Run it again in an hour; plan {name} goes on. Another ceiling: docs/operations.md."
            )
        except Unfinished as error:
            why = "unfinished"
            said = (
                f"The keys of {len(error.lines)} items of plan {name} are destroyed, but their rows could not be"
                f" emptied ({error}). Mend the cause and run it again; it goes on."
            )
        except SigningKeyError as error:
            why, said = "signing_key", f"Nothing more was destroyed. {error}"
        except JournalError as error:
            why, said = "journal", f"Nothing more was destroyed. {error}"
        except DatabaseError as error:
            why = "database"
            said = (
                f"A database ended the run of plan {name} ({_code_of(error)}). Nothing is half done. See its log and"
                " its disk, mend the cause, and run it again; it goes on."
            )
        raise Stopped(said, why)


def _forget_tombstones() -> None:
    try:
        store.forget_tombstones()
    except DatabaseError as error:
        said = (
            f"The vault refuses ({_code_of(error)}); nothing was destroyed. Is VAULT_DATABASE_URL that of the purger?"
            " See the vault's log and its disk, mend the cause, and run it again."
        )
        raise Stopped(said, "database") from None


def _code_of(error: DatabaseError) -> str:
    """The message of a database may quote a row; its code does not."""
    return f"{type(error).__name__}, {getattr(error.__cause__, 'sqlstate', None) or 'no SQLSTATE'}"


# Why a plan was passed over, in words.
_WHY = {
    "expired": "whose approval has expired",
    "void": "because somebody who asked for it or agreed has left or moved",
    "withdrawn": "which was withdrawn",
    "given_up": "whose run was given up; what it had destroyed is certified now",
    "journal": "whose journal is lost or broken",
    "not_approved": "whose approval ended at this moment",
    "unfinished": "whose keys are destroyed while rows of it could not be emptied",
    "changed": "which lists something else than what was approved",
    "future": "which is for a day that has not come",
}


def _summary(outcome: Outcome) -> dict[str, Any]:
    return {
        "plan": outcome.plan.reference,
        "destroyed": outcome.destroyed,
        "parked": outcome.parked,
        "ended_elsewhere": outcome.ended_elsewhere,
        "seconds": round(outcome.seconds, 3),
    }


def _counts(outcome: Outcome) -> str:
    elsewhere = ""
    if outcome.ended_elsewhere:
        elsewhere = f", {outcome.ended_elsewhere:,} destroyed before under another certificate"
    return f"{outcome.destroyed:,} items destroyed, {outcome.parked:,} parked{elsewhere}"


def _text(outcome: Outcome) -> str:
    name = outcome.plan.reference
    stopped = ""
    if PlanEnd.objects.filter(plan=outcome.plan).exists():
        stopped = " Two persons gave the run up; what it has left is due still, and the next plan lists it."
    return f"Plan {name}: {_counts(outcome)}, {outcome.seconds:.1f} s.{stopped} Next: verify_purge {name}."
