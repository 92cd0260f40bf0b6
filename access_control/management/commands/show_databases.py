"""``show_databases``: how to reach the embedded databases by hand."""

from typing import Any

from django.conf import settings

from access_control.management.console import ConsoleCommand, bad_usage
from access_control.vault.roles import ROLES


class Command(ConsoleCommand):
    """Prints the URL of each database and role of the embedded server, passwords included."""

    while_restored = True
    help = "Print the URL of each database and role of the embedded server (which holds demo data only)."

    def handle(self, *args: Any, json: bool, **options: Any) -> None:
        """Print them; refuse when the databases are not embedded."""
        if not settings.EMBEDDED_DATABASE:
            raise bad_usage("DATABASE_URL is set: this is no embedded server, and its URLs are in the environment.")
        urls = {
            database: {role: settings.DATABASE_URL_OF(f"{prefix}DATABASE_URL", database, role) for role in ROLES}
            for database, prefix in (("console", ""), ("vault", "VAULT_"))
        }
        lines = [f"{database:8} {role:8} {url}" for database, roles in urls.items() for role, url in roles.items()]
        self.answer(urls, "\n".join(lines), as_json=json)
