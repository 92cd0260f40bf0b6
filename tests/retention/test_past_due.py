"""Number 6: the control, the list of what is left and the plan tell of the same things that are past their date.

And number 31, for ``retention.due``: its guards, each by what happens when it is taken out.
"""

import datetime
import uuid

import pytest
from django.utils import timezone

from access_control.controls import State
from access_control.ledger import acting
from access_control.vault.categories import Category, generation_of_case
from members.models import Case, ContactPoint, Member
from members.services.cases import add_note, close_case
from members.services.corrections import apply_correction, ask_correction
from retention import due
from retention.board import board, standing
from retention.controls import CONTROLS
from retention.due import Obstacles, due_now, not_due
from retention.leftovers import leftovers
from retention.models import PlanExclusion, PlanLine, Start
from retention.services.holds import lift_legal_hold, place_legal_hold
from retention.services.planning import make_plan
from retention.services.rules import rules_on
from tests import factories
from tests.retention.conftest import decided_long_ago, ended

YEARS = datetime.timedelta(days=4 * 365)
FAR = datetime.date(2999, 1, 1)


def corrected(member, agent, text="hanako@example.net"):
    """The member's e-mail address was corrected long ago; the case is still open."""
    case = factories.identify(factories.case(member, agent))
    row = ContactPoint.objects.get(member=member, kind="email")
    wish = ask_correction(case, item="contact.email", row=row.pk, text=text, actor=agent)
    apply_correction(wish, actor=agent)
    decided_long_ago(wish)
    return case


def closed(case, agent, *, ago=YEARS):
    """The case was closed years ago."""
    close_case(case, outcome="done", actor=agent)
    moment = timezone.now() - ago
    with acting(None, reason="asked"):
        Case.objects.filter(pk=case.pk).update(closed_at=moment, arrived_at=moment)
    return case


def noted(member, agent, *, identified):
    """An open case with a word in it, said before or after the caller was identified."""
    case = factories.case(member, agent)
    if identified:
        factories.identify(case)
    add_note(case, text="折り返しは午後", actor=agent)
    return case


def late_by_control(code="past_due"):
    """What the control names: ids for persons and cases."""
    (control,) = (one for one in CONTROLS if one.code == code)
    return [row.split(" ")[0] for row in control.measure(timezone.now()).rows]


def late_by_plan():
    """(what a plan lists, what it leaves out and why) by subject."""
    plan = make_plan(timezone.localdate(), actor=None)
    listed = {str(subject) for subject in PlanLine.objects.filter(plan=plan).values_list("subject", flat=True)}
    excluded = {
        (str(subject), reason)
        for subject, reason in PlanExclusion.objects.filter(plan=plan).values_list("subject", "reason")
    }
    return plan, listed, excluded


@pytest.fixture
def planted(agent, officer):
    """One of each kind of thing that is due, by what it is; and of those that something stands in the way of."""
    superseded, answered, held, disputed = (factories.member() for _once in range(4))
    closed(corrected(superseded, agent), agent, ago=datetime.timedelta(days=1))
    corrected(answered, agent)
    closed(corrected(held, agent), agent, ago=datetime.timedelta(days=1))
    place_legal_hold(held, ground="litigation", actor=officer)
    again = corrected(disputed, agent)
    row = ContactPoint.objects.get(member=disputed, kind="email")
    ask_correction(again, item="contact.email", row=row.pk, text="x@example.org", actor=agent)
    talked, talking = factories.member(), factories.member()
    closed(noted(talked, agent, identified=True), agent)
    closed(noted(talking, agent, identified=True), agent)
    factories.case(talking, agent)
    strange, unknown = (noted(about, agent, identified=False) for about in (factories.member(), None))
    strange_held, strange_asked = factories.member(), factories.member()
    cases = [closed(noted(about, agent, identified=False), agent) for about in (strange_held, strange_asked)]
    place_legal_hold(strange_held, ground="litigation", actor=officer)
    factories.case(strange_asked, agent)
    for case in (strange, unknown):
        closed(case, agent)
    gone, gone_held, gone_asked = (ended(factories.member()) for _once in range(3))
    place_legal_hold(gone_held, ground="litigation", actor=officer)
    factories.case(gone_asked, agent)
    return {
        "due": {str(one.pk) for one in (superseded, answered, talked, strange, unknown, gone)},
        "excluded": {
            (str(held.pk), "legal_hold"),
            (str(disputed.pk), "correction_pending"),
            (str(talking.pk), "open_case"),
            (str(cases[0].pk), "legal_hold"),
            (str(cases[1].pk), "open_case"),
            (str(gone_held.pk), "legal_hold"),
            (str(gone_asked.pk), "open_case"),
        },
    }


def test_control_list_and_plan_tell_of_the_same_things(planted):
    """Number 6: one of each kind that is due is planted, and one of each that something stands in the way of."""
    assert set(late_by_control()) == planted["due"]
    plan, listed, excluded = late_by_plan()
    assert listed == planted["due"]
    assert excluded == planted["excluded"]
    by_reason = {row.reason: row for row in leftovers(now=timezone.now())}
    assert (by_reason["planned"].items, by_reason["planned"].persons) == (plan.line_count, len(planted["due"]))
    for reason in PlanExclusion.Reason:
        found = PlanExclusion.objects.filter(plan=plan, reason=reason).values_list("line_count", flat=True)
        assert (by_reason[reason].items, by_reason[reason].persons) == (sum(found), len(found))


def test_a_former_members_words_are_named_when_nothing_else_is_left(agent):
    """Number 6: correspondence goes with the membership, where the site's rules say so."""
    member = factories.member()
    closed(noted(member, agent, identified=True), agent, ago=datetime.timedelta(days=70))
    ended(member)
    with acting(None, reason="asked"):
        Member.objects.filter(pk=member.pk).update(birth_date=None, sex=None, occupation=None)
    assert late_by_control() == [str(member.pk)]


def test_books_wait_for_a_hold_and_for_no_case(agent, officer):
    """Number 6: the control of what the law keeps says what plan and leftovers say."""
    member = factories.member(member_number="R0000601")
    factories.transaction("R0000601", ordered_on="2015-05-01")
    factories.case(member, agent)
    assert late_by_control("kept_too_long") == ["2015"]
    assert late_by_plan()[1] == {str(member.pk)}
    hold = place_legal_hold(member, ground="litigation", actor=officer)
    assert late_by_control("kept_too_long") == []
    assert late_by_plan()[1:] == (set(), {(str(member.pk), "legal_hold")})
    lift_legal_hold(hold, actor=officer)
    assert late_by_control("kept_too_long") == ["2015"]


def test_events_that_no_rule_counts_from_leave_the_sentence_unjudged(monkeypatch):
    """Number 6: last use, delivery completed, addressee removed, payment means replaced."""

    def state():
        results = [row.result for row in board(now=timezone.now()) if row.sentence == "P7_A0"]
        return standing(one for one in results if one.control.code != "destruction_orders")

    assert state() == State.NOT_YET
    (control,) = (one for one in CONTROLS if one.code == "not_counted")
    assert control.measure(timezone.now()).figure == 4
    monkeypatch.setattr("retention.controls.due.COUNTED_FROM", dict(Start.choices))
    assert control.measure(timezone.now()).figure == 0


# Number 31: guards of retention.due.


def test_words_of_an_open_case_are_never_due_and_those_of_another_case_stay(agent, hanako):
    """Number 31: only closed cases are counted, and only the generation of their own words."""
    over = closed(noted(hanako, agent, identified=True), agent)
    still = noted(hanako, agent, identified=True)
    early = noted(None, agent, identified=False)
    version = rules_on(timezone.localdate())
    keys = due_now([hanako.pk, early.pk], FAR, version=version)
    assert [(key.subject, key.generation) for key in keys] == [(hanako.pk, generation_of_case(over.pk))]
    assert generation_of_case(still.pk) != generation_of_case(over.pk)


def test_what_is_due_of_one_category_says_nothing_of_another(hanako):
    """Number 31: a line is due still only by its own category."""
    gone = ended(hanako)
    plan = make_plan(timezone.localdate(), actor=None)
    version = rules_on(timezone.localdate())
    lines = {line.category: line.pk for line in PlanLine.objects.filter(plan=plan)}
    asked = list(lines.values())
    assert not_due(asked, plan.as_of, of=[gone.pk], version=version) == set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(due, "_DUE", f"SELECT * FROM ({due._DUE}) AS every WHERE category <> {int(Category.CONTACT)}")
        assert not_due(asked, plan.as_of, of=[gone.pk], version=version) == {lines[Category.CONTACT]}


def test_what_stands_in_the_way(agent, officer, hanako):
    """Number 31: a hold reaches words of a case before identification, another open case too; books wait for none."""
    words = (Category.CORRESPONDENCE, Start.CASE_CLOSED)
    case = closed(noted(hanako, agent, identified=False), agent)
    stranger = uuid.uuid4()

    def reasons():
        found = Obstacles([hanako.pk, case.pk, stranger])
        return [found.of(subject, *words) for subject in (hanako.pk, case.pk, stranger)]

    assert reasons() == ["", "", ""]
    other = factories.case(hanako, agent)
    assert reasons() == ["open_case", "open_case", ""]
    found = Obstacles([hanako.pk])
    assert found.of(hanako.pk, Category.IDENTITY, Start.MEMBERSHIP_ENDED) == "open_case"
    assert found.of(hanako.pk, Category.CONTACT, Start.VALUE_SUPERSEDED) == ""
    assert found.of(hanako.pk, Category.STATUTORY, Start.TRANSACTION) == ""
    close_case(other, outcome="done", actor=agent)
    place_legal_hold(hanako, ground="litigation", actor=officer)
    assert reasons() == ["legal_hold", "legal_hold", ""]
