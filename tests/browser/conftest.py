"""One working day of demo data, served to a real Chromium.

Playwright keeps an event loop in the main thread, in which Django refuses the database: what a test needs to know of
the rows is read before the browser starts, and the browser is gone before the databases are dropped.
"""

import dataclasses
import os
import shutil
import threading
import uuid
from pathlib import Path

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.core.servers.basehttp import ThreadedWSGIServer
from django.db import connections
from django.test.testcases import QuietWSGIRequestHandler
from django.utils import timezone
from django.utils.translation.reloader import translation_file_changed
from playwright.sync_api import sync_playwright

from access_control.models import LedgerEvent, Person, Staff
from config.messages import compile_messages
from consent.demo import loading
from consent.demo.people import people
from members.models import Case, Correction, Notice, Transaction
from members.services.finding import find
from retention.models import LegalHold, Plan
from tests.browser import access, destruction
from tests.browser.identities import document_cases, little_known
from tests.browser.memberships import membership_cases
from tests.browser.screens import Screen
from tests.databases import own_databases

MEMBERS, SEED = 64, 1
NAMES = ("chromium", "chromium-browser", "google-chrome")
HOW = f"no {', '.join(NAMES)} on PATH; install one (Debian: apt-get install chromium fonts-noto-cjk)"
# No sandbox, because root has none; no traffic of the browser's own.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)


def pytest_terminal_summary(terminalreporter):
    """A run without a browser says so, and how to get one."""
    if any(HOW in str(report.longrepr) for report in terminalreporter.stats.get("skipped", ())):
        terminalreporter.section("BROWSER TESTS DID NOT RUN")
        terminalreporter.line(HOW)


@pytest.fixture(scope="package")
def executable():
    """Where the browser is. Without one the tests are skipped; in CI they fail."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(HOW)
    if found is None:
        pytest.skip(HOW)
    return found


@pytest.fixture(scope="package")
def committed(executable, django_db_setup, django_db_blocker):
    """Databases of the browser's own, in which commits are real, for all tests of this directory."""
    with django_db_blocker.unblock(), own_databases():
        yield


@dataclasses.dataclass(frozen=True)
class Day:
    """What stands in the databases when the browser starts: rows as imported, and ids by what they are."""

    rows: list
    cases: dict[tuple[str, str], Case]
    event: int
    person: uuid.UUID
    account: uuid.UUID
    record: uuid.UUID
    plans: dict[str, Plan]
    hold: uuid.UUID
    requests: dict[str, uuid.UUID]
    link: str


@pytest.fixture(scope="package")
def day(committed):
    """The demo, as it is on the morning of its first day."""
    now = timezone.now()
    loading.load(MEMBERS, seed=SEED, now=now, progress=lambda rows: None)
    corrections = dict(Correction.objects.values_list("case_id", "state"))
    cases = {}
    for case in Case.objects.select_related("owner").order_by("pk"):
        cases.setdefault((case.owner.username, stage(case, corrections.get(case.pk))), case)
    rows = list(people(MEMBERS, seed=SEED, today=timezone.localdate(now)))
    cases |= {("agent", word): case for word, case in membership_cases(rows, username="agent").items()}
    unproven = little_known(MEMBERS, seed=SEED, today=timezone.localdate(now))
    cases |= {("agent", word): case for word, case in document_cases(unproven, username="agent").items()}
    cases["agent2", "untold"] = untold(cases["agent2", "corrected"])
    requests, link = access.requests()
    # Somebody else than the agent looks: by what the agent has found a member, nothing is proved.
    (caller,) = find(str(rows[0]["member_number"]), actor=Staff.objects.get(username="supervisor")).hits
    found = Day(
        rows=rows + unproven,
        cases=cases,
        event=LedgerEvent.objects.order_by("-sequence").values_list("pk", flat=True)[0],
        person=Person.objects.get(account__username="agent2").pk,
        account=Staff.objects.get(username="agent2").pk,
        record=Transaction.objects.order_by("-ordered_on").values_list("pk", flat=True)[0],
        plans=destruction.plans(now, spared=caller.member),
        hold=LegalHold.objects.get().pk,
        requests=requests,
        link=link,
    )
    connections.close_all()
    return found


def stage(case, correction):
    """How far a case has come, in one word."""
    if case.state == Case.State.CLOSED:
        return "closed"
    if case.identified_at is None:
        return "contested" if case.contested_at else "fresh"
    if case.kind == Case.Kind.INQUIRY:
        return "inquiry"
    return {None: "identified", "asked": "pending", "applied": "corrected"}[correction]


def untold(case):
    """Another case of the same kind, of whose notices one was refused by the mail server and one has no way at all."""
    other = case.__class__.objects.filter(owner=case.owner, corrections__state="applied", state="open").latest("pk")
    assert other != case
    notices = Notice.objects.filter(case=other, state=Notice.State.QUEUED).order_by("pk")
    for notice, failure in zip(notices, ("smtp_550", "not_mailable"), strict=True):
        Notice.objects.filter(pk=notice.pk).update(state=Notice.State.FAILED, failure=failure)
    return other


@pytest.fixture(autouse=True)
def own_journal():
    """All tests here share the journals of the day."""


@pytest.fixture(autouse=True)
def on_this_day(day):
    """No test here uses the databases of the others, nor a transaction that is rolled back."""


@pytest.fixture(scope="package")
def address(day):
    """Where the console answers, in the newest words of the catalogues."""
    compile_messages()
    translation_file_changed(sender=None, file_path=Path("any.mo"))
    server = ThreadedWSGIServer(("127.0.0.1", 0), QuietWSGIRequestHandler, allow_reuse_address=False)
    server.set_app(WSGIHandler())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="console")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="package")
def chromium(executable, address):
    """The browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def screen_of(chromium, address, day):
    """The screen of an account in a language, signed in once: ``screen_of("agent", "ja")``. Nobody: signed out."""
    screens = {}

    def of(account, language):
        if (account, language) not in screens:
            screen = Screen(chromium, address, language=language, personal=personal_values(day.rows))
            if account:
                screen.sign_in(account)
            screens[account, language] = screen
        return screens[account, language]

    yield of
    for screen in screens.values():
        screen.context.close()


# What is not personal by itself: kinds and brands, and texts too short to be told from chance.
_NOT_PERSONAL = {"kind", "entity", "joined_on", "last_used_on", "brand", "sex", "last_four", "expiry", "occupation"}


def personal_values(value):
    """Every text about a person in rows of the import format, at any depth."""
    if isinstance(value, dict):
        return {found for key, inner in value.items() if key not in _NOT_PERSONAL for found in personal_values(inner)}
    if isinstance(value, list):
        return {found for inner in value for found in personal_values(inner)}
    return {value} if isinstance(value, str) and len(value) >= 3 else set()
