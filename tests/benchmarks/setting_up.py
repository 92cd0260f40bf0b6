"""Databases for benchmarks: made and migrated by the owner, used by the app role, dropped at the end.

Without DATABASE_URL a cluster of the wheel is started in a temporary directory, as for the tests.
"""

import contextlib
import io

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test.utils import setup_databases, teardown_databases

from tests import factories
from tests.benchmarks.peers import MODELS
from tests.databases import become


@contextlib.contextmanager
def databases():
    """Inside, both aliases are migrated databases with the company and the peers' tables, and we are the app role."""
    call_command("setup_roles", verbosity=0, stdout=io.StringIO())
    made = setup_databases(verbosity=0, interactive=False)
    try:
        _make_peer_tables()
        become("app")
        factories.company()
        yield
    finally:
        become("owner")
        teardown_databases(made, verbosity=0)


def _make_peer_tables():
    """The peers' tables, on which the app role may do anything."""
    with connection.schema_editor() as editor:
        for model in MODELS:
            editor.create_model(model)
    tables = ", ".join(model._meta.db_table for model in MODELS)
    app = settings.CONSOLE_ROLE_PREFIX + "_app"
    with connection.cursor() as cursor:
        cursor.execute(f"GRANT ALL ON {tables} TO {app}")
        cursor.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {app}")
