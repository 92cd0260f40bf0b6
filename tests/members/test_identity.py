"""Checking identity: match or no match, three tries a day, and what they open."""

import datetime

import pytest
import time_machine
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from access_control import policies
from access_control.codes import Purpose
from access_control.models import LedgerEvent
from access_control.vault import store
from members.events import Event
from members.models import Case, ContactPoint, IdentityTry, MemberGrant
from members.normal_forms import NotNormal
from members.services.cases import CaseClosed, close_case, open_case
from members.services.identity import (
    TRIES_A_DAY,
    AlreadyIdentified,
    Checked,
    NobodyToCompare,
    TooFewFacts,
    TriesUsedUp,
    check_identity,
    tries_left,
)
from tests import factories

RIGHT = {"birth_date": "1980-02-03", "last_four": "5678"}
WRONG = {"birth_date": "1980-02-04", "last_four": "5678"}


def last(case):
    return case.history.order_by("-history_id").first()


def test_two_facts_that_match_identify_and_open_the_cases_access(agent, call, hanako, events_of):
    checked = check_identity(call, said=RIGHT, actor=agent)
    assert checked == Checked({"birth_date": True, "last_four": True}, identified=True, tries_left=2)
    call.refresh_from_db()
    assert call.identified_at
    assert call.contested_at is None
    assert MemberGrant.objects.live().filter(case=call, user=agent).count() == 3
    assert events_of(hanako)[-3:] == [Event.IDENTITY_CHECKED, Event.IDENTITY_CONFIRMED, "grant:opened"]
    row = last(call)
    assert (row.history_type, row.history_user_id, row.identified_at) == ("~", agent.pk, call.identified_at)
    attempt = IdentityTry.objects.get()
    assert (attempt.ordinal, attempt.staff, attempt.passed) == (1, agent, True)
    assert (attempt.offered, attempt.matched) == (["birth_date", "last_four"], ["birth_date", "last_four"])


def test_a_check_is_recorded_with_its_purpose_and_the_vault_knows_its_event(agent, call, hanako):
    before = timezone.now() - datetime.timedelta(minutes=1)
    check_identity(call, said=WRONG, actor=agent)
    event = LedgerEvent.objects.get(event=Event.IDENTITY_CHECKED)
    assert (event.subject, event.case, event.purpose) == (hanako.pk, call.pk, Purpose.IDENTITY)
    assert event.id in {record[3] for record in store.fetch_records(before)}
    assert "1980" not in str(LedgerEvent.objects.values_list())
    assert "5678" not in str(IdentityTry.objects.values_list())


@pytest.mark.parametrize(
    "said",
    [
        {"birth_date": "昭和55年2月3日", "postcode": "〒１００－０００１"},
        {"birth_date": "S55.2.3", "last_four": "１２３４"},
        {"birth_date": "February 3, 1980", "postcode": "1000001"},
        {"postcode": "100-0001", "last_four": "5678"},
        {"birth_date": "一九八〇年二月三日", "postcode": "100-0001", "last_four": "1234"},
    ],
)
def test_a_caller_may_say_it_in_any_way(agent, call, said):
    checked = check_identity(call, said=said, actor=agent)
    assert checked.identified
    assert set(checked.matches) == set(said)


@pytest.mark.parametrize(
    ("said", "matches"),
    [
        (WRONG, {"birth_date": False, "last_four": True}),
        ({"postcode": "100-0002", "last_four": "0000"}, {"postcode": False, "last_four": False}),
        # Two that agree do not outweigh one that does not.
        (RIGHT | {"postcode": "530-0001"}, {"birth_date": True, "last_four": True, "postcode": False}),
    ],
)
def test_one_fact_that_disagrees_identifies_nobody(agent, call, hanako, said, matches):
    checked = check_identity(call, said=said, actor=agent)
    assert checked == Checked(matches, identified=False, tries_left=2)
    call.refresh_from_db()
    assert call.identified_at is None
    assert not MemberGrant.objects.exists()
    assert not policies.can(agent, "members.reveal_member", hanako)
    assert IdentityTry.objects.get().matched == sorted(name for name, matched in matches.items() if matched)


def test_wrong_then_right_identifies(agent, call):
    assert not check_identity(call, said=WRONG, actor=agent).identified
    assert check_identity(call, said=RIGHT, actor=agent) == Checked(
        {"birth_date": True, "last_four": True}, identified=True, tries_left=1
    )


def test_the_third_try_may_still_be_right(agent, call):
    for _once in range(2):
        check_identity(call, said=WRONG, actor=agent)
    assert check_identity(call, said=RIGHT, actor=agent).identified
    call.refresh_from_db()
    assert call.contested_at is None


def test_three_wrong_tries_contest_the_case_and_a_fourth_compares_nothing(agent, call, hanako, events_of):
    assert [check_identity(call, said=WRONG, actor=agent).tries_left for _once in range(3)] == [2, 1, 0]
    call.refresh_from_db()
    assert call.contested_at
    assert events_of(hanako)[-1] == Event.CASE_CONTESTED
    assert last(call).contested_at == call.contested_at
    checks = events_of(hanako).count(Event.IDENTITY_CHECKED)
    with pytest.raises(TriesUsedUp):
        check_identity(call, said=RIGHT, actor=agent)
    assert events_of(hanako).count(Event.IDENTITY_CHECKED) == checks
    assert IdentityTry.objects.count() == TRIES_A_DAY


def test_tries_are_counted_over_all_cases_and_staff(agent, second_agent, supervisor, hanako):
    for who in (agent, second_agent, supervisor):
        check_identity(factories.case(hanako, who), said=WRONG, actor=who)
    assert tries_left(hanako, now=timezone.now()) == 0
    with pytest.raises(TriesUsedUp):
        check_identity(factories.case(hanako, agent), said=RIGHT, actor=agent)
    other = factories.case(factories.member(), agent)
    assert check_identity(other, said=RIGHT, actor=agent).identified


def test_a_new_day_in_tokyo_brings_new_tries_and_lifts_the_contest(agent, call):
    late = datetime.datetime(2026, 11, 2, 14, 59, tzinfo=datetime.UTC)
    with time_machine.travel(late, tick=False):
        for _once in range(3):
            check_identity(call, said=WRONG, actor=agent)
        with pytest.raises(TriesUsedUp):
            check_identity(call, said=RIGHT, actor=agent)
    with time_machine.travel(late + datetime.timedelta(minutes=2), tick=False):
        assert check_identity(call, said=RIGHT, actor=agent).tries_left == 2
    call.refresh_from_db()
    assert call.contested_at is None
    assert call.identified_at


@pytest.mark.parametrize("said", [{}, {"birth_date": "1980-02-03"}, {"last_four": "5678", "postcode": "  "}])
def test_fewer_than_two_facts_spend_no_try(agent, call, said):
    with pytest.raises(TooFewFacts):
        check_identity(call, said=said, actor=agent)
    assert not IdentityTry.objects.exists()


@pytest.mark.parametrize(
    ("field", "text"), [("birth_date", "昭和65年1月1日"), ("postcode", "10000"), ("last_four", "35678")]
)
def test_what_cannot_be_read_spends_no_try_and_is_not_repeated(agent, call, field, text):
    with pytest.raises(NotNormal) as refused:
        check_identity(call, said=RIGHT | {field: text}, actor=agent)
    assert refused.value.field == field
    assert text not in f"{refused.value} {refused.value!r} {refused.value.message}"
    assert not IdentityTry.objects.exists()


def test_a_removed_telephone_proves_nothing(agent, call, hanako):
    from access_control.ledger import acting

    with acting(None, reason="asked"):
        ContactPoint.objects.filter(member=hanako, kind="mobile").update(removed_at=timezone.now())
    assert check_identity(call, said=RIGHT, actor=agent).matches == {"birth_date": True, "last_four": False}


def test_what_is_not_on_file_matches_nothing(agent):
    case = factories.case(factories.member(birth_date=None, addressees=[], contacts=[]), agent)
    checked = check_identity(case, said=RIGHT | {"postcode": "100-0001"}, actor=agent)
    assert set(checked.matches.values()) == {False}


@pytest.mark.parametrize(
    ("entity", "phone", "postcode"), [("kr", "010-2345-5678", "04524"), ("sg", "8123 5678", "238801")]
)
def test_members_of_other_sites_prove_themselves_in_their_own_notation(agent, entity, phone, postcode):
    member = factories.member(
        entity=entity,
        contacts=[{"kind": "mobile", "value": phone}],
        addressees=[{"name": "Kim", "postcode": postcode, "address": "1 Made-up Road"}],
    )
    said = {"postcode": postcode, "last_four": "5678"}
    assert check_identity(factories.case(member, agent), said=said, actor=agent).identified


def test_a_case_about_nobody_has_nobody_to_compare(agent):
    case = open_case(None, kind="inquiry", channel="phone", actor=agent)
    with pytest.raises(NobodyToCompare):
        check_identity(case, said=RIGHT, actor=agent)


def test_another_agent_checks_nothing(second_agent, auditor, call):
    for who in (second_agent, auditor):
        with pytest.raises(PermissionDenied):
            check_identity(call, said=RIGHT, actor=who)
    assert not IdentityTry.objects.exists()


def test_nothing_is_checked_in_a_closed_case(agent, call):
    close_case(call, outcome=Case.Outcome.NOT_IDENTIFIED, actor=agent)
    with pytest.raises(CaseClosed):
        check_identity(call, said=RIGHT, actor=agent)


def test_who_is_identified_is_not_asked_again(agent, identified):
    with pytest.raises(AlreadyIdentified):
        check_identity(identified, said=RIGHT, actor=agent)
    assert IdentityTry.objects.count() == 1


def test_who_takes_the_case_of_a_departed_colleague_gets_the_access(agent, second_agent, call, hanako):
    from access_control.services import leave

    leave(agent.person, on=factories.TODAY, actor=None)
    assert check_identity(call, said=RIGHT, actor=second_agent).identified
    assert policies.can(second_agent, "members.reveal_member", hanako)


def test_the_ledger_tells_a_check_that_identified_from_one_that_did_not(call, events_of, hanako):
    check_identity(call, said={"birth_date": "1980-02-04", "last_four": "1234"}, actor=call.owner)
    assert "identity:confirmed" not in events_of(hanako)
    factories.identify(call)
    assert events_of(hanako).count("identity:checked") == 2
    assert events_of(hanako).count("identity:confirmed") == 1
