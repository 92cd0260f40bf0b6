"""The databases, and a small named cast. A test says only what differs."""

import contextlib
import gc
import io
from urllib.parse import unquote, urlsplit

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test.utils import setup_databases, teardown_databases

from access_control.models import LedgerEvent
from tests import factories, worlds
from tests.databases import become, drop, end_links, make, own_databases, point_at

ALIASES = ("default", "vault")
# What lies in these directories takes long; see the markers in pyproject.toml.
MARK_OF = {"browser": "browser", "faults": "kills"}


def pytest_collection_modifyitems(items):
    """What lies in a directory of its own is marked by it; a module's tests follow each other by their people."""
    for item in items:
        for place, mark in MARK_OF.items():
            if place in item.path.parts:
                item.add_marker(mark)
    order = {path: place for place, path in enumerate(dict.fromkeys(item.path for item in items))}
    names = list(worlds.MAKERS)
    items.sort(
        key=lambda item: (
            order[item.path],
            "committed" in item.fixturenames,
            [names.index(name) for name in worlds.people_of(item, _is_ours)],
        )
    )


def _is_ours(item, name):
    """Whether nobody put another fixture in the place of this one."""
    return item._fixtureinfo.name2fixturedefs[name][-1].func.__module__ == __name__


def pytest_collection_finish():
    """What was collected stays: the collector need not look at it again and again (a tenth of the time)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment, django_db_blocker):
    """Both test databases, migrated by the owner and used by the app role, holding entities and the policy."""
    with django_db_blocker.unblock():
        call_command("setup_roles", verbosity=0, stdout=io.StringIO())
        made = setup_databases(verbosity=0, interactive=False, aliases=["default"])
        vault = settings.DATABASES["vault"]["TEST"]["NAME"]
        make(vault)
        point_at({"vault": vault})
        # Its own migrations: every other would make nothing there, slowly.
        call_command("migrate", "vault", database="vault", verbosity=0)
        become("app")
        factories.company()
    yield
    with django_db_blocker.unblock():
        world.leave()
        become("owner")
        teardown_databases(made, verbosity=0)
        drop(vault)
        end_links()


world = worlds.World()


@pytest.fixture(autouse=True, scope="module")
def nobody_is_left(django_db_setup, django_db_blocker):
    """A module begins and ends without the cast of another: what it makes for itself may need the databases alone."""
    with django_db_blocker.unblock():
        world.leave()
    yield
    with django_db_blocker.unblock():
        world.leave()


@pytest.fixture(autouse=True)
def cast(request, django_db_setup, django_db_blocker):
    """Every test may use both databases, in a transaction that is rolled back, unless it commits for real.

    The people whom the test asks for are there (:mod:`tests.worlds`). Whoever asks no database costs none.
    """
    committed = "committed" in request.fixturenames
    people = () if committed else worlds.people_of(request.node, _is_ours)
    with django_db_blocker.unblock():
        if not people:
            world.leave()
        if committed:
            yield worlds.Cast()
            return
        there = world.enter(request.node.path, people) if people else worlds.Cast()
        with worlds.undone():
            yield there


@pytest.fixture(autouse=True)
def own_journal(settings, tmp_path):
    """Journals of a test's own: the restore guard reads those that are at hand."""
    settings.CONSOLE_JOURNAL = tmp_path / "journal"


@pytest.fixture
def committed(django_db_setup, django_db_blocker):
    """Databases of this test's own, cloned from the migrated ones, in which commits are real."""
    with django_db_blocker.unblock(), own_databases():
        yield


@pytest.fixture
def agent(cast):
    """Answers members."""
    return cast("agent")


@pytest.fixture
def second_agent(cast):
    """Answers members too, and has no business with the first agent's cases."""
    return cast("second_agent")


@pytest.fixture
def supervisor(cast):
    """Oversees the agents' cases."""
    return cast("supervisor")


@pytest.fixture
def officer(cast):
    """The privacy officer."""
    return cast("officer")


@pytest.fixture
def auditor(cast):
    """Reads the ledger."""
    return cast("auditor")


@pytest.fixture
def administrator(cast):
    """Runs accounts; sees no member."""
    return cast("administrator")


@pytest.fixture
def hanako(cast):
    """A member with every kind of item."""
    return cast("hanako")


@pytest.fixture
def call(cast):
    """A correction case by telephone, caller not identified yet."""
    return cast("call")


@pytest.fixture
def identified(cast):
    """The same case with the caller identified, so that grants are open."""
    return cast("identified")


@pytest.fixture
def events_of():
    """The ledger's events about a subject, oldest first."""

    def events(subject):
        found = LedgerEvent.objects.filter(subject=getattr(subject, "pk", subject)).order_by("sequence")
        return list(found.values_list("event", flat=True))

    return events


@pytest.fixture
def as_role():
    """Raw SQL as a database role: ``with as_role("app", "vault") as cursor``."""

    @contextlib.contextmanager
    def cursor_of(role, alias="default"):
        import psycopg

        database = settings.DATABASES[alias]
        prefix, name = ("", "console") if alias == "default" else ("VAULT_", "vault")
        url = urlsplit(settings.DATABASE_URL_OF(f"{prefix}DATABASE_URL", name, role))
        with psycopg.connect(
            host=database["HOST"],
            port=database["PORT"] or None,
            dbname=database["NAME"],
            user=unquote(url.username),
            password=unquote(url.password),
            autocommit=True,
        ) as link:
            yield link.cursor()

    return cursor_of
