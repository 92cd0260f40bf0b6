"""``declare_journal_lost``: two persons agree that the journal of a run is lost."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from access_control.management.console import REFUSED, ConsoleCommand
from retention.management.progress import find_plan
from retention.services.planning import NotApprovable, SamePerson
from retention.services.stopping import AlreadyOver, NotBegun, declare_journal_lost


class Command(ConsoleCommand):
    """The first person's call asks; the second person's agrees. Needed also while a restore is not accepted."""

    help = "Agree that the journal of a run is lost and has no copy. Two persons call it, one after the other."
    by_person = True
    while_restored = True

    def add_arguments(self, parser: CommandParser) -> None:
        """PLAN."""
        super().add_arguments(parser)
        parser.add_argument("plan", help="The plan's reference, as plan_purge prints it.")

    def handle(self, *args: Any, plan: str, username: str, json: bool, **options: Any) -> None:
        """Ask or agree, print one summary."""
        found = find_plan(plan)
        actor = self.actor(username, "retention.approve_plan")
        name = found.reference
        try:
            lost = declare_journal_lost(found, actor=actor) is not None
        except NotBegun:
            said = f"The run of plan {name} has not begun, so it has no journal. Nothing is to be done."
        except AlreadyOver:
            said = f"Two persons have called the journal of plan {name} lost before. Nothing is to be done."
        except SamePerson:
            said = f"You asked for it. Somebody else agrees, with: declare_journal_lost {name}."
        except NotApprovable:
            said = f"What was asked for plan {name} was answered at this moment. Look at the ledger."
        else:
            self.answer({"plan": name, "lost": lost, "by": actor.username}, _text(name, lost=lost), as_json=json)
            return
        raise CommandError(said, returncode=REFUSED)


def _text(name: str, *, lost: bool) -> str:
    if lost:
        return (
            f"The journal of plan {name} is called lost. If its run was given up, the next run_purge certifies it"
            " without; accepting a restore does not wait for it."
        )
    return (
        f"Asked: is the journal of plan {name} lost, and every copy of it? Who has looked too agrees:"
        f" declare_journal_lost {name} --as USERNAME."
    )
