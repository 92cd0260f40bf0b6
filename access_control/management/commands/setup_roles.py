"""``setup_roles``: the database roles of this installation."""

from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import Error as DatabaseError
from django.db import connections
from psycopg import sql

from access_control.management.console import ConsoleCommand
from access_control.vault.roles import role_names

LOGIN_ROLES = ("app", "purger", "reader")


class Command(ConsoleCommand):
    """Makes the roles app, purger and reader, with the passwords of their URLs; twice changes nothing.

    Runs as the owner, which needs CREATEROLE for the first run. Privileges are laid by ``migrate``.
    """

    while_restored = True
    help = "Make or mend the database roles app, purger and reader, with the passwords in their URLs."

    def add_arguments(self, parser: CommandParser) -> None:
        """``--json`` only."""
        super().add_arguments(parser)

    def handle(self, *args: Any, json: bool, **options: Any) -> None:
        """Make what is missing, set every password, and let the roles connect."""
        names = role_names()
        passwords = {role: self._password(role) for role in LOGIN_ROLES}
        made = []
        try:
            with connections["default"].cursor() as cursor:
                for role in LOGIN_ROLES:
                    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [names[role]])
                    verb = "ALTER" if cursor.fetchone() else "CREATE"
                    if verb == "CREATE":
                        made.append(names[role])
                    cursor.execute(
                        sql.SQL("{} ROLE {} LOGIN NOINHERIT PASSWORD {}").format(
                            sql.SQL(verb), sql.Identifier(names[role]), sql.Literal(passwords[role])
                        )
                    )
            for alias in ("default", "vault"):
                with connections[alias].cursor() as cursor:
                    database = sql.Identifier(str(settings.DATABASES[alias]["NAME"]))
                    cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
                    for role in LOGIN_ROLES:
                        grant = sql.SQL("GRANT CONNECT ON DATABASE {} TO {}")
                        cursor.execute(grant.format(database, sql.Identifier(names[role])))
        except DatabaseError as error:
            raise CommandError(
                f"The roles could not be made ({type(error.__cause__).__name__}). The owner needs CREATEROLE; or let a"
                f" database administrator make {', '.join(names[role] for role in LOGIN_ROLES)} with LOGIN."
            ) from None
        summary = {"made": made, "roles": [names[role] for role in LOGIN_ROLES]}
        self.answer(summary, f"Roles ready: {', '.join(summary['roles'])}; new: {len(made)}.", as_json=json)

    def _password(self, role: str) -> str:
        urls = {
            settings.DATABASE_URL_OF("DATABASE_URL", "console", role),
            settings.DATABASE_URL_OF("VAULT_DATABASE_URL", "vault", role),
        }
        found = {unquote(urlsplit(url).password or "") for url in urls}
        if len(found) != 1 or "" in found:
            raise CommandError(f"Both URLs of the {role} role must hold the same password.")
        return found.pop()
