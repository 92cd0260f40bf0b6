"""What the vault's tests share: keys, rings and the one role that destroys."""

import contextlib
import uuid

import pytest
from django.conf import settings
from django.db import connections

from access_control.ids import new_id
from access_control.vault import store
from access_control.vault.categories import Category
from access_control.vault.ring import add_keys, keys_for, new_ring
from access_control.vault.seal import KeyRef
from tests.databases import ALIASES, become, clone, clones_are_meant, drop, point_at

PLAN = b"\x0a" * 32


@contextlib.contextmanager
def copies_of(originals):
    """Copies of databases, dropped at the end: {alias: name}."""
    names = {alias: f"clone_{uuid.uuid4().hex[:12]}" for alias in originals}
    for alias, original in originals.items():
        clone(original, names[alias])
    clones_are_meant(names.get("default", settings.DATABASES["default"]["NAME"]), names["vault"])
    try:
        yield names
    finally:
        connections.close_all()
        for name in names.values():
            drop(name)


@contextlib.contextmanager
def pointed_at(names):
    """Inside, the aliases use the databases ``names``."""
    before = {alias: settings.DATABASES[alias]["NAME"] for alias in names}
    point_at(names)
    try:
        yield
    finally:
        connections.close_all()
        point_at(before)


@pytest.fixture(scope="session")
def migrated(django_db_setup):
    """The databases that every copy is made from."""
    return {alias: settings.DATABASES[alias]["NAME"] for alias in ALIASES}


@pytest.fixture(scope="module")
def module_databases(migrated):
    """Databases of one module's own."""
    with copies_of(migrated) as names:
        yield names


@pytest.fixture
def committed(module_databases, django_db_blocker):
    """Commits are real, in databases that the tests of a module share: each test has subjects of its own."""
    with django_db_blocker.unblock(), pointed_at(module_databases):
        yield


@pytest.fixture
def alone(migrated, committed):
    """A vault of this test's own, for what concerns every subject in it."""
    with copies_of({"vault": migrated["vault"]}) as names, pointed_at(names):
        yield


@pytest.fixture
def keep(request):
    """Make keys: ``keep(ref, …)`` returns the first ref."""
    # In a test that commits for real, the keys belong in the databases it uses.
    for databases in ("committed", "alone"):
        if databases in request.fixturenames:
            request.getfixturevalue(databases)

    def make(*refs):
        with new_ring() as ring:
            add_keys(ring, refs)
        return refs[0]

    return make


@pytest.fixture
def ref(keep):
    """A living identity key of a new subject."""
    return keep(KeyRef(new_id(), Category.IDENTITY, 1))


@pytest.fixture
def opened():
    """A ring with every category of some subjects."""

    def ring(*subjects):
        return keys_for(subjects, Category.values, event=new_id())

    return ring


@pytest.fixture
def as_purger(committed):
    """The vault's own functions, called by the purger."""

    @contextlib.contextmanager
    def purger():
        become("purger")
        try:
            yield
        finally:
            become("app")

    return purger


@pytest.fixture
def destroy(as_purger):
    """End keys for real, each under a certificate line of its own; returns {ref: line} of what was ended."""

    def end(*refs, plan=PLAN):
        lines = {ref: new_id() for ref in refs}
        with as_purger():
            ended = {line for one in store.destroy(list(lines.items()), plan_hash=plan) for line in one.lines}
        return {ref: line for ref, line in lines.items() if line in ended}

    return end
