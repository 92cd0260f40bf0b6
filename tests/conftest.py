"""The databases, and a small named cast. A test says only what differs."""

import contextlib
import gc
import io
from urllib.parse import unquote, urlsplit

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections, transaction
from django.test.utils import setup_databases, teardown_databases
from psycopg.pq import TransactionStatus

from access_control.models import LedgerEvent
from tests import factories
from tests.databases import become, drop, end_links, make, own_databases, point_at

ALIASES = ("default", "vault")
# What lies in these directories takes long; see the markers in pyproject.toml.
MARK_OF = {"browser": "browser", "faults": "kills"}


def pytest_collection_modifyitems(items):
    """What lies in a directory of its own is marked by it."""
    for item in items:
        for place, mark in MARK_OF.items():
            if place in item.path.parts:
                item.add_marker(mark)


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
        become("owner")
        teardown_databases(made, verbosity=0)
        drop(vault)
        end_links()


@pytest.fixture(autouse=True)
def rolled_back(request, django_db_setup, django_db_blocker):
    """Every test may use both databases, in a transaction that is rolled back, unless it commits for real.

    Whoever asks no database costs none. What is deferred is checked before the end, since nothing is ever committed.
    """
    if "committed" in request.fixturenames:
        yield
        return
    with django_db_blocker.unblock(), contextlib.ExitStack() as stack:
        for alias in ALIASES:
            stack.enter_context(_undone(alias))
        yield


@contextlib.contextmanager
def _undone(alias):
    connection = connections[alias]
    atomic = transaction.atomic(using=alias)
    # As in Django's own tests: what must be outermost may run inside.
    atomic._from_testcase = True
    with atomic:
        yield
        asked = connection.connection is not None and connection.connection.info.transaction_status
        if alias == "default" and asked == TransactionStatus.INTRANS and not connection.needs_rollback:
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        transaction.set_rollback(True, using=alias)


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
def agent():
    """Answers members."""
    return factories.staff("agent")


@pytest.fixture
def second_agent():
    """Answers members too, and has no business with the first agent's cases."""
    return factories.staff("agent")


@pytest.fixture
def supervisor():
    """Oversees the agents' cases."""
    return factories.staff("supervisor")


@pytest.fixture
def officer():
    """The privacy officer."""
    return factories.staff("officer")


@pytest.fixture
def auditor():
    """Reads the ledger."""
    return factories.staff("auditor")


@pytest.fixture
def administrator():
    """Runs accounts; sees no member."""
    return factories.staff("administrator")


@pytest.fixture
def hanako():
    """A member with every kind of item."""
    return factories.member()


@pytest.fixture
def call(agent, hanako):
    """A correction case by telephone, caller not identified yet."""
    return factories.case(hanako, agent)


@pytest.fixture
def identified(call):
    """The same case with the caller identified, so that grants are open."""
    return factories.identify(call)


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
