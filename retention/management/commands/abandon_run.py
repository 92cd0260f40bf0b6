"""``abandon_run``: two persons give up a run that cannot go on."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from access_control.codes import Reason
from access_control.management.console import REFUSED, ConsoleCommand, bad_usage
from retention.management.progress import find_plan
from retention.services.planning import NotApprovable, SamePerson
from retention.services.stopping import AlreadyOver, NotBegun, StillUnderWay, abandon_run


class Command(ConsoleCommand):
    """The first person's call asks; the second person's agrees, and gives the run up."""

    help = "Give up a destruction run that has begun and cannot go on. Two persons call it, one after the other."
    by_person = True

    def add_arguments(self, parser: CommandParser) -> None:
        """PLAN, ``--reason``."""
        super().add_arguments(parser)
        parser.add_argument("plan", help="The plan's reference, as plan_purge prints it.")
        parser.add_argument(
            "--reason", default=Reason.CANNOT_GO_ON.value, help="A reason code (default: cannot_go_on)."
        )

    def handle(self, *args: Any, plan: str, username: str, reason: str, json: bool, **options: Any) -> None:
        """Ask or give up, print one summary."""
        found = find_plan(plan)
        if reason not in Reason.values:
            raise bad_usage(f"--reason {reason}: there is no such reason. docs/codes.md lists them.")
        actor = self.actor(username, "retention.approve_plan")
        name = found.reference
        try:
            end = abandon_run(found, actor=actor, reason=reason)
        except NotBegun:
            said = f"The run of plan {name} has not begun. Withdraw the plan: withdraw_plan {name}."
        except AlreadyOver:
            said = f"Plan {name} is over: it was carried out, withdrawn or given up before. Nothing is to be done."
        except SamePerson:
            said = f"You asked for it. Somebody else gives the run of plan {name} up, with: abandon_run {name}."
        except StillUnderWay as error:
            said = str(error)
        except NotApprovable:
            said = f"What was asked for plan {name} was answered at this moment. Look at the plan's page."
        else:
            summary = {"plan": name, "given_up": end is not None, "by": actor.username, "reason": reason}
            self.answer(summary, _text(name, given_up=end is not None), as_json=json)
            return
        raise CommandError(said, returncode=REFUSED)


def _text(name: str, *, given_up: bool) -> str:
    if given_up:
        return (
            f"The run of plan {name} is given up. The next run_purge certifies what it had destroyed. If its journal is"
            f" lost, two persons say so first: declare_journal_lost {name} --as USERNAME."
        )
    return f"Asked: the run of plan {name} is to be given up. Now another person runs abandon_run {name} --as USERNAME."
