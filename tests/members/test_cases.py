"""Opening, noting, handing over and closing cases."""

import datetime
import re

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction

from access_control import policies
from access_control.codes import Reason, SubjectKind
from access_control.models import LedgerEvent, Staff
from access_control.services import leave, move
from members.events import Event
from members.models import Case, CaseNote, ContactPoint, MemberGrant
from members.services.cases import (
    CaseClosed,
    CorrectionPending,
    ForbiddenNumber,
    add_note,
    close_case,
    hand_over,
    open_case,
    read_notes,
)
from members.services.corrections import ask_correction
from tests import factories

CARD, MY_NUMBER = "4111-1111-1111-1111", "1234 5678 9018"


def last(case):
    """The newest history row of a case."""
    return case.history.order_by("-history_id").first()


def live(case):
    """Who holds a live grant by the case."""
    return set(MemberGrant.objects.live().filter(case=case).values_list("user", flat=True))


# open_case


def test_opening_a_case_gives_it_an_owner_a_deadline_and_no_access(agent, hanako, events_of):
    arrived = datetime.datetime(2026, 10, 31, 23, 30, tzinfo=datetime.UTC)
    case = open_case(hanako, kind="correction", channel="fax", actor=agent, arrived_at=arrived)
    case.refresh_from_db()
    assert (case.owner, case.member, case.state, case.outcome) == (agent, hanako, Case.State.OPEN, "")
    # It came on November 1 in Tokyo, and deadlines count from arrival.
    assert case.due_on == datetime.date(2026, 11, 15)
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}", case.reference)
    assert live(case) == set()
    assert not policies.can(agent, "members.reveal_member", hanako)
    assert events_of(hanako)[-1] == Event.CASE_OPENED
    row = last(case)
    assert (row.history_type, row.history_user_id, row.history_case_id) == ("+", agent.pk, case.pk)
    assert row.history_change_reason == Reason.ASKED


def test_a_caller_who_is_no_member_gets_a_case_about_nobody(agent):
    case = open_case(None, kind="inquiry", channel="letter", actor=agent)
    assert case.member is None
    event = LedgerEvent.objects.get(case=case.pk)
    assert (event.event, event.subject, event.actor) == (Event.CASE_OPENED, None, agent.pk)


@pytest.mark.parametrize("role", ["officer", "auditor", "administrator"])
def test_who_does_not_answer_members_opens_no_case(role, hanako, request):
    with pytest.raises(PermissionDenied):
        open_case(hanako, kind="correction", channel="phone", actor=request.getfixturevalue(role))
    assert not Case.objects.exists()


def test_who_has_left_opens_no_case(agent, hanako):
    leave(agent.person, on=factories.TODAY, actor=None)
    with pytest.raises(PermissionDenied):
        open_case(hanako, kind="correction", channel="phone", actor=Staff.objects.get(pk=agent.pk))


# add_note, read_notes


def test_a_note_before_the_caller_is_identified_is_sealed_for_the_case(agent, call):
    note = add_note(call, text="夫から電話。本人ではない。", actor=agent)
    assert note.subject_id == call.pk
    event = LedgerEvent.objects.get(note=note.pk)
    assert (event.event, event.subject, event.subject_kind) == (Event.NOTE_ADDED, call.pk, SubjectKind.CASE)
    assert "夫" not in str(LedgerEvent.objects.values_list())
    assert "夫".encode() not in CaseNote.objects.get().text.blob


def test_a_note_of_an_identified_caller_is_sealed_for_the_member(agent, identified, hanako):
    note = add_note(identified, text="折り返しは午後", actor=agent)
    assert note.subject_id == hanako.pk
    assert LedgerEvent.objects.get(note=note.pk).subject_kind == SubjectKind.MEMBER


def test_notes_are_read_in_order_and_the_reading_is_recorded(agent, call):
    add_note(call, text="一", actor=agent)
    factories.identify(call)
    add_note(call, text="二", actor=agent)
    add_note(call, text="三", actor=agent)
    assert [text for _note, text in read_notes(call, actor=agent)] == ["一", "二", "三"]
    event = LedgerEvent.objects.get(event=Event.NOTES_READ)
    assert (event.actor, event.case, event.count) == (agent.pk, call.pk, 3)


def test_where_there_is_no_note_nothing_is_opened(agent, call):
    assert read_notes(call, actor=agent) == []
    assert not LedgerEvent.objects.filter(event=Event.NOTES_READ).exists()


def test_another_agent_neither_reads_nor_writes_notes(agent, second_agent, call):
    add_note(call, text="一", actor=agent)
    with pytest.raises(PermissionDenied):
        read_notes(call, actor=second_agent)
    with pytest.raises(PermissionDenied):
        add_note(call, text="二", actor=second_agent)
    assert CaseNote.objects.count() == 1


@pytest.mark.parametrize(
    "text", [f"カード番号は{CARD}です", f"マイナンバー {MY_NUMBER}", "４１１１１１１１１１１１１１１１"]
)
def test_no_note_holds_a_card_number_or_an_individual_number(agent, call, text):
    with pytest.raises(ForbiddenNumber) as refused:
        add_note(call, text=text, actor=agent)
    assert not re.search(r"\d", f"{refused.value}{refused.value!r}")
    assert not CaseNote.objects.exists()


def test_nothing_is_noted_on_a_closed_case(agent, call):
    close_case(call, outcome=Case.Outcome.NOT_IDENTIFIED, actor=agent)
    with pytest.raises(CaseClosed):
        add_note(call, text="一", actor=agent)


# hand_over


def test_a_case_handed_over_takes_the_access_with_it(agent, second_agent, supervisor, identified, hanako, events_of):
    assert live(identified) == {agent.pk}
    hand_over(identified, to=second_agent, actor=supervisor)
    identified.refresh_from_db()
    assert identified.owner == second_agent
    assert live(identified) == {second_agent.pk}
    assert policies.can(second_agent, "members.reveal_member", hanako)
    assert not policies.can(agent, "members.reveal_member", hanako)
    assert events_of(hanako)[-3:] == ["grant:ended", "grant:opened", Event.CASE_REASSIGNED]
    assert last(identified).history_user_id == supervisor.pk


def test_a_case_handed_over_before_the_check_gives_no_access(second_agent, supervisor, call):
    hand_over(call, to=second_agent, actor=supervisor)
    assert live(call) == set()


def test_an_agent_hands_no_case_over(agent, second_agent, call):
    with pytest.raises(PermissionDenied):
        hand_over(call, to=second_agent, actor=agent)
    call.refresh_from_db()
    assert call.owner == agent


@pytest.mark.parametrize("role", ["auditor", "officer", "administrator"])
def test_nobody_gets_a_case_who_may_not_work_on_it(role, supervisor, call, request):
    with pytest.raises(PermissionDenied):
        hand_over(call, to=request.getfixturevalue(role), actor=supervisor)


def test_a_closed_case_is_not_handed_over(agent, second_agent, supervisor, call):
    close_case(call, outcome=Case.Outcome.TAKEN_BACK, actor=agent)
    with pytest.raises(CaseClosed):
        hand_over(call, to=second_agent, actor=supervisor)


# close_case


def test_closing_a_case_ends_every_grant_it_gave(agent, identified, hanako, events_of):
    close_case(identified, outcome=Case.Outcome.DONE, actor=agent)
    identified.refresh_from_db()
    assert (identified.state, identified.outcome) == (Case.State.CLOSED, Case.Outcome.DONE)
    assert live(identified) == set()
    assert set(MemberGrant.objects.values_list("end_reason", flat=True)) == {Reason.CASE_CLOSED}
    assert events_of(hanako)[-2:] == ["grant:ended", Event.CASE_CLOSED]
    assert (last(identified).history_type, last(identified).state) == ("~", Case.State.CLOSED)


def test_closing_twice_is_refused(agent, call):
    close_case(call, outcome=Case.Outcome.DONE, actor=agent)
    with pytest.raises(CaseClosed):
        close_case(call, outcome=Case.Outcome.DONE, actor=agent)


def test_a_case_without_an_outcome_stays_open(agent, identified):
    with pytest.raises(IntegrityError), transaction.atomic():
        close_case(identified, outcome="", actor=agent)
    identified.refresh_from_db()
    assert identified.state == Case.State.OPEN
    assert live(identified) == {agent.pk}


def test_a_pending_correction_keeps_its_case_open(agent, identified, hanako):
    mail = ContactPoint.objects.get(member=hanako, kind="email")
    ask_correction(identified, item="contact.email", row=mail.pk, text="new@example.net", actor=agent)
    with pytest.raises(CorrectionPending):
        close_case(identified, outcome=Case.Outcome.DONE, actor=agent)
    assert live(identified) == {agent.pk}


@pytest.mark.parametrize("role", ["second_agent", "supervisor", "officer", "auditor"])
def test_only_its_own_agent_closes_a_case(role, call, request):
    with pytest.raises(PermissionDenied):
        close_case(call, outcome=Case.Outcome.DONE, actor=request.getfixturevalue(role))
    call.refresh_from_db()
    assert call.state == Case.State.OPEN


# The team's queue


def test_a_case_of_somebody_who_left_is_the_teams(agent, second_agent, auditor, call):
    assert not policies.can(second_agent, "members.work_case", call)
    leave(agent.person, on=factories.TODAY, actor=None)
    assert policies.can(second_agent, "members.work_case", call)
    assert not policies.can(auditor, "members.work_case", call)
    close_case(call, outcome=Case.Outcome.TAKEN_BACK, actor=second_agent)


@pytest.mark.parametrize("work", [{"access_class": ""}, {"access_class": "needed", "role": "auditor"}])
def test_a_case_of_somebody_who_moved_to_other_work_is_the_teams(agent, second_agent, call, work):
    move(agent.person, **work, actor=None)
    assert policies.can(second_agent, "members.work_case", call)
