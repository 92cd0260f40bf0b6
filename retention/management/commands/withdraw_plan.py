"""``withdraw_plan``: a plan whose run has not begun is never carried out."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from access_control.codes import Reason
from access_control.management.console import REFUSED, ConsoleCommand, bad_usage
from retention.management.progress import find_plan
from retention.services.stopping import AlreadyBegun, AlreadyOver, withdraw_plan


class Command(ConsoleCommand):
    """Ends a plan; its approval, given or not, is worth nothing from then on."""

    help = "Withdraw a destruction plan whose run has not begun."
    by_person = True

    def add_arguments(self, parser: CommandParser) -> None:
        """PLAN, ``--reason``."""
        super().add_arguments(parser)
        parser.add_argument("plan", help="The plan's reference, as plan_purge prints it.")
        parser.add_argument("--reason", default=Reason.PLAN_WRONG.value, help="A reason code (default: plan_wrong).")

    def handle(self, *args: Any, plan: str, username: str, reason: str, json: bool, **options: Any) -> None:
        """Withdraw, print one summary."""
        found = find_plan(plan)
        if reason not in Reason.values:
            raise bad_usage(f"--reason {reason}: there is no such reason. docs/codes.md lists them.")
        actor = self.actor(username, "retention.approve_plan")
        try:
            end = withdraw_plan(found, actor=actor, reason=reason)
        except AlreadyBegun:
            raise CommandError(
                f"The run of plan {found.reference} has begun. Two persons can give it up: abandon_run"
                f" {found.reference}.",
                returncode=REFUSED,
            ) from None
        except AlreadyOver:
            raise CommandError(
                f"Plan {found.reference} was withdrawn or given up before. Nothing is to be done.", returncode=REFUSED
            ) from None
        summary = {"plan": found.reference, "withdrawn_by": actor.username, "at": end.at, "reason": reason}
        text = f"Plan {found.reference} is withdrawn. What is still due is listed by the next plan_purge."
        self.answer(summary, text, as_json=json)
