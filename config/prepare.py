"""``python -m config.prepare``: roles, keyring, and the tables of both databases, in one process as *owner*."""

import os
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder


def prepare() -> None:
    """Both databases are as the code wants them. A keyring is made for a vault that was never migrated, else never."""
    from access_control import signing
    from access_control.vault import keyring

    path = Path(settings.CONSOLE_KEYRING)
    if not path.exists() and not MigrationRecorder(connections["vault"]).has_table():
        keyring.make(path)
    # It opens nothing: a new one makes old certificates no less true, so it is made whenever there is none.
    if not Path(settings.CONSOLE_SIGNING_KEY).exists():
        signing.make(Path(settings.CONSOLE_SIGNING_KEY))
    with open(os.devnull, "w") as nowhere:
        call_command("setup_roles", stdout=nowhere)
        for alias in ("default", "vault"):
            call_command("migrate", database=alias, verbosity=0, stdout=nowhere)


if __name__ == "__main__":
    os.environ["CONSOLE_DB_ROLE"] = "owner"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    prepare()
