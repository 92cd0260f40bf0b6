"""A plan is made, read and approved; nothing is destroyed that it does not list, and nothing without another person."""

import datetime
import io
import json
import os

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.db import connections
from django.urls import reverse
from django.utils import timezone

from access_control.ledger import acting
from access_control.models import Approval, LedgerEvent
from access_control.services import leave
from access_control.vault import store
from members.models import Case, CaseNote
from members.services.cases import add_note, close_case
from retention.events import Event
from retention.models import Plan, PlanLine, Rule, RuleVersion, Run, Start
from retention.services.holds import lift_legal_hold, place_legal_hold
from retention.services.planning import FutureDay, NotApprovable, PlanHash, SamePerson, approve_plan, make_plan
from retention.services.purging import RUN_LOCK, AlreadyRunning, run_plan
from retention.services.rules import AlreadyInForce, NoRules, built_in, publish_rules
from tests import factories
from tests.databases import become
from tests.retention.conftest import approved, as_, ended, run, verify


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


def test_a_plan_for_a_day_to_come_is_not_approved_outside_a_demo(client, officer, settings, monkeypatch):
    """However it came to be: nobody agrees to a destruction before its day, by page, command or service."""
    plan = make_plan(today() + datetime.timedelta(days=1), actor=None)
    settings.DEMO = False
    with pytest.raises(FutureDay):
        approve_plan(plan, actor=officer)
    client.force_login(officer)
    page = client.post(reverse("admin:retention_plan_approve", args=[plan.pk]))
    assert page.context["refusal"] == "future"
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{factories.PASSWORD}\n"))
    with pytest.raises(CommandError, match="has not come"):
        call_command("approve_purge", plan.reference, username=officer.username)
    plan.approval.refresh_from_db()
    assert plan.approval.approved_at is None
    settings.DEMO = True
    assert approve_plan(plan, actor=officer).approval.approved_at


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


# What changes between a plan and its run


def test_rules_published_since_the_plan_count_on_the_day_of_the_run(committed):
    import dataclasses

    member = ended(factories.member())
    plan = approved(today() - datetime.timedelta(days=1))
    longer = {
        entity: [
            dataclasses.replace(one, keep=(0, 3_000)) if one.start == Start.MEMBERSHIP_ENDED else one for one in periods
        ]
        for entity, periods in built_in().items()
    }
    publish_rules(longer, effective_on=today(), actor=None)
    assert (run(plan).destroyed, len(store.left([member.pk]))) == (0, 5)


def test_an_approver_who_leaves_during_a_run_leaves_nothing_half_done(committed):
    from retention.points import Point
    from tests.faults.killing import run_and_kill

    officer = factories.staff("officer")
    ended(factories.member())
    plan = approve_plan(make_plan(today(), actor=None), actor=officer)
    _acts, status = run_and_kill(plan, at=Point.DESTROYED)
    assert status == -9
    leave(officer.person, on=today(), actor=None)
    other = ended(factories.member())
    outcome = run(plan)
    assert (outcome.destroyed, outcome.parked) == (plan.line_count, 0)
    assert verify(plan).findings == []
    # The next plan is not kept waiting.
    assert run(approved()).destroyed == 5
    assert store.left([other.pk]) == []


def test_what_is_left_when_the_approver_has_gone_is_parked(committed):
    from retention.points import Point
    from tests.faults.killing import run_and_kill

    officer = factories.staff("officer")
    member = ended(factories.member())
    plan = approve_plan(make_plan(today(), actor=None), actor=officer)
    run_and_kill(plan, at=Point.BEGUN)
    leave(officer.person, on=today(), actor=None)
    outcome = run(plan)
    assert (outcome.destroyed, outcome.parked) == (0, plan.line_count)
    assert set(plan.parked.values_list("reason", flat=True)) == {"approval_lapsed"}
    assert verify(plan).findings == []
    assert len(store.left([member.pk])) == 5


def test_a_hold_keeps_what_was_noted_before_the_caller_was_identified(committed):
    agent, officer = factories.staff("agent"), factories.staff("officer")
    member = factories.member()
    case = factories.case(member, agent)
    note = add_note(case, text="折り返しは午後", actor=agent)
    assert note.subject_id == case.pk
    factories.identify(case)
    close_case(case, outcome="done", actor=agent)
    years_ago = timezone.now() - datetime.timedelta(days=4 * 365)
    with acting(None, reason="asked"):
        Case.objects.filter(pk=case.pk).update(closed_at=years_ago, arrived_at=years_ago)
    assert make_plan(today(), actor=None).line_count == 1
    plan = approved()
    hold = place_legal_hold(member, ground="litigation", actor=officer)
    assert (run(plan).destroyed, make_plan(today(), actor=None).line_count) == (0, 0)
    lift_legal_hold(hold, actor=officer)
    assert run(approved()).destroyed == 1
    assert CaseNote.objects.get(pk=note.pk).text is None


def test_a_freeze_that_a_crash_left_behind_ends_with_the_next_plan(committed, officer):
    member = ended(factories.member())
    hold = place_legal_hold(member, ground="litigation", actor=officer)
    with acting(None, reason="hold_lifted"):
        type(hold).objects.filter(pk=hold.pk).update(lifted_at=timezone.now(), lifted_by=officer)
    assert make_plan(today(), actor=None).line_count == 0
    assert make_plan(today(), actor=None).line_count == 5


def test_a_freeze_of_a_case_that_a_crash_left_behind_ends_with_the_next_plan(committed, agent, officer):
    """What was noted before the caller was identified lies under the case's own key; its member's hold is over."""
    member = factories.member()
    case = factories.case(member, agent)
    add_note(case, text="折り返しは午後", actor=agent)
    factories.identify(case)
    close_case(case, outcome="done", actor=agent)
    years_ago = timezone.now() - datetime.timedelta(days=4 * 365)
    hold = place_legal_hold(member, ground="litigation", actor=officer)
    with acting(None, reason="hold_lifted"):
        Case.objects.filter(pk=case.pk).update(closed_at=years_ago, arrived_at=years_ago)
        type(hold).objects.filter(pk=hold.pk).update(lifted_at=timezone.now(), lifted_by=officer)
    assert make_plan(today(), actor=None).line_count == 0
    assert make_plan(today(), actor=None).line_count == 1


def test_a_case_opened_while_a_run_is_under_way_comes_before_or_after(committed):
    """The case waits for the run, or the run leaves the member alone."""
    from django.db import transaction

    from tests.faults.killing import in_a_child

    agent, member = factories.staff("agent"), ended(factories.member())
    plan = approved()
    connections.close_all()

    def destroy(pipe):
        become("purger")
        os.write(pipe, str(run_plan(plan).destroyed).encode())

    with transaction.atomic():
        factories.case(member, agent)
        link = connections["default"].connection
        connections["default"].connection = None
        try:
            said_so, status = in_a_child(destroy)
        finally:
            connections["default"].connection = link
    assert (status, said_so) == (0, ["0"])
    assert len(store.left([member.pk])) == 5


def test_korea_keeps_what_was_said_for_three_years_and_the_rest_for_the_grace(committed):
    agent = factories.staff("agent")
    member = factories.member(entity="kr", addressees=[], contacts=[{"kind": "email", "value": "jihun@example.com"}])
    case = factories.case(member, agent)
    note = add_note(case, text="메모", actor=agent)
    close_case(case, outcome="not_identified", actor=agent)
    ended(member)
    plan = approved()
    assert 6 not in plan.lines.values_list("category", flat=True)
    run(plan)
    assert CaseNote.objects.get(pk=note.pk).text is not None


def test_a_rule_that_counts_a_category_from_the_wrong_event_is_refused():
    from django.db import IntegrityError, transaction

    version = RuleVersion.objects.get()
    for category, start in ((7, "membership_ended"), (1, "transaction"), (2, "case_closed"), (1, "value_superseded")):
        with pytest.raises(IntegrityError, match="start_fits_category"), transaction.atomic():
            Rule.objects.create(
                version=version, entity_id="sg", category=category, start=start, keep_days=1, ground="purpose"
            )
