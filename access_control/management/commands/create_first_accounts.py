"""The first administrator and the first privacy officer; after them access takes two persons.

The way back in too: it works again when no two accounts can ask for access and agree to it any more.
"""

from typing import Any
from urllib.parse import urljoin

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.urls import reverse
from django.utils import timezone

from access_control.access_services import FirstPerson, NotFirst, set_up_first_accounts
from access_control.management import host
from access_control.management.console import REFUSED, ConsoleCommand, bad_usage
from access_control.models import Entity
from access_control.roles import Role

ASKED = ("NUMBER", "NAME", "ENTITY", "USERNAME")


class Command(ConsoleCommand):
    """Prints, once, a link for each of the two, with which they set their passwords."""

    while_restored = True
    help = "Enters the first administrator and privacy officer, where no two people can ask for access and agree to it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add both persons and the console's address."""
        super().add_arguments(parser)
        parser.add_argument("--administrator", nargs=4, metavar=ASKED, required=True)
        parser.add_argument("--officer", nargs=4, metavar=ASKED, required=True)
        parser.add_argument("--url", default="http://127.0.0.1:8000/", help="The console's address, for the links.")

    def handle(self, *_args: Any, administrator: list[str], officer: list[str], url: str, **options: Any) -> None:
        """Enter both, or neither."""
        entities = {entity.code: entity for entity in Entity.objects.all()}
        unknown = sorted({asked[2] for asked in (administrator, officer)} - set(entities))
        if unknown:
            raise bad_usage(
                f"No such entity: {', '.join(unknown)}. There are: {', '.join(sorted(entities)) or 'none'}."
            )
        people = [
            FirstPerson(number, name, entities[code], username, role)
            for (number, name, code, username), role in ((administrator, Role.ADMINISTRATOR), (officer, Role.OFFICER))
        ]
        try:
            with host.telling():
                given = set_up_first_accounts(people, joined_on=timezone.localdate())
        except NotFirst:
            raise CommandError(
                "There are people already who can give access: an administrator asks in the console, and another person"
                " agrees. Somebody who has never signed in may have a link that is open still.",
                returncode=REFUSED,
            ) from None
        except ValidationError as refusal:
            raise bad_usage(
                f"{' '.join(refusal.messages)} Nobody was entered. Persons entered before are named exactly as then;"
                " others need a number and a username of their own."
            ) from None
        links = {
            account.username: urljoin(url, reverse("first_password", args=[one.token]))
            for one in given
            if (account := one.account) is not None and one.token
        }
        lines = [f"{username}: {link}" for username, link in links.items()]
        lines.append("Each works once, within 24 hours.")
        lines += [f"{one.account} has a password already, and needs no link." for one in given if not one.token]
        self.answer({"links": links}, "\n".join(lines), as_json=options["json"])
