"""Number 3: a plan that cannot be run stops no other; plans are withdrawn, and runs given up, by those who may."""

import datetime
import io
import json
import threading

import pytest
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, connections, transaction
from django.test import Client
from django.utils import timezone, translation

from access_control import locks
from access_control.models import Approval, LedgerEvent
from access_control.services import leave, move
from retention import points
from retention.events import Event
from retention.journal import JournalError, JournalUnusable, path_of
from retention.leftovers import leftovers
from retention.models import Certificate, CertificateLine, Parked, Plan, PlanEnd, Run
from retention.points import Point
from retention.services import items
from retention.services.planning import NotApprovable, SamePerson, approve_plan, make_plan
from retention.services.stopping import (
    AlreadyBegun,
    AlreadyOver,
    NotBegun,
    StillUnderWay,
    abandon_run,
    declare_journal_lost,
    withdraw_plan,
)
from retention.showing import state_of, with_state
from tests import factories
from tests.databases import credentials, somebody_waits
from tests.retention.conftest import approved, as_, ended, run, verify


def run_purge():
    """(exit status, what the command without PLAN said as JSON)."""
    said, status = io.StringIO(), 0
    with as_("purger"):
        try:
            call_command("run_purge", json=True, stdout=said, stderr=io.StringIO())
        except SystemExit as end:
            status = end.code
    return status, json.loads(said.getvalue())


def a_plan(officer=None):
    """A plan of what one more member leaves behind; approved when an officer is given."""
    ended(factories.member())
    plan = make_plan(timezone.localdate(), actor=None)
    return approve_plan(plan, actor=officer) if officer else plan


def called_lost(plan, first, second):
    """Two persons agree that the journal of the run is lost."""
    assert declare_journal_lost(plan, actor=first) is None
    assert declare_journal_lost(plan, actor=second).approver == second.person


def state(plan):
    return state_of(with_state(Plan.objects.filter(pk=plan.pk), timezone.now()).get()).value


def stopped(monkeypatch, *, point=Point.DESTROYED):
    """A run of two chunks that stopped in the second, with nothing of that on record in the console."""
    for _once in range(2):
        ended(factories.member())
    monkeypatch.setattr(items, "CHUNK", 1)
    plan, passed = approved(), []

    def watch(at):
        passed.append(at)
        if at == point and passed.count(point) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(points, "watch", watch)
    with pytest.raises(KeyboardInterrupt):
        run(plan)
    monkeypatch.setattr(points, "watch", None)
    return plan


def test_the_oldest_plan_whose_approval_stands_is_run_and_the_others_are_named(committed, officer, supervisor):
    """Number 3: the approver left or moved, the time is over, it was withdrawn."""
    left, moved = factories.staff("officer"), factories.staff("officer")
    gone, elsewhere = a_plan(left), a_plan(moved)
    late, withdrawn, waiting = a_plan(officer), a_plan(officer), a_plan()
    good, younger = a_plan(officer), a_plan(officer)
    leave(left.person, on=timezone.localdate(), actor=None)
    move(moved.person, access_class=moved.person.access_class, actor=None)
    Approval.objects.filter(pk=late.approval_id).update(expires_at=timezone.now())
    withdraw_plan(withdrawn, actor=supervisor)
    status, said = run_purge()
    assert (status, said["plan"], said["destroyed"], said["parked"]) == (0, good.reference, good.line_count, 0)
    assert said["passed_over"] == [
        {"plan": gone.reference, "why": "void"},
        {"plan": elsewhere.reference, "why": "void"},
        {"plan": late.reference, "why": "expired"},
        {"plan": withdrawn.reference, "why": "withdrawn"},
    ]
    assert not Run.objects.exclude(plan=good).exists()
    assert run_purge()[1]["plan"] == younger.reference
    status, said = run_purge()
    assert (status, said["plan"], len(said["passed_over"])) == (0, None, 4)
    assert state(waiting) == "waiting"


def test_a_plan_is_withdrawn_before_its_run(committed, officer, supervisor, agent):
    """Number 3: whether it was approved or not; then nobody approves it, and nothing runs it."""
    waiting, agreed = a_plan(), a_plan(officer)
    with pytest.raises(PermissionDenied):
        withdraw_plan(agreed, actor=agent)
    for plan in (waiting, agreed):
        end = withdraw_plan(plan, actor=supervisor)
        assert (end.kind, end.by, end.reason) == ("withdrawn", supervisor, "plan_wrong")
        assert state(plan) == "withdrawn"
        with pytest.raises(AlreadyOver):
            withdraw_plan(plan, actor=officer)
        with pytest.raises(NotApprovable):
            run(plan)
    with pytest.raises(NotApprovable):
        approve_plan(Plan.objects.get(pk=waiting.pk), actor=supervisor)
    assert {row.reason for row in leftovers(now=timezone.now())} == {"unplanned"}
    with pytest.raises(AlreadyOver):
        abandon_run(agreed, actor=officer)
    again = approved()
    run(again)
    with pytest.raises(AlreadyBegun):
        withdraw_plan(again, actor=supervisor)


def test_a_run_is_given_up_by_two_persons_and_stops_nothing_any_more(committed, officer, supervisor, monkeypatch):
    """Number 3: its journal is lost; what it destroyed is certified by the fences, what is left is planned again."""
    plan = stopped(monkeypatch)
    path_of(plan.pk).unlink()
    with pytest.raises(JournalError):
        run(plan)
    later = a_plan(officer)
    # Not given up yet: passed over with a fault, and the next plan is run.
    status, said = run_purge()
    assert (status, said["plan"], said["destroyed"]) == (1, later.reference, 5)
    assert said["passed_over"] == [{"plan": plan.reference, "why": "journal"}]
    assert abandon_run(plan, actor=officer) is None
    assert state(plan) in {"running", "stalled"}
    with pytest.raises(SamePerson):
        abandon_run(plan, actor=officer)
    end = abandon_run(plan, actor=supervisor)
    assert (end.kind, end.by, end.approval.requester, end.reason) == (
        "given_up",
        supervisor,
        officer.person,
        "cannot_go_on",
    )
    assert state(plan) == "given_up"
    with pytest.raises(AlreadyOver):
        abandon_run(plan, actor=officer)
    # Nobody has said that they looked for the journal.
    with pytest.raises(JournalError, match="declare_journal_lost"):
        run(plan)
    called_lost(plan, officer, supervisor)
    newest = a_plan(officer)
    status, said = run_purge()
    assert (status, said["plan"]) == (0, newest.reference)
    assert said["passed_over"] == [{"plan": plan.reference, "why": "given_up"}]
    facts = json.loads(Certificate.objects.get(plan=plan).document)
    assert (facts["lines"], facts["journal"], facts["left_out"]) == (10, None, {})
    assert facts["given_up"] == end.at.isoformat()
    found = verify(plan)
    assert (found.failed_count, found.findings) == (0, [])
    assert run_purge()[1] == {
        "plan": None,
        "destroyed": 0,
        "parked": 0,
        "seconds": 0.0,
    }


def test_what_a_run_given_up_leaves_is_due_still(committed, officer, supervisor, monkeypatch):
    """Number 3: with its journal whole, the certificate is signed over it; the rest is parked as given up."""
    plan = stopped(monkeypatch, point=Point.LOCKED)
    abandon_run(plan, actor=officer)
    abandon_run(plan, actor=supervisor)
    assert {row.reason for row in leftovers(now=timezone.now())} == {"unplanned"}
    run(plan)
    assert set(Parked.objects.filter(plan=plan).values_list("reason", flat=True)) == {"given_up"}
    assert CertificateLine.objects.filter(plan=plan).count() == 5
    assert json.loads(Certificate.objects.get(plan=plan).document)["journal"]
    assert verify(plan).findings == []
    assert {row.reason for row in leftovers(now=timezone.now())} == {"parked"}
    assert make_plan(timezone.localdate(), actor=None).line_count == 5


def by_others(*acts, join=True):
    """Each act in a session of the app role, in another thread; this one goes on as the purger."""

    connected = threading.Event()

    def work():
        for alias in ("default", "vault"):
            connections[alias].ensure_connection()
        connected.set()
        for act in acts:
            act()
        connections.close_all()

    kept = {alias: dict(settings.DATABASES[alias]) for alias in ("default", "vault")}
    for alias in kept:
        user, password = credentials(alias, "app")
        settings.DATABASES[alias].update(USER=user, PASSWORD=password)
    thread = threading.Thread(target=work)
    thread.start()
    if join:
        thread.join()
    else:
        assert connected.wait(timeout=30)
    for alias, values in kept.items():
        settings.DATABASES[alias].update(values)
    return thread


def test_a_run_under_way_stops_when_it_is_given_up(committed, officer, supervisor, monkeypatch):
    """Number 3: chunk by chunk it is asked whether two persons have stopped it."""
    for _once in range(2):
        ended(factories.member())
    monkeypatch.setattr(items, "CHUNK", 1)
    plan, passed = approved(), []

    def watch(at):
        passed.append(at)
        if at == Point.COMPLETED and passed.count(at) == 1:
            by_others(lambda: abandon_run(plan, actor=officer), lambda: abandon_run(plan, actor=supervisor))

    monkeypatch.setattr(points, "watch", watch)
    run(plan)
    assert set(Parked.objects.filter(plan=plan).values_list("reason", flat=True)) == {"given_up"}
    assert CertificateLine.objects.filter(plan=plan).count() == 5


def watch_the_second(monkeypatch, point, do):
    """``do`` is called when a run reaches ``point`` for the second time."""
    passed = []

    def watch(at):
        passed.append(at)
        if at == point and passed.count(at) == 2:
            do()

    monkeypatch.setattr(points, "watch", watch)


def test_a_chunk_under_way_is_not_given_up_beneath_the_run(committed, officer, supervisor, monkeypatch):
    """Whoever gives the run up while it destroys waits, for a while, and is told to try again; nothing is given up."""
    for _once in range(2):
        ended(factories.member())
    monkeypatch.setattr(items, "CHUNK", 1)
    monkeypatch.setattr(locks, "LONGEST_WAIT", datetime.timedelta(milliseconds=100))
    plan, refused = approved(), []

    def give_up():
        # As the second person, or as the first: neither is heard now.
        try:
            abandon_run(plan, actor=supervisor)
        except StillUnderWay as error:
            with translation.override("en"):
                refused.append(str(error))

    watch_the_second(monkeypatch, Point.INTENDED, lambda: by_others(give_up))
    done = run(plan)
    assert (len(refused), done.destroyed, done.parked) == (1, 10, 0)
    assert "try again" in refused[0]
    assert not PlanEnd.objects.exists()
    with pytest.raises(AlreadyOver):
        abandon_run(plan, actor=supervisor)


def test_a_chunk_waits_for_who_gives_the_run_up_and_destroys_nothing(committed, officer, supervisor, monkeypatch):
    """The end is written and not committed when the chunk asks: it asks again, and leaves everything as it is."""
    for _once in range(2):
        ended(factories.member())
    monkeypatch.setattr(items, "CHUNK", 1)
    plan, given_up, waited = approved(), threading.Event(), []

    def give_up():
        with transaction.atomic():
            abandon_run(plan, actor=supervisor)
            given_up.set()
            waited.append(somebody_waits())

    def begin():
        by_others(lambda: abandon_run(plan, actor=officer))
        threads.append(by_others(give_up, join=False))
        assert given_up.wait(timeout=30)

    threads = []
    watch_the_second(monkeypatch, Point.LOCKED, begin)
    done = run(plan)
    threads[0].join()
    assert waited == [True]
    assert (done.destroyed, done.parked) == (5, 5)
    assert set(Parked.objects.values_list("reason", flat=True)) == {"given_up"}


def test_a_journal_that_the_system_keeps_back_is_not_lost(committed, officer, supervisor, monkeypatch):
    """Given up, called lost, and yet: what cannot be read today may be read tomorrow, and nothing is signed without."""
    plan = stopped(monkeypatch)
    abandon_run(plan, actor=officer)
    abandon_run(plan, actor=supervisor)
    called_lost(plan, officer, supervisor)
    path = path_of(plan.pk)
    kept = path.with_suffix(".kept")
    path.rename(kept)
    path.symlink_to(path)
    directory, elsewhere = path.parent, path.parent.with_name("unmounted")
    for cause, now, then in (("cannot be used", directory, directory), ("Mount its disk", directory, elsewhere)):
        now.rename(then)
        with pytest.raises(JournalUnusable, match=cause) as refused:
            run(plan)
        assert "abandon_run" not in str(refused.value)
        assert not Certificate.objects.exists()
    elsewhere.rename(directory)
    path.unlink()
    kept.rename(path)
    run(plan)
    assert json.loads(Certificate.objects.get(plan=plan).document)["journal"]
    assert verify(plan).findings == []


def test_a_journal_is_called_lost_by_two_persons(committed, officer, supervisor, agent, monkeypatch, events_of):
    """Neither by one, nor by whoever may not, nor where there was no run."""
    with pytest.raises(NotBegun):
        declare_journal_lost(a_plan(officer), actor=officer)
    plan = stopped(monkeypatch)
    with pytest.raises(PermissionDenied):
        declare_journal_lost(plan, actor=agent)
    assert command("declare_journal_lost", plan, officer, monkeypatch)["lost"] is False
    with pytest.raises(CommandError, match="Somebody else"):
        command("declare_journal_lost", plan, officer, monkeypatch)
    assert command("declare_journal_lost", plan, supervisor, monkeypatch)["lost"] is True
    with pytest.raises(CommandError, match="before"):
        command("declare_journal_lost", plan, supervisor, monkeypatch)
    assert LedgerEvent.objects.filter(event=Event.JOURNAL_LOST, note=plan.pk).count() == 1


def test_the_database_refuses_a_certificate_without_a_journal_that_nobody_calls_lost(
    committed, officer, supervisor, monkeypatch
):
    """Whatever the purger writes."""
    plan = stopped(monkeypatch)
    abandon_run(plan, actor=officer)
    abandon_run(plan, actor=supervisor)
    row = {"plan": plan, "issued_at": timezone.now(), "signature": b"", "public_key": "", "salt": b""}
    with as_("purger"), pytest.raises(DatabaseError, match="two persons call lost"), transaction.atomic():
        Certificate.objects.create(document='{"journal": null}', **row)


def test_who_asked_and_left_is_not_one_of_the_two(committed, officer, supervisor, monkeypatch):
    """Number 3: then the next person asks anew."""
    asker = factories.staff("officer")
    plan = stopped(monkeypatch)
    abandon_run(plan, actor=asker)
    leave(asker.person, on=timezone.localdate(), actor=None)
    assert abandon_run(plan, actor=officer) is None
    assert abandon_run(plan, actor=supervisor).approval.requester == officer.person


def test_the_database_refuses_ends_that_do_not_fit(committed, officer, supervisor, monkeypatch, events_of):
    """Number 3: a run of a withdrawn plan, a withdrawal of a begun one, a run given up by nobody or by one."""
    withdrawn, begun = a_plan(officer), stopped(monkeypatch)
    withdraw_plan(withdrawn, actor=supervisor)
    now = timezone.now()
    with as_("purger"), pytest.raises(DatabaseError, match="withdrawn"), transaction.atomic():
        Run.objects.create(plan=withdrawn, started_at=now, seen_at=now, os_host="x")
    shared = {"plan": begun, "at": now, "by": officer, "reason": "plan_wrong"}
    with pytest.raises(DatabaseError, match="has begun"), transaction.atomic():
        PlanEnd.objects.create(kind="withdrawn", **shared)
    with pytest.raises(DatabaseError, match="two persons"), transaction.atomic():
        PlanEnd.objects.create(kind="given_up", **shared)
    abandon_run(begun, actor=officer)
    asked = Approval.objects.get(kind="abandon_run")
    with pytest.raises(DatabaseError, match="two persons"), transaction.atomic():
        PlanEnd.objects.create(kind="given_up", approval=asked, **shared)
    with pytest.raises(DatabaseError, match="two persons"), transaction.atomic():
        PlanEnd.objects.create(kind="given_up", approval=begun.approval, **shared)
    with as_("purger"), pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        PlanEnd.objects.create(kind="withdrawn", **shared)
    with pytest.raises(DatabaseError, match="permission denied"), connection.cursor() as cursor:
        cursor.execute("DELETE FROM retention_planend")


def command(name, plan, staff, monkeypatch):
    said = io.StringIO()
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{factories.PASSWORD}\n"))
    call_command(name, plan.reference, username=staff.username, json=True, stdout=said)
    return json.loads(said.getvalue())


def test_the_commands(committed, officer, supervisor, agent, monkeypatch):
    """Number 3: each says what came of it, and what comes next when it refuses."""
    plan = a_plan(officer)
    with pytest.raises(CommandError, match="may not") as refused:
        command("withdraw_plan", plan, agent, monkeypatch)
    assert refused.value.returncode == 1
    with pytest.raises(CommandError, match="withdraw_plan"):
        command("abandon_run", plan, officer, monkeypatch)
    assert command("withdraw_plan", plan, officer, monkeypatch)["plan"] == plan.reference
    with pytest.raises(CommandError, match="before"):
        command("withdraw_plan", plan, officer, monkeypatch)
    begun = stopped(monkeypatch)
    with pytest.raises(CommandError, match="abandon_run"):
        command("withdraw_plan", begun, officer, monkeypatch)
    assert command("abandon_run", begun, officer, monkeypatch)["given_up"] is False
    with pytest.raises(CommandError, match="Somebody else"):
        command("abandon_run", begun, officer, monkeypatch)
    assert command("abandon_run", begun, supervisor, monkeypatch)["given_up"] is True
    with pytest.raises(CommandError, match="is over"):
        command("abandon_run", begun, supervisor, monkeypatch)
    events = set(LedgerEvent.objects.values_list("event", flat=True))
    assert {Event.PLAN_WITHDRAWN, Event.RUN_GIVEN_UP} <= events


def test_the_pages_say_how_a_plan_ended(committed, officer, supervisor, monkeypatch):
    """Number 3: list, filter, plan, run and certificate."""
    withdrawn, begun = a_plan(officer), stopped(monkeypatch)
    withdraw_plan(withdrawn, actor=supervisor)
    path_of(begun.pk).unlink()
    abandon_run(begun, actor=officer)
    abandon_run(begun, actor=supervisor)
    called_lost(begun, officer, supervisor)
    client = Client()
    client.force_login(officer)
    client.cookies.load({"django_language": "en"})

    def page(address):
        answer = client.get(address, secure=True)
        assert answer.status_code == 200
        return answer.content.decode()

    assert "Withdrawn by" in page(f"/retention/plan/{withdrawn.pk}/")
    assert "gave the run up" in page(f"/retention/plan/{begun.pk}/")
    assert withdrawn.reference in page("/retention/plan/?state=withdrawn")
    assert begun.reference not in page("/retention/plan/?state=withdrawn")
    assert begun.reference in page("/retention/plan/?state=given_up")
    run(begun)
    assert "Certificate of destruction" in page(f"/retention/plan/{begun.pk}/")
    assert page(f"/retention/plan/{begun.pk}/run/")
    assert "given the run up" in page(f"/retention/certificate/{begun.pk}/")
    for language in ("ja", "en"):
        assert client.get(f"/retention/certificate/{begun.pk}/paper/{language}/", secure=True).status_code == 200
