"""Ends somebody's access from the host, whoever is left: the way out that no administrator has alone."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from access_control import services
from access_control.management import host
from access_control.management.console import REFUSED, ConsoleCommand, bad_usage
from access_control.models import Person


class Command(ConsoleCommand):
    """The person has left today. The ledger says which user of which host ended the access."""

    while_restored = True
    help = "End all access of a person who has left, also of the last who could agree to access."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the employee number."""
        super().add_arguments(parser)
        parser.add_argument("number", metavar="NUMBER", help="The employee number.")

    def handle(self, *_args: Any, number: str, **options: Any) -> None:
        """End it, and say so."""
        person = Person.objects.filter(employee_number=number).first()
        if person is None:
            raise bad_usage(f"No person has the employee number {number}.")
        try:
            with host.telling():
                services.leave(person, on=timezone.localdate(), actor=None)
        except services.AlreadyLeft:
            raise CommandError(f"{number} has left already.", returncode=REFUSED) from None
        self.answer(
            {"ended": number},
            f"All access of {number} has ended. If no two people can give access, create_first_accounts runs again.",
            as_json=options["json"],
        )
