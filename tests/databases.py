"""Test databases: which role runs, and clones in which commits are real."""

from urllib.parse import unquote, urlsplit

import psycopg
from django.conf import settings
from django.db import connections
from psycopg import sql

ALIASES = {"default": ("DATABASE_URL", "console"), "vault": ("VAULT_DATABASE_URL", "vault")}


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


def _as_owner(statement, *identifiers):
    database = settings.DATABASES["default"]
    user, password = credentials("default", "owner")
    with psycopg.connect(
        host=database["HOST"],
        port=database["PORT"] or None,
        dbname="postgres",
        user=user,
        password=password,
        autocommit=True,
    ) as link:
        link.execute(sql.SQL(statement).format(*map(sql.Identifier, identifiers)))


def clone(original, name):
    """Copy a database that nobody is connected to."""
    connections.close_all()
    _as_owner("CREATE DATABASE {} TEMPLATE {}", name, original)


def drop(name):
    """Drop a database, whoever is connected."""
    _as_owner("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
