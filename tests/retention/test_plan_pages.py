"""The pages of destruction plans: what they say of none, one and a hundred thousand items, and who approves."""

import ast
import csv
import datetime
import inspect
import io
import itertools
import re
import uuid

import pytest
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

from access_control.codes import Reason
from access_control.copying import copy_rows
from access_control.ids import new_id
from access_control.ledger import acting
from access_control.models import Approval, LedgerEvent
from access_control.services import ask_approval, leave, use_approval
from access_control.vault import store
from access_control.vault.categories import Category
from access_control.vault.ring import add_keys, new_ring
from access_control.vault.seal import KeyRef
from retention.events import Event
from retention.models import Parked, Plan, PlanExclusion, PlanLine, Rule, RuleVersion, Run, Start, Verification
from retention.services import verifying
from retention.services.holds import place_legal_hold
from retention.services.planning import APPROVAL_KIND, approve_plan, make_plan
from retention.services.rules import NoRules
from retention.sheets import inert
from retention.showing import LINES_A_PAGE, SIGN_OF_LIFE, Choice, lines_of_page, parked_of
from retention.words import FINDINGS, LEFT_OUT, PARKED, PlanState, period_in_words
from tests import factories
from tests.retention.conftest import approved, as_, ended, run, verify


@pytest.fixture
def at(client):
    """The client, signed in and in English: ``at(officer)``."""

    def sign_in(account):
        client.force_login(account)
        client.cookies["django_language"] = "en"
        return client

    return sign_in


def today_plan(actor=None):
    return make_plan(timezone.localdate(), actor=actor)


def page(plan, view="change", query=""):
    return reverse(f"admin:retention_plan_{view}", args=[plan.pk]) + query


def text(answer):
    content = answer.content.decode() if not answer.streaming else b"".join(answer).decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", content))


_plans = itertools.count()


def plan_of(count, *, category=Category.CONTACT, start=Start.MEMBERSHIP_ENDED, exclusions=()):
    """A plan of made-up lines, laid by COPY."""
    version = RuleVersion.objects.get()
    rule = Rule.objects.get(version=version, entity="jp", category=category, start=start)
    plan_id, day, first = new_id(), timezone.localdate(), (0x70 << 120) + (next(_plans) << 64)
    with acting(None, reason=Reason.SCHEDULED):
        lines = (
            [
                *(uuid.UUID(int=first + number), plan_id, uuid.UUID(int=number + 1), "member", category),
                *(1, start, day - datetime.timedelta(days=40 + number % 7), day - datetime.timedelta(days=number % 7)),
                rule.pk,
            ]
            for number in range(count)
        )
        names = ["id", "plan", "subject", "subject_kind", "category", "generation", "start", "started_on", "due_on"]
        copy_rows(PlanLine, [*names, "rule"], lines)
        for reason, items in exclusions:
            PlanExclusion.objects.create(plan_id=plan_id, subject=new_id(), reason=reason, line_count=items)
        return Plan.objects.create(
            id=plan_id,
            reference=f"20260101-{plan_id.hex[-4:].upper()}",
            as_of=day,
            made_at=timezone.now(),
            rules=version,
            line_count=count,
            subject_count=count,
            excluded_count=len(exclusions),
            payload_hash=b"\x01" * 32,
            approval=ask_approval("purge", payload_hash=b"\x01" * 32, actor=None, reason=Reason.SCHEDULED),
        )


# Who sees them


@pytest.mark.parametrize("role", ["supervisor", "officer", "auditor"])
def test_those_who_answer_for_destructions_or_audit_them_see_plans(at, role):
    plan, account = today_plan(), factories.staff(role)
    assert plan.reference in text(at(account).get(reverse("admin:retention_plan_changelist")))
    for view in ("change", "run", "csv"):
        assert at(account).get(page(plan, view)).status_code == 200


@pytest.mark.parametrize("role", ["agent", "administrator", "records"])
def test_nobody_else_does(at, role):
    plan, account = today_plan(), factories.staff(role)
    assert at(account).get(reverse("admin:retention_plan_changelist")).status_code == 403
    for view in ("change", "run", "csv", "approve"):
        assert at(account).get(page(plan, view)).status_code == 403
    assert at(account).post(reverse("admin:retention_plan_make")).status_code == 403
    assert Plan.objects.count() == 1
    assert reverse("admin:retention_plan_changelist") not in at(account).get("/").content.decode()


def test_a_plan_that_is_none_is_not_found(at, officer):
    assert at(officer).get(reverse("admin:retention_plan_change", args=[new_id()])).status_code == 404


@pytest.mark.parametrize("view", ["change", "run", "csv"])
def test_reading_pages_answer_no_post(at, officer, view):
    assert at(officer).post(page(today_plan(), view)).status_code == 405


# What they say


def test_a_plan_of_nothing_reads_well(at, officer):
    plan = today_plan()
    said = text(at(officer).get(page(plan)))
    assert "Nothing is due up to" in said
    assert "There is nothing to approve or to destroy" in said
    assert "Nobody is left out" in said
    assert "Approve…" not in said
    assert "Lines" not in said
    assert "nothing is due" in text(at(officer).get(reverse("admin:retention_plan_changelist")))


def test_a_plan_says_what_is_due_since_when_and_by_which_rule(at, officer):
    ended(factories.member())
    plan = today_plan()
    answer = at(officer).get(page(plan))
    said = text(answer)
    assert f"{plan.line_count} items are due up to" in said
    assert "They are about 1 person" in said
    assert "kept for 30 days" in said
    assert str(Rule.Ground.PURPOSE.label) in said
    assert "membership ended" in said
    # The last day, as the member's page says it.
    last = PlanLine.objects.filter(plan=plan).first().due_on - datetime.timedelta(days=1)
    assert last.isoformat() in said
    assert bytes(plan.payload_hash).hex() in said
    assert "by the system" in said
    assert "waiting for approval" in said


def test_one_item_is_said_in_the_singular(at, officer):
    said = text(at(officer).get(page(plan_of(1))))
    assert "1 item is due up to" in said
    assert "They are about 1 person." in said
    assert "1 of 1 line " in said


def test_a_plan_says_who_is_left_out_and_why(at, officer, agent):
    member = ended(factories.member())
    factories.case(member, agent)
    plan = today_plan()
    said = text(at(officer).get(page(plan)))
    assert "1 person is left out wholly or in part" in said
    assert "a case of this person is open" in said
    assert str(LEFT_OUT["open_case"][1]) in said


def test_a_subject_is_shown_by_the_end_of_its_id_alone(at, officer):
    member = ended(factories.member())
    for view in ("change", "csv"):
        answer = at(officer).get(page(today_plan(), view))
        content = b"".join(answer).decode() if answer.streaming else answer.content.decode()
        assert f"…{member.pk.hex[-8:]}" in content
        assert member.pk.hex not in content.replace("-", "")


def test_every_exclusion_and_every_parking_says_what_to_do():
    assert set(LEFT_OUT) == set(PlanExclusion.Reason)
    assert set(PARKED) == set(Parked.Reason)


def test_every_finding_of_the_verification_has_its_words():
    codes = {
        node.value
        for node in ast.walk(ast.parse(inspect.getsource(verifying)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"[a-z_]+", node.value)
    }
    assert set(FINDINGS) <= codes
    added = set(re.findall(r'found\.add\("(\w+)"', inspect.getsource(verifying)))
    looked, again = (
        set(re.findall(r'^ +\("(\w+)", ', inspect.getsource(look), re.MULTILINE))
        for look in (verifying._look, verifying._look_again)
    )
    assert len(looked) == 8
    assert len(again) == 5
    assert again <= looked
    assert set(FINDINGS) == added | looked


def test_periods_are_said_in_years_months_and_days():
    with translation.override("en"):
        assert period_in_words(86, 0) == "7 years 2 months"
        assert period_in_words(1, 1) == "1 month 1 day"
        assert period_in_words(0, 30) == "30 days"
        assert period_in_words(0, 0) == ""


def test_reading_a_plan_is_recorded_once_a_view_and_its_run_not_at_all(at, officer):
    plan = plan_of(3)

    def read():
        found = LedgerEvent.objects.filter(event=Event.PLAN_READ, note=plan.pk)
        return list(found.order_by("sequence").values_list("actor_name", "count"))

    at(officer).get(page(plan))
    assert read() == [(officer.username, 3)]
    at(officer).get(page(plan, "run"))
    assert len(read()) == 1
    b"".join(at(officer).get(page(plan, "csv")))
    assert read() == [(officer.username, 3)] * 2


# The lines


def test_lines_are_paged_by_the_line_before_and_lead_back(at, officer):
    plan = plan_of(2 * LINES_A_PAGE + 50)
    everything = list(PlanLine.objects.filter(plan=plan).order_by("id").values_list("pk", flat=True))
    for sort in ("", "due", "-due", "started", "category"):
        seen, choice = [], Choice(sort=sort)
        while True:
            found = lines_of_page(plan, choice)
            seen.append([row.id for row in found.rows])
            if found.after is None:
                break
            choice = Choice(sort=sort, after=found.after)
        assert [len(rows) for rows in seen] == [100, 100, 50]
        assert sorted(pk for rows in seen for pk in rows) == everything
        back = lines_of_page(plan, Choice(sort=sort, before=found.before))
        assert [row.id for row in back.rows] == seen[1]
        assert back.after is not None
        first = lines_of_page(plan, Choice(sort=sort, before=back.before))
        assert [row.id for row in first.rows] == seen[0]
        assert first.before is None
    due = [row.due_on for row in lines_of_page(plan, Choice(sort="-due")).rows]
    assert due == sorted(due, reverse=True)


def test_lines_are_narrowed_by_links(at, officer):
    ended(factories.member())
    plan = today_plan()
    said = text(at(officer).get(page(plan, query=f"?category={Category.PAYMENT.value}&start=membership_ended")))
    assert "1 of 1 line " in said
    assert "No line is like that" in text(at(officer).get(page(plan, query="?parked=busy")))
    whole = text(at(officer).get(page(plan)))
    for nonsense in ("?category=x&sort=;&start=%00", "?after=x", f"?after={new_id()}", "?category=99"):
        answer = at(officer).get(page(plan, query=nonsense))
        assert answer.status_code == 200
        assert f"{plan.line_count} of {plan.line_count} lines" in text(answer)
    assert f"{plan.line_count} of {plan.line_count} lines" in whole


def test_twenty_thousand_lines_cost_as_many_queries_as_one_and_a_small_page(committed, at):
    officer = factories.staff("officer")
    small, large = plan_of(1), plan_of(20_000, exclusions=[("legal_hold", 3), ("open_case", 2)])

    def cost(plan, query=""):
        at(officer).get(page(plan, query=query))
        with CaptureQueriesContext(connections["default"]) as one, CaptureQueriesContext(connections["vault"]) as two:
            answer = at(officer).get(page(plan, query=query))
        return len(one) + len(two), answer

    few, _answer = cost(small)
    many, answer = cost(large)
    assert many == few
    assert len(answer.content) < 120_000
    said = text(answer)
    assert "20,000 items are due" in said
    assert "100 of 20,000 lines" in said
    middle = PlanLine.objects.filter(plan=large).order_by("id")[10_000].pk
    later, answer = cost(large, query=f"?after={middle}")
    # One more: the line from which the page starts.
    assert later == few + 1
    assert answer.content.decode().count("<tr>") > LINES_A_PAGE
    rows = list(csv.reader(io.StringIO(b"".join(at(officer).get(page(large, "csv"))).decode("utf-8-sig"))))
    assert len(rows) == 20_001


def test_the_list_costs_as_many_queries_for_twenty_plans_as_for_ten(at, officer):
    def cost():
        with CaptureQueriesContext(connection) as captured:
            answer = at(officer).get(reverse("admin:retention_plan_changelist"))
        return len(captured), answer.content.decode().count("<tr>")

    for _plan in range(10):
        plan_of(1)
    cost()
    before, ten = cost()
    for _plan in range(10):
        plan_of(1)
    after, twenty = cost()
    assert (ten, twenty) == (11, 21)
    assert after == before


def test_the_newest_plan_comes_first(at, officer):
    plans = [today_plan() for _plan in range(3)]
    content = at(officer).get(reverse("admin:retention_plan_changelist")).content.decode()
    places = [content.index(plan.reference) for plan in plans]
    assert places == sorted(places, reverse=True)


def test_the_file_of_lines_is_what_spreadsheets_read_and_compute_nothing_of(at, officer):
    ended(factories.member())
    plan = today_plan()
    answer = at(officer).get(page(plan, "csv"))
    assert answer.streaming
    assert answer["Content-Disposition"] == f'attachment; filename="plan-{plan.reference}.csv"'
    content = b"".join(answer)
    assert content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    assert len(rows) == plan.line_count + 1
    assert [row[0] for row in rows[1:]] == [
        str(pk) for pk in PlanLine.objects.filter(plan=plan).order_by("id").values_list("pk", flat=True)
    ]
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    for formula in ("=1+1", "+1", "-1", "@SUM(1)", "\tx", "\rx"):
        assert inert(formula) == f"'{formula}"
    assert inert("2026-11-24") == "2026-11-24"
    assert inert("") == ""


# Making and approving


def test_a_plan_is_made_by_a_button_and_approved_by_somebody_else(at, officer, supervisor):
    ended(factories.member())
    made = at(supervisor).post(reverse("admin:retention_plan_make"))
    plan = Plan.objects.get()
    assert made.url == page(plan)
    assert plan.made_by == supervisor
    own = text(at(supervisor).get(page(plan)))
    assert "You made this plan" in own
    assert "Approve…" not in own
    refused = text(at(supervisor).post(page(plan, "approve")))
    assert "Whoever made a plan does not approve it" in refused
    assert Approval.objects.get().approved_at is None
    asked = text(at(officer).get(page(plan, "approve")))
    assert "It cannot be undone" in asked
    assert f"{plan.line_count} items are due" in asked
    assert "What stays" in asked
    assert Approval.objects.get().approved_at is None
    answer = at(officer).post(page(plan, "approve"))
    assert answer.url == page(plan)
    assert Approval.objects.get().approver == officer.person
    said = text(at(officer).get(page(plan)))
    assert f"run_purge {plan.reference}" in said
    assert "the web server cannot destroy" in said


def test_a_plan_is_approved_once_and_in_time(at, officer):
    ended(factories.member())
    plan = approved()
    refused = text(at(officer).post(page(plan, "approve")))
    assert "it was approved before, or its time is over" in refused
    late = today_plan()
    with acting(None, reason=Reason.SCHEDULED):
        Approval.objects.filter(pk=late.approval_id).update(expires_at=timezone.now())
    assert "it was approved before, or its time is over" in text(at(officer).post(page(late, "approve")))
    assert "Make a new plan" in text(at(officer).get(page(late)))


def test_an_auditor_reads_and_neither_makes_nor_approves(at, auditor):
    ended(factories.member())
    plan = today_plan()
    assert "Your account does not approve plans" in text(at(auditor).get(page(plan)))
    for method in (at(auditor).get, at(auditor).post):
        assert method(page(plan, "approve")).status_code == 403
    assert at(auditor).post(reverse("admin:retention_plan_make")).status_code == 403
    assert "Make a plan" not in text(at(auditor).get(reverse("admin:retention_plan_changelist")))


def test_a_forged_form_makes_and_approves_nothing(officer):
    plan = plan_of(1)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(officer)
    assert strict.post(page(plan, "approve")).status_code == 403
    assert strict.post(reverse("admin:retention_plan_make")).status_code == 403
    assert at_rest(plan)


def at_rest(plan):
    return Plan.objects.get() == plan and Approval.objects.get().approved_at is None


def test_an_address_makes_no_plan(at, officer):
    answer = at(officer).get(reverse("admin:retention_plan_make"))
    assert answer.url == reverse("admin:retention_plan_changelist")
    assert not Plan.objects.exists()


def test_without_rules_making_a_plan_says_what_to_do(at, officer, monkeypatch):
    def none(*_args, **_kwargs):
        raise NoRules

    monkeypatch.setattr("retention.admin.plans.make_plan", none)
    answer = at(officer).post(reverse("admin:retention_plan_make"), follow=True)
    assert "publish_rules" in text(answer)


# How it stands


def begun(plan, *, silent=datetime.timedelta(0), destroyed=0):
    """A run as the purger left it some time ago: the approval is spent, the vault has destroyed what it says."""
    now = timezone.now()
    lines = list(plan.lines.order_by("id")[:destroyed])
    keys = [(KeyRef(line.subject, line.category, line.generation), line.pk) for line in lines]
    with new_ring() as ring:
        add_keys(ring, [ref for ref, _line in keys])
    payload, why = bytes(plan.payload_hash), Reason.RETENTION_ENDED
    with as_("purger"):
        with acting(None, reason=why):
            use_approval(plan.approval_id, kind=APPROVAL_KIND, payload_hash=payload, actor=None, reason=why)
        if keys:
            store.destroy(keys, plan_hash=payload)
        return Run.objects.create(
            plan=plan,
            started_at=now - silent,
            seen_at=now - silent,
            destroyed_count=destroyed,
            os_host="host-1",
        )


def states_in_the_list(client):
    content = client.get(reverse("admin:retention_plan_changelist")).content.decode()
    found = re.findall(r'field-name">.*?<code>(.*?)</code>.*?<span class="badge[^"]*">(.*?)</span>', content, re.DOTALL)
    return dict(found)


def test_a_plan_stands_as_its_approval_and_its_run_say(committed, at):
    officer, other = factories.staff("officer"), factories.staff("supervisor")
    made = {name: plan_of(4) for name in ("waiting", "approved", "expired", "void", "running", "stalled")}
    made["nothing"] = plan_of(0)
    for name in ("approved", "running", "stalled"):
        approve_plan(made[name], actor=officer)
    approve_plan(made["void"], actor=other)
    leave(other.person, on=timezone.localdate(), actor=None)
    with acting(None, reason=Reason.SCHEDULED):
        Approval.objects.filter(plan=made["expired"]).update(expires_at=timezone.now())
    begun(made["running"], destroyed=1)
    begun(made["stalled"], silent=SIGN_OF_LIFE)
    with translation.override("en"):
        wanted = {plan.reference: str(PlanState(name).label) for name, plan in made.items()}
    assert states_in_the_list(at(officer)) == wanted
    for name, plan in made.items():
        narrowed = at(officer).get(reverse("admin:retention_plan_changelist") + f"?state={name}").content.decode()
        assert [other for other in made.values() if other.reference in narrowed] == [plan]
        assert at(officer).get(page(plan)).status_code == 200
    assert "holds no more" in text(at(officer).get(page(made["void"])))

    # The run that goes on.
    answer = at(officer).get(page(made["running"], "run"))
    said = text(answer)
    assert "1 of 4 (25%)" in said
    assert '<progress id="done" max="4" value="1">' in answer.content.decode()
    assert "last sign of life" in said
    assert "host-1" in said
    assert "looks again every 10 seconds" in said
    assert answer["Refresh"] == f"10; url={page(made['running'], 'run')}?look=2"
    for quiet in ("?look=0", "?look=60", "?look=x", "?look=999999"):
        assert "Refresh" not in at(officer).get(page(made["running"], "run", quiet))
    assert "Refresh" not in at(officer).get(page(made["running"]))

    # The run that has stopped.
    answer = at(officer).get(page(made["stalled"], "run"))
    assert "Refresh" not in answer
    assert "no sign of life since" in text(answer)
    assert f"run_purge {made['stalled'].reference}" in text(answer)


def test_a_finished_run_says_what_was_parked_how_long_ago_and_whether_it_was_verified(committed, at):
    officer = factories.staff("officer")
    gone, held = ended(factories.member()), ended(factories.member())
    plan = approved()
    place_legal_hold(held, ground="litigation", actor=officer)
    outcome = run(plan)
    assert outcome.parked > 0
    content = at(officer).get(page(plan)).content.decode()
    said = text(at(officer).get(page(plan)))
    assert "a legal hold was placed" in said
    assert str(PARKED["legal_hold"]) in said
    assert "not verified" in said
    assert f"verify_purge {plan.reference}" in said
    assert f"…{gone.pk.hex[-8:]}" in content
    narrowed = text(at(officer).get(page(plan, query="?parked=legal_hold")))
    assert f"…{held.pk.hex[-8:]}" in narrowed
    assert f"…{gone.pk.hex[-8:]}" not in narrowed
    for view in ("change", "run"):
        assert "oldest, in days" in text(at(officer).get(page(plan, view)))
    # Parked again by a later plan, it is as old as the first time.
    later = timezone.localdate() + datetime.timedelta(days=9)
    assert [(one.reason, one.count, one.days) for one in parked_of(plan, today=later)] == [
        ("legal_hold", outcome.parked, 9)
    ]
    assert not verify(plan).failed_count
    said = text(at(officer).get(page(plan)))
    assert "items verified, 0 findings" in said
    assert "certified and verified" in said
    with as_("reader"):
        Verification.objects.create(
            plan=plan, verified_count=1, failed_count=2, findings=[f"key_lives {new_id()}", "journal_open"]
        )
    said = text(at(officer).get(page(plan)))
    assert str(FINDINGS["key_lives"]) in said
    assert str(FINDINGS["journal_open"]) in said
    assert "2 findings" in text(at(officer).get(reverse("admin:retention_plan_changelist")))
