"""What every command of the console shares: ``--json``, ``--as``, exit status, one summary."""

import contextlib
import json
import sys
from getpass import getpass
from typing import Any

from django.contrib.auth import authenticate
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError, OperationalError
from django.utils import translation

from access_control.characters import strange_character
from access_control.locks import StillUnderWay
from access_control.models import Staff
from access_control.vault.errors import AnotherConsole, KeyringError, VaultError

REFUSED = 1
BAD_USAGE = 2


def bad_usage(message: str) -> CommandError:
    """Exit status 2; the message names every bad value."""
    return CommandError(message, returncode=BAD_USAGE)


class ConsoleCommand(BaseCommand):
    """Parses, calls one service, prints one summary.

    ``--json``: one object on standard output. Exit status 0, 1 when something was refused or rejected, 2 for bad usage.
    A command run by a person takes ``--as USERNAME``; the password comes from standard input or a prompt.
    While a restore of a database is not accepted, a command refuses (exit status 1), unless it says
    ``while_restored``: those only read, or are needed to set up and to accept.
    """

    by_person = False
    while_restored = False

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Whatever a command says is English. Raises CommandError."""
        with translation.override("en"):
            return self._guarded(*args, **options)

    def _guarded(self, *args: Any, **options: Any) -> str | None:
        """Run, unless an argument holds a strange character, or a database was restored and nobody has accepted that.

        A database that is not there, full, or closing ends the command with a sentence and status 1. The message of a
        database may quote a row, so only its class and code are said. Raises CommandError.
        """
        from access_control import restore
        from access_control.vault import consoles

        for name, value in options.items():
            if isinstance(value, str) and (strange := strange_character(value)):
                raise bad_usage(f"{name}: character {strange.position} is {strange.name}. Delete it and try again.")
        passed = False
        try:
            if not self.while_restored:
                restore.refuse_restored()
                passed = True
            return super().execute(*args, **options)
        except restore.DatabaseRestored as refused:
            raise CommandError(str(refused), returncode=REFUSED) from None
        except (StillUnderWay, KeyringError) as refused:
            raise CommandError(str(refused), returncode=REFUSED) from None
        except AnotherConsole:
            raise CommandError(
                "The vault serves another console than this one: a database was restored or moved meanwhile. What this"
                " command had committed stays. Run check, go on as docs/operations.md says (Restoring), then run it"
                " again.",
                returncode=REFUSED,
            ) from None
        except (OperationalError, InterfaceError) as error:
            code = getattr(error.__cause__, "sqlstate", None)
            raise CommandError(
                f"A database cannot be used ({type(error).__name__}{f', {code}' if code else ''}). Look whether it runs"
                " and has room; its log says why. What this command had committed stays; run it again.",
                returncode=REFUSED,
            ) from None
        finally:
            # A restore cannot forget any more what this command has done, also when it ended half-way. A command that
            # was refused has done nothing, and its console has nothing to say.
            if passed:
                with contextlib.suppress(DatabaseError, VaultError):
                    consoles.tell()

    def add_arguments(self, parser: CommandParser) -> None:
        """Add ``--json`` and, for commands of a person, ``--as``."""
        parser.add_argument("--json", action="store_true", help="Print one JSON object on standard output.")
        if self.by_person:
            parser.add_argument(
                "--as",
                dest="username",
                metavar="USERNAME",
                required=True,
                help="Act as this account. The password is read from standard input or asked for.",
            )

    def actor(self, username: str, permission: str) -> Staff:
        """The account, if the password is right and its role carries ``permission``. Raises CommandError (2 or 1)."""
        from access_control import policies

        password = getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
        staff = authenticate(username=username, password=password)
        if not isinstance(staff, Staff):
            raise bad_usage("--as: no such account, the password is wrong, or sign-in is locked for a while.")
        if not policies.can(staff, permission):
            raise CommandError(f"--as: this account may not do that ({permission}).", returncode=REFUSED)
        return staff

    def answer(self, summary: dict[str, Any], text: str, *, as_json: bool) -> None:
        """Print the summary once: as JSON, or as text."""
        self.stdout.write(json.dumps(summary, ensure_ascii=False, default=str) if as_json else text)
