"""A plan is made, read and approved; nothing is destroyed that it does not list, and nothing without another person."""

import datetime
import io
import json

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone

from access_control.models import Approval, LedgerEvent
from access_control.services import leave
from access_control.vault import store
from retention.events import Event
from retention.models import Plan, PlanLine, Run
from retention.services.planning import FutureDay, NotApprovable, PlanHash, SamePerson, approve_plan, make_plan
from retention.services.purging import RUN_LOCK, AlreadyRunning
from retention.services.rules import AlreadyInForce, NoRules, built_in, publish_rules
from tests import factories
from tests.databases import become
from tests.retention.conftest import approved, as_, ended, run


def today():
    return timezone.localdate()


def test_a_plan_changes_nothing_of_a_member_and_says_what_it_lists(hanako, events_of):
    ended(hanako)
    before = type(hanako).history.filter(id=hanako.pk).count()
    plan = make_plan(today(), actor=None)
    assert (plan.line_count, plan.subject_count, plan.excluded_count) == (5, 1, 0)
    assert set(plan.lines.values_list("subject", "generation", "start")) == {(hanako.pk, 1, "membership_ended")}
    assert len(store.left([hanako.pk])) == 5
    assert type(hanako).history.filter(id=hanako.pk).count() == before
    assert LedgerEvent.objects.filter(event=Event.PLAN_MADE, note=plan.pk, count=5).count() == 1


def test_the_hash_is_over_every_line_in_order(hanako):
    ended(hanako)
    plan = make_plan(today(), actor=None)
    expected = PlanHash(plan.pk, plan.as_of)
    for line in PlanLine.objects.filter(plan=plan).order_by("pk"):
        expected.add(line.pk, line.subject, line.category, line.generation, line.due_on)
    assert bytes(plan.payload_hash) == expected.digest() == bytes(plan.approval.payload_hash)


def test_nothing_is_planned_for_a_day_to_come_outside_a_demo(settings):
    settings.DEMO = False
    with pytest.raises(FutureDay):
        make_plan(today() + datetime.timedelta(days=1), actor=None)
    settings.DEMO = True
    assert make_plan(today() + datetime.timedelta(days=1), actor=None).line_count == 0


def test_nothing_is_planned_before_there_were_rules():
    with pytest.raises(NoRules):
        make_plan(datetime.date(2015, 1, 1), actor=None)
    with pytest.raises(AlreadyInForce):
        publish_rules(built_in(), effective_on=datetime.date(2016, 2, 22), actor=None)


def test_whoever_made_a_plan_does_not_approve_it(officer, supervisor):
    plan = make_plan(today(), actor=officer)
    with pytest.raises(SamePerson):
        approve_plan(plan, actor=officer)
    approve_plan(plan, actor=supervisor)
    assert plan.approval.approver_id == supervisor.person_id
    with pytest.raises(NotApprovable):
        approve_plan(plan, actor=supervisor)


def test_the_database_refuses_the_same_person_too(officer):
    from django.db import IntegrityError, transaction

    plan = make_plan(today(), actor=officer)
    with pytest.raises(IntegrityError), transaction.atomic():
        Approval.objects.filter(pk=plan.approval_id).update(
            approver=officer.person, approver_epoch=officer.epoch, approved_at=timezone.now()
        )


@pytest.mark.parametrize("role", ["agent", "auditor", "administrator", "records"])
def test_only_those_who_answer_for_it_plan_and_approve(role):
    account = factories.staff(role)
    with pytest.raises(PermissionDenied):
        make_plan(today(), actor=account)
    with pytest.raises(PermissionDenied):
        approve_plan(make_plan(today(), actor=None), actor=account)


def test_a_run_needs_an_approval_that_stands(committed):
    member = ended(factories.member())
    with pytest.raises(NotApprovable):
        run(make_plan(today(), actor=None))
    officer = factories.staff("officer")
    plan = approve_plan(make_plan(today(), actor=None), actor=officer)
    leave(officer.person, on=today(), actor=None)
    with pytest.raises(NotApprovable):
        run(plan)
    assert len(store.left([member.pk])) == 5
    assert not Run.objects.exists()


def test_an_approval_is_for_one_week(committed):
    import time_machine

    ended(factories.member())
    plan = approved()
    with time_machine.travel(timezone.now() + datetime.timedelta(days=8), tick=False), pytest.raises(NotApprovable):
        run(plan)


def test_two_runs_never_destroy_at_once(committed):
    ended(factories.member())
    plan = approved()
    with as_("owner"), connections["default"].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [RUN_LOCK])
        held = connections["default"].connection
        # Kept open beside the connection that the run will make.
        connections["default"].connection = None
        try:
            with pytest.raises(AlreadyRunning):
                run(plan)
        finally:
            held.close()
    assert run(plan).destroyed == plan.line_count


def test_without_its_signing_key_nothing_is_destroyed(committed, settings, tmp_path):
    from access_control.signing import SigningKeyError

    member = ended(factories.member())
    plan = approved()
    settings.CONSOLE_SIGNING_KEY = tmp_path / "none.pem"
    with pytest.raises(SigningKeyError, match="make_signing_key"):
        run(plan)
    assert len(store.left([member.pk])) == 5


def said(name, *arguments, role="app", status=0):
    """What a command prints with --json; its exit status is the one expected."""
    out = io.StringIO()
    become(role)
    try:
        call_command(name, *arguments, "--json", stdout=out, stderr=io.StringIO())
        code = 0
    except SystemExit as ended_by:
        code = ended_by.code
    finally:
        become("app")
    assert code == status
    return json.loads(out.getvalue())


@pytest.mark.parametrize("count", [0, 1])
def test_the_commands_carry_a_plan_from_beginning_to_end(committed, monkeypatch, count):
    officer = factories.staff("officer")
    for _once in range(count):
        ended(factories.member())
    planned = said("plan_purge")
    assert (planned["due"], planned["subjects"]) == (5 * count, count)
    assert planned["excluded"] == {"legal_hold": 0, "open_case": 0, "correction_pending": 0}
    monkeypatch.setattr("sys.stdin", io.StringIO(factories.PASSWORD + "\n"))
    agreed = said("approve_purge", planned["plan"], "--as", officer.username)
    assert (agreed["hash"], agreed["approved_by"]) == (planned["hash"], officer.username)
    ran = said("run_purge", role="purger")
    assert (ran["plan"], ran["destroyed"], ran["parked"]) == (planned["plan"], 5 * count, 0)
    assert said("verify_purge", planned["plan"], role="reader")["verified"] == 5 * count
    assert said("verify_purge", role="reader") == {"verified": 0, "failed": 0, "plans": []}
    assert said("run_purge", role="purger") == {"plan": None, "destroyed": 0, "parked": 0, "seconds": 0.0}
    assert said("run_purge", planned["plan"], role="purger")["destroyed"] == 5 * count


def test_a_parked_item_makes_the_exit_status_1(committed, agent):
    member = ended(factories.member())
    plan = approved()
    factories.case(member, agent)
    assert said("run_purge", plan.reference, role="purger", status=1)["parked"] == 5


def test_what_is_misspelt_is_named(committed):
    for arguments in (["plan_purge", "--as-of", "2026-02-30"], ["run_purge", "20260101-NONE"], ["verify_purge", "x"]):
        with pytest.raises(CommandError) as refused:
            call_command(*arguments, stdout=io.StringIO(), stderr=io.StringIO())
        assert refused.value.returncode == 2
        assert arguments[-1] in str(refused.value)


def test_a_plan_of_many_is_made_in_flat_steps(committed, monkeypatch):
    """Queries grow with chunks, not with persons."""
    from django.test.utils import CaptureQueriesContext

    def cost(count):
        for _once in range(count):
            ended(factories.member())
        with CaptureQueriesContext(connections["default"]) as queries:
            plan = make_plan(today(), actor=None)
        return plan.subject_count, len(queries)

    (few, some), (many, more) = cost(2), cost(10)
    assert (few, many) == (2, 12)
    assert some == more
    assert Plan.objects.count() == 2
