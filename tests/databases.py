"""Test databases: which role runs, and clones in which commits are real."""

import contextlib
import os
import time
import uuid
from urllib.parse import unquote, urlsplit

import psycopg
from django.conf import settings
from django.db import connections
from psycopg import sql

ALIASES = {"default": ("DATABASE_URL", "console"), "vault": ("VAULT_DATABASE_URL", "vault")}


# The last two arguments of vault_destroy: the console that the vault serves speaks, and tells nothing new.
TOLD = (
    "(SELECT ARRAY[database, system, timeline, restore_epoch, NULL, told_sequence, NULL] FROM public.vault_console()),"
    " (SELECT ARRAY[NULL, told_event] FROM public.vault_console())"
)


def credentials(alias, role):
    """(user, password) of a role."""
    url = urlsplit(settings.DATABASE_URL_OF(*ALIASES[alias], role))
    return unquote(url.username), unquote(url.password)


def become(role):
    """From now on both aliases connect as ``role``."""
    for alias in ALIASES:
        connection = connections[alias]
        connection.close()
        user, password = credentials(alias, role)
        connection.settings_dict.update(USER=user, PASSWORD=password)
        settings.DATABASES[alias].update(USER=user, PASSWORD=password)


def point_at(names):
    """From now on the aliases use these databases."""
    for alias, name in names.items():
        connections[alias].close()
        connections[alias].settings_dict["NAME"] = name
        settings.DATABASES[alias]["NAME"] = name


def _link(role, within):
    database = settings.DATABASES["default"]
    user, password = credentials("default", role)
    return psycopg.connect(
        host=database["HOST"],
        port=database["PORT"] or None,
        dbname=within,
        user=user,
        password=password,
        autocommit=True,
    )


# A session of each role beside the databases of the tests, by process: a child has its own.
_links = {}


def _run(role, statement, *identifiers, parameters=None):
    link = _links.get((os.getpid(), role))
    if link is None or link.closed:
        link = _links[os.getpid(), role] = _link(role, "postgres")
    return link.execute(sql.SQL(statement).format(*map(sql.Identifier, identifiers)), parameters)


def end_links():
    """No session is left beside the databases."""
    for (process, _role), link in _links.items():
        if process == os.getpid():
            link.close()
    _links.clear()


def make(name):
    """An empty database of the owner."""
    _run("owner", "CREATE DATABASE {}", name)


def clone(original, name):
    """Copy a database that nobody is connected to."""
    connections.close_all()
    leave(original)
    _run("owner", "CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, original)


IDENTITY = """
SELECT (SELECT oid::bigint FROM pg_database WHERE datname = current_database()),
       (SELECT system_identifier FROM pg_control_system()), (SELECT timeline_id FROM pg_control_checkpoint()),
       (SELECT restore_epoch FROM {})
"""


def clones_are_meant(console, vault):
    """The two note each other, as a move does that two persons accepted: else the restore guard closes the house."""

    def identity(link, table):
        return list(link.execute(sql.SQL(IDENTITY).format(sql.Identifier(table))).fetchone())

    with _link("owner", console) as one, _link("owner", vault) as other:
        other.execute("SELECT vault_note_console(%s::bigint[], false)", [identity(one, "access_control_installation")])
        one.execute(
            "INSERT INTO access_control_vaultidentity (noted_at, database, system, timeline, restore_epoch)"
            " VALUES (clock_timestamp(), %s, %s, %s, %s)",
            identity(other, "vault_installation"),
        )


def leave(name):
    """End every session in a database; each role may end its own. Returns when the last one is gone."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if not _run("owner", COUNT_SESSIONS, parameters=[name]).fetchone()[0]:
            return
        for role in ("app", "purger", "reader", "owner"):
            _run(role, END_OWN_SESSIONS, parameters=[name])
    raise TimeoutError(f"sessions in {name} do not end")


END_OWN_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = current_user"
)
COUNT_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"


def drop(name):
    """Drop a database, whoever is connected."""
    leave(name)
    _run("owner", "DROP DATABASE IF EXISTS {}", name)


def somebody_waits(patience=30):
    """Whether, within ``patience`` seconds, a session of this database waits for a lock: asked of PostgreSQL."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        with connections["default"].cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND cardinality(pg_blocking_pids(pid)) > 0"
            )
            if cursor.fetchone()[0]:
                return True
    return False


@contextlib.contextmanager
def own_databases():
    """Inside, both aliases use clones of the migrated databases, in which commits are real; dropped at the end."""
    originals = {alias: settings.DATABASES[alias]["NAME"] for alias in ALIASES}
    names = {alias: f"clone_{uuid.uuid4().hex[:12]}" for alias in ALIASES}
    for alias in ALIASES:
        clone(originals[alias], names[alias])
    clones_are_meant(names["default"], names["vault"])
    point_at(names)
    try:
        yield
    finally:
        connections.close_all()
        point_at(originals)
        for name in names.values():
            drop(name)
