"""Ending a membership and coming back: asked for by the identified member, told at once, guarded by the database."""

import datetime
import uuid

import pytest
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, transaction
from django.utils import timezone, translation

from access_control.codes import Purpose, Reason
from access_control.history import history_of
from access_control.ledger import acting
from access_control.models import LedgerEvent
from access_control.vault import store
from access_control.vault.categories import Category
from consent.gate import Code, Refused, decide
from consent.services.doors import reveal, use
from members.events import Event
from members.models import Case, ContactPoint, Correction, Member, Notice
from members.services.cases import CaseClosed, NotIdentified, WrongKind, close_case, open_case
from members.services.corrections import apply_correction, ask_correction, refuse_correction
from members.services.grants import revoke_grants
from members.services.membership import (
    AlreadyEnded,
    DataDestroyed,
    NotEnded,
    Pending,
    Undecided,
    end_membership,
    return_to_membership,
)
from members.showing import masked_member
from members.timeline import timeline
from tests import factories
from tests.members.test_corrections import last, opened

MAIL = "hanako.yamada@example.jp"


@pytest.fixture
def ending(agent, hanako):
    """A case in which the identified member asks to end the membership."""
    return factories.identify(factories.case(hanako, agent, kind="ending"))


@pytest.fixture
def ended(agent, ending):
    """The member, whose membership has ended."""
    return end_membership(ending, actor=agent)


@pytest.fixture
def coming_back(agent, ended):
    """A case in which the identified former member asks to come back."""
    return factories.identify(factories.case(ended, agent, kind="return"))


@pytest.fixture
def pending(agent, identified):
    """A correction that is neither applied nor refused, in another case of the member."""
    mail = ContactPoint.objects.get(member=identified.member, kind="email")
    return ask_correction(identified, item="contact.email", row=mail.pk, text="hanako@example.net", actor=agent)


# end_membership


def test_ending_changes_the_state_says_who_and_why_and_tells_the_member(agent, ending, hanako, events_of):
    before = timezone.now()
    ended = end_membership(ending, actor=agent)
    hanako.refresh_from_db()
    assert (ended.pk, hanako.state) == (hanako.pk, Member.State.ENDED)
    assert before <= hanako.ended_at <= timezone.now()
    assert events_of(hanako)[-2:] == [Event.ENDED, Event.NOTICE_QUEUED]
    event = LedgerEvent.objects.get(event=Event.ENDED)
    assert (event.actor, event.case, event.reason) == (agent.pk, ending.pk, Reason.ASKED)
    row = last(hanako)
    assert (row.history_type, row.history_user_id, row.history_case_id) == ("~", agent.pk, ending.pk)
    assert (row.state, row.history_change_reason) == (Member.State.ENDED, Reason.ASKED)
    notice = Notice.objects.get()
    assert (notice.kind, notice.case, notice.about) == (Notice.Kind.ENDED, ending, "")
    assert opened(hanako, notice, "to") == MAIL


def test_the_notice_goes_to_every_mail_address_on_file(agent):
    contacts = [
        {"kind": "email", "value": "a@example.jp"},
        {"kind": "mobile_email", "value": "b@example.jp"},
        {"kind": "phone", "value": "02-5550-1234"},
    ]
    member = factories.member(contacts=contacts, entity="kr", addressees=[])
    end_membership(factories.identify(factories.case(member, agent, kind="ending")), actor=agent)
    told = {opened(member, notice, "to"): (notice.item, notice.language) for notice in Notice.objects.all()}
    assert told == {"a@example.jp": ("contact.email", "en"), "b@example.jp": ("contact.mobile_email", "en")}


def test_somebody_without_mail_ends_a_membership_as_well(agent, events_of):
    member = factories.member(contacts=[{"kind": "phone", "value": "03-5550-1234"}])
    end_membership(factories.identify(factories.case(member, agent, kind="ending")), actor=agent)
    assert not Notice.objects.exists()
    assert events_of(member)[-1] == Event.ENDED


def test_from_now_on_nothing_is_used_but_the_notice_and_the_answer_go_out(agent, ending, hanako):
    mail = ContactPoint.objects.get(member=hanako, kind="email")
    given = {"item": "contact.email", "row": mail.pk, "purpose": Purpose.NOTICE}
    assert decide(hanako, **given).allowed
    ended = end_membership(ending, actor=agent)
    assert decide(ended, **given).code == Code.ENDED
    with pytest.raises(Refused) as refused:
        use(ended, mail, "value", reason="scheduled", **given)
    assert refused.value.decision.code == Code.ENDED
    notice = Notice.objects.get()
    assert use(ended, notice, "to", reason="scheduled", case=ending.pk, **given) == MAIL
    shown = reveal(ended, row=mail.pk, field="value", purpose=Purpose.COMPLAINT, case=ending, actor=agent)
    assert shown.text == MAIL


def test_other_open_cases_stay_open_and_keep_working(agent, identified, ending, hanako):
    end_membership(ending, actor=agent)
    identified.refresh_from_db()
    assert identified.state == Case.State.OPEN
    mail = ContactPoint.objects.get(member=hanako, kind="email")
    wish = ask_correction(identified, item="contact.email", row=mail.pk, text="hanako@example.net", actor=agent)
    assert apply_correction(wish, actor=agent).state == Correction.State.APPLIED
    with acting(agent, reason=Reason.DAILY_WORK) as act:
        assert masked_member(hanako, act=act)


def test_the_history_of_the_member_says_that_the_membership_ended_and_stands_again(agent, coming_back):
    return_to_membership(coming_back, actor=agent)
    with acting(agent, reason=Reason.DAILY_WORK) as act, translation.override("en"):
        entries = timeline(coming_back.member, act=act)
        # One transaction, so one entry: whatever a test changes is undone at its end.
        states = [change for entry in entries for change in entry.changes if str(change.label) == "state"]
    assert [(change.before, change.after) for change in states] == [
        ("member", "membership ended"),
        ("membership ended", "member"),
    ]


def test_a_membership_ends_once(agent, ended, hanako):
    again = factories.identify(factories.case(hanako, agent, kind="ending"))
    with pytest.raises(AlreadyEnded):
        end_membership(again, actor=agent)
    assert LedgerEvent.objects.filter(event=Event.ENDED).count() == Notice.objects.count() == 1


def test_pending_corrections_are_decided_first_and_named(agent, pending, ending, hanako):
    with pytest.raises(Undecided) as undecided:
        end_membership(ending, actor=agent)
    assert undecided.value.pending == (Pending(pending.case.reference, "contact.email"),)
    hanako.refresh_from_db()
    assert hanako.state == Member.State.ACTIVE
    refuse_correction(pending, actor=agent, reason=Reason.WITHDRAWN_BY_MEMBER)
    assert end_membership(ending, actor=agent).state == Member.State.ENDED


@pytest.mark.parametrize("kind", ["correction", "inquiry", "return"])
def test_another_kind_of_case_ends_no_membership(agent, hanako, kind):
    case = factories.identify(factories.case(hanako, agent, kind=kind))
    with pytest.raises(WrongKind):
        end_membership(case, actor=agent)


def test_an_unidentified_caller_ends_no_membership(agent, hanako):
    with pytest.raises(NotIdentified):
        end_membership(factories.case(hanako, agent, kind="ending"), actor=agent)
    with pytest.raises(NotIdentified):
        end_membership(open_case(None, kind="ending", channel="phone", actor=agent), actor=agent)
    hanako.refresh_from_db()
    assert hanako.state == Member.State.ACTIVE


def test_only_the_agent_of_the_case_under_its_live_grant(second_agent, supervisor, agent, ending, hanako):
    for other in (second_agent, supervisor):
        with pytest.raises(PermissionDenied):
            end_membership(ending, actor=other)
    revoke_grants(ending, actor=supervisor)
    with pytest.raises(PermissionDenied):
        end_membership(ending, actor=agent)
    hanako.refresh_from_db()
    assert hanako.state == Member.State.ACTIVE


def test_in_a_closed_case_nothing_ends(agent, ending):
    close_case(ending, outcome=Case.Outcome.DONE, actor=agent)
    with pytest.raises(CaseClosed):
        end_membership(ending, actor=agent)


def test_when_telling_fails_nothing_has_ended(agent, ending, hanako, monkeypatch):
    def fails(*arguments, **named):
        raise DatabaseError

    monkeypatch.setattr("members.services.membership.queue_notices", fails)
    with pytest.raises(DatabaseError):
        end_membership(ending, actor=agent)
    hanako.refresh_from_db()
    assert (hanako.state, hanako.ended_at) == (Member.State.ACTIVE, None)
    assert not LedgerEvent.objects.filter(event=Event.ENDED).exists()


# return_to_membership


def test_coming_back_makes_the_membership_stand_again(agent, coming_back, hanako, events_of):
    back = return_to_membership(coming_back, actor=agent)
    hanako.refresh_from_db()
    assert (back.pk, hanako.state, hanako.ended_at) == (hanako.pk, Member.State.ACTIVE, None)
    assert events_of(hanako)[-2:] == [Event.RETURNED, Event.NOTICE_QUEUED]
    event = LedgerEvent.objects.get(event=Event.RETURNED)
    assert (event.actor, event.case, event.reason) == (agent.pk, coming_back.pk, Reason.CHANGED_MIND)
    row = last(hanako)
    assert (row.state, row.ended_at, row.history_case_id) == (Member.State.ACTIVE, None, coming_back.pk)
    assert row.history_change_reason == Reason.CHANGED_MIND
    notice = Notice.objects.get(case=coming_back)
    assert (notice.kind, opened(hanako, notice, "to")) == (Notice.Kind.RETURNED, MAIL)
    mail = ContactPoint.objects.get(member=hanako, kind="email")
    assert decide(back, item="contact.email", row=mail.pk, purpose=Purpose.NOTICE).allowed


def test_who_has_not_left_does_not_come_back(agent, hanako):
    case = factories.identify(factories.case(hanako, agent, kind="return"))
    with pytest.raises(NotEnded):
        return_to_membership(case, actor=agent)
    assert not Notice.objects.exists()


@pytest.mark.parametrize("kind", ["correction", "inquiry", "ending"])
def test_another_kind_of_case_brings_nobody_back(agent, ended, kind):
    case = factories.identify(factories.case(ended, agent, kind=kind))
    with pytest.raises(WrongKind):
        return_to_membership(case, actor=agent)


def test_an_unidentified_caller_and_another_agent_bring_nobody_back(agent, second_agent, coming_back, ended):
    with pytest.raises(NotIdentified):
        return_to_membership(factories.case(ended, agent, kind="return"), actor=agent)
    with pytest.raises(PermissionDenied):
        return_to_membership(coming_back, actor=second_agent)
    ended.refresh_from_db()
    assert ended.state == Member.State.ENDED


def test_whose_data_was_destroyed_does_not_come_back(agent, coming_back, ended):
    with acting(None, reason=Reason.RETENTION_ENDED):
        Member.objects.filter(pk=ended.pk).update(state=Member.State.DESTROYED)
    with pytest.raises(DataDestroyed):
        return_to_membership(coming_back, actor=agent)


def test_a_destruction_that_has_not_told_the_rows_yet_counts(agent, coming_back, ended, monkeypatch):
    """Killed between the vault's commit and the console's: the fence stands, the row still says "ended"."""
    found = store.status([ended.pk])
    fenced = [
        store.KeyStatus(key.ref, alive=False, frozen=False, destroyed_at=timezone.now(), certificate_line=uuid.uuid4())
        if key.ref.category == Category.PAYMENT
        else key
        for key in found
    ]
    monkeypatch.setattr("members.services.membership.store.status", lambda subjects: fenced)
    with pytest.raises(DataDestroyed):
        return_to_membership(coming_back, actor=agent)
    ended.refresh_from_db()
    assert ended.state == Member.State.ENDED


def test_the_fence_of_a_corrected_value_keeps_nobody_from_coming_back(agent, identified, hanako, monkeypatch):
    mail = ContactPoint.objects.get(member=hanako, kind="email")
    wish = ask_correction(identified, item="contact.email", row=mail.pk, text="hanako@example.net", actor=agent)
    apply_correction(wish, actor=agent)
    end_membership(factories.identify(factories.case(hanako, agent, kind="ending")), actor=agent)
    found = store.status([hanako.pk])
    fenced = [
        store.KeyStatus(key.ref, alive=False, frozen=False, destroyed_at=timezone.now(), certificate_line=uuid.uuid4())
        if (key.ref.category, key.ref.generation) == (Category.CONTACT, 1)
        else key
        for key in found
    ]
    monkeypatch.setattr("members.services.membership.store.status", lambda subjects: fenced)
    back = factories.case(hanako, agent, kind="return")
    factories.identify(back)
    assert return_to_membership(back, actor=agent).state == Member.State.ACTIVE


# What the database refuses by itself


def refused(code, member, **changes):
    """The change is refused with this SQLSTATE, whoever asks, with an actor set."""
    with acting(None, reason=Reason.DAILY_WORK), pytest.raises(DatabaseError) as error, transaction.atomic():
        Member.objects.filter(pk=member.pk).update(**changes)
    assert error.value.__cause__.sqlstate == code


def test_the_database_refuses_an_ending_over_a_pending_correction(pending, hanako):
    refused("CA007", hanako, state="ended", ended_at=timezone.now())


def test_the_database_lets_nobody_skip_a_state_or_come_back_from_destruction(ended):
    other = factories.member()
    refused("CA006", other, state="destroyed", ended_at=timezone.now())
    with acting(None, reason=Reason.RETENTION_ENDED):
        Member.objects.filter(pk=ended.pk).update(state="destroyed")
    refused("CA006", ended, state="active", ended_at=None)
    refused("CA006", ended, state="ended")


def test_the_database_lets_nobody_move_the_day_from_which_a_due_date_counts(ended):
    earlier = ended.ended_at - datetime.timedelta(days=40)
    refused("CA006", ended, ended_at=earlier)
    refused("CA006", ended, state="destroyed", ended_at=earlier)


def test_the_history_of_members_holds_every_state(agent, coming_back, hanako):
    return_to_membership(coming_back, actor=agent)
    states = history_of(Member).objects.filter(id=hanako.pk).order_by("history_id").values_list("state", flat=True)
    assert list(states) == ["active", "ended", "active"]
