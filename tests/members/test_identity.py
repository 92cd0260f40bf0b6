"""Checking identity: match or no match, three tries a day, and what they open."""

import dataclasses
import datetime
import threading
import uuid

import pytest
import time_machine
from django.core.exceptions import PermissionDenied
from django.db import connections
from django.utils import timezone

from access_control import policies
from access_control.codes import Purpose
from access_control.ledger import acting
from access_control.models import LedgerEvent
from access_control.vault import store
from access_control.vault.categories import Category
from access_control.vault.ring import keys_for
from members.events import Event
from members.models import Addressee, Case, ContactPoint, IdentityTry, Member, MemberGrant
from members.normal_forms import NotNormal
from members.services.cases import CaseClosed, close_case, open_case
from members.services.corrections import apply_correction, ask_correction, refuse_correction
from members.services.finding import find, found_by
from members.services.identity import (
    TRIES_A_DAY,
    AlreadyIdentified,
    Checked,
    NobodyToCompare,
    TooFewFacts,
    TooLittleOnFile,
    TriesUsedUp,
    check_identity,
    facts_that_prove,
    today,
    tries_left,
)
from tests import factories
from tests.databases import TOLD

LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
RIGHT = {"birth_date": "1980-02-03", "last_four": "5678"}
WRONG = {"birth_date": "1980-02-04", "last_four": "5678"}
WRONGS = [WRONG | {"birth_date": f"1980-02-{day:02}"} for day in (4, 5, 6)]


def last(case):
    return case.history.order_by("-history_id").first()


def test_two_facts_that_match_identify_and_open_the_cases_access(agent, call, hanako, events_of):
    checked = check_identity(call, said=RIGHT, actor=agent)
    assert checked == Checked(identified=True, tries_left=2)
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
    assert check_identity(call, said=said, actor=agent).identified
    assert set(IdentityTry.objects.get().offered) == set(said)


@pytest.mark.parametrize(
    "said",
    [
        WRONG,
        {"postcode": "100-0002", "last_four": "0000"},
        # Two that agree do not outweigh one that does not.
        RIGHT | {"postcode": "530-0001"},
    ],
)
def test_one_fact_that_disagrees_identifies_nobody(agent, call, hanako, said):
    """Number 19: and which one it was, neither the answer nor any row tells."""
    checked = check_identity(call, said=said, actor=agent)
    assert checked == Checked(identified=False, tries_left=2)
    assert [field.name for field in dataclasses.fields(checked)] == ["identified", "tries_left"]
    call.refresh_from_db()
    assert call.identified_at is None
    assert not MemberGrant.objects.exists()
    assert not policies.can(agent, "members.reveal_member", hanako)
    assert IdentityTry.objects.get().matched == []


def test_wrong_then_right_identifies(agent, call):
    assert not check_identity(call, said=WRONG, actor=agent).identified
    assert check_identity(call, said=RIGHT, actor=agent) == Checked(identified=True, tries_left=1)


def test_the_third_try_may_still_be_right(agent, call):
    for said in WRONGS[:2]:
        check_identity(call, said=said, actor=agent)
    assert check_identity(call, said=RIGHT, actor=agent).identified
    call.refresh_from_db()
    assert call.contested_at is None


def test_three_wrong_tries_contest_the_case_and_a_fourth_compares_nothing(agent, call, hanako, events_of):
    assert [check_identity(call, said=said, actor=agent).tries_left for said in WRONGS] == [2, 1, 0]
    call.refresh_from_db()
    assert call.contested_at
    assert events_of(hanako)[-1] == Event.CASE_CONTESTED
    assert last(call).contested_at == call.contested_at
    checks = events_of(hanako).count(Event.IDENTITY_CHECKED)
    fetched = len(store.fetch_records(LONG_AGO))
    with pytest.raises(TriesUsedUp):
        check_identity(call, said=RIGHT, actor=agent)
    # The constraint would refuse the row; only the service refuses to compare.
    assert len(store.fetch_records(LONG_AGO)) == fetched
    assert events_of(hanako).count(Event.IDENTITY_CHECKED) == checks
    assert IdentityTry.objects.count() == TRIES_A_DAY


def test_tries_are_counted_over_all_cases_and_staff(agent, second_agent, supervisor, hanako):
    for who in (agent, second_agent, supervisor):
        check_identity(factories.case(hanako, who), said=WRONG, actor=who)
    assert tries_left(hanako) == 0
    with pytest.raises(TriesUsedUp):
        check_identity(factories.case(hanako, agent), said=RIGHT, actor=agent)
    other = factories.case(factories.member(), agent)
    assert check_identity(other, said=RIGHT, actor=agent).identified


def test_no_other_clock_than_the_databases_brings_new_tries(agent, call, hanako):
    """Number 19: a web server whose clock is a day ahead gets none."""
    for said in WRONGS:
        check_identity(call, said=said, actor=agent)
    with time_machine.travel(timezone.now() + datetime.timedelta(days=1), tick=False):
        assert tries_left(hanako) == 0
        with pytest.raises(TriesUsedUp):
            check_identity(call, said=RIGHT, actor=agent)


def test_a_try_cannot_be_entered_under_another_day(agent, call, hanako):
    """Number 19: the database stamps it."""
    long_ago = datetime.date(2020, 1, 1)
    tried = IdentityTry.objects.create(
        member=hanako,
        day=long_ago,
        ordinal=1,
        case=call,
        staff=agent,
        at=LONG_AGO,
        offered=[],
        matched=[],
        passed=False,
    )
    tried.refresh_from_db()
    assert tried.day == today()
    assert timezone.now() - tried.at < datetime.timedelta(minutes=5)


def test_a_new_day_in_tokyo_brings_new_tries_and_lifts_the_contest(committed, as_role):
    hanako = factories.member()
    call = factories.case(hanako, factories.staff("agent"))
    three_tries_of_yesterday = (
        "INSERT INTO members_identitytry (id, member_id, day, ordinal, case_id, staff_id, at, offered, matched, passed)"
        " SELECT gen_random_uuid(), c.member_id, (clock_timestamp() AT TIME ZONE 'Asia/Tokyo')::date - 1, n, c.id,"
        "        c.owner_id, clock_timestamp() - interval '1 day', '{}', '{}', false"
        "   FROM members_case c, generate_series(1, 3) AS n"
    )
    with as_role("owner") as cursor:
        cursor.execute("ALTER TABLE members_identitytry DISABLE TRIGGER identity_try_is_now")
        cursor.execute(three_tries_of_yesterday)
        cursor.execute("ALTER TABLE members_identitytry ENABLE TRIGGER identity_try_is_now")
    with acting(None, reason="asked"):
        Case.objects.update(contested_at=timezone.now())
    assert check_identity(call, said=RIGHT, actor=call.owner).tries_left == 2
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
    with acting(None, reason="asked"):
        ContactPoint.objects.filter(member=hanako, kind="mobile").update(removed_at=timezone.now())
    assert not check_identity(call, said=RIGHT, actor=agent).identified


def test_a_removed_addressee_proves_nothing(agent, call, hanako):
    with acting(None, reason="asked"):
        Addressee.objects.filter(member=hanako).update(removed_at=timezone.now())
    assert facts_that_prove(call, actor=agent) == ["birth_date", "last_four"]
    with pytest.raises(TooLittleOnFile):
        check_identity(call, said={"birth_date": "1980-02-03", "postcode": "100-0001"}, actor=agent)
    mail_and_phone = {"birth_date": "1980-02-03", "postcode": "100-0001", "last_four": "5678"}
    assert check_identity(call, said=mail_and_phone, actor=agent).identified
    assert IdentityTry.objects.get().offered == ["birth_date", "last_four"]


def test_a_second_addressee_that_was_removed_does_not_prove(agent):
    one = {"name": "山田 一郎", "postcode": "100-0001", "address": "東京都千代田区千代田1-1"}
    member = factories.member(addressees=[one, one | {"postcode": "530-0001"}])
    case = factories.case(member, agent)
    with acting(None, reason="asked") as act:
        event = act.record(Event.SHOWN_MASKED, subject=member.pk)
        with keys_for([member.pk], [Category.DELIVERY], event=event) as ring:
            gone = next(
                r for r in Addressee.objects.filter(member=member) if ring.open_sealed(r, "postcode") == "530-0001"
            )
        Addressee.objects.filter(pk=gone.pk).update(removed_at=timezone.now())
    assert not check_identity(case, said={"birth_date": "1980-02-03", "postcode": "530-0001"}, actor=agent).identified
    assert check_identity(case, said={"birth_date": "1980-02-03", "postcode": "100-0001"}, actor=agent).identified


@pytest.mark.parametrize(
    "without", [{"birth_date": None}, {"addressees": []}, {"contacts": [{"kind": "email", "value": "a@example.jp"}]}]
)
def test_a_fact_that_is_not_on_file_is_neither_a_match_nor_a_try(agent, without):
    """Number 19: with two others the caller is identified by these; with one, nothing is compared."""
    case = factories.case(factories.member(**without), agent)
    everything = {"birth_date": "1980-02-03", "postcode": "100-0001", "last_four": "5678"}
    there = facts_that_prove(case, actor=agent)
    (missing,) = set(everything) - set(there)
    before = LedgerEvent.objects.count()
    for one in there:
        with pytest.raises(TooLittleOnFile):
            check_identity(case, said={one: everything[one], missing: everything[missing]}, actor=agent)
    assert not IdentityTry.objects.exists()
    assert LedgerEvent.objects.count() == before
    assert check_identity(case, said=everything, actor=agent).identified
    assert IdentityTry.objects.get().matched == sorted(there)


@pytest.mark.parametrize("value", ["なし", "-", "119"])
def test_a_telephone_on_file_that_is_none_is_no_fact(agent, value):
    """Number 19: what was kept although it can be no telephone neither matches nor breaks the check."""
    member = factories.member()
    case = factories.case(member, agent)
    with acting(None, reason="asked") as act:
        event = act.record(Event.SHOWN_MASKED, subject=member.pk)
        with keys_for([member.pk], [Category.CONTACT], event=event) as ring:
            for row in ContactPoint.objects.filter(member=member).exclude(kind="email"):
                ring.seal(row, value=value)
                row.save(update_fields=["value"])
    with pytest.raises(TooLittleOnFile):
        check_identity(case, said=RIGHT, actor=agent)
    assert not IdentityTry.objects.exists()
    assert check_identity(case, said=RIGHT | {"postcode": "100-0001"}, actor=agent).identified


@pytest.mark.parametrize("category", [Category.PROFILE, Category.CONTACT])
def test_of_a_destroyed_value_nothing_is_compared_and_no_try_is_spent(committed, as_role, category):
    """Number 19: what was destroyed is not on file, also where its row is still there."""
    hanako = factories.member()
    call = factories.case(hanako, factories.staff("agent"))
    with as_role("purger", "vault") as cursor:
        cursor.execute(
            "SELECT vault_destroy(ARRAY[%s]::uuid[], ARRAY[%s]::smallint[], ARRAY[1]::bigint[], ARRAY[%s]::uuid[], %s,"
            f" {TOLD})",
            [hanako.pk, category, uuid.uuid4(), b"\x01" * 32],
        )
    with pytest.raises(TooLittleOnFile):
        check_identity(call, said=RIGHT, actor=call.owner)
    assert not IdentityTry.objects.exists()


def test_the_same_facts_again_in_one_case_are_no_new_try(agent, call, hanako):
    """Number 19: however they are written, and whatever is said of what is not on file."""
    assert check_identity(call, said=WRONG, actor=agent) == Checked(identified=False, tries_left=2)
    again = [WRONG, {"birth_date": "昭和55年2月4日", "last_four": "５６７８"}]
    assert [check_identity(call, said=said, actor=agent) for said in again] == [Checked(False, 2)] * 2
    assert IdentityTry.objects.count() == 1
    assert tries_left(hanako) == 2
    # In another case they are.
    assert check_identity(factories.case(hanako, agent), said=WRONG, actor=agent).tries_left == 1
    # And other facts in this one.
    assert check_identity(call, said=WRONG | {"last_four": "1234"}, actor=agent).tries_left == 0


def test_what_was_said_is_kept_as_a_hash_that_dies_with_the_key(agent, call, hanako):
    """Number 19: the same text under another member's key, or another case, gives another hash."""
    check_identity(call, said=WRONG, actor=agent)
    other = factories.case(factories.member(), agent)
    check_identity(other, said=WRONG, actor=agent)
    check_identity(factories.case(hanako, agent), said=WRONG, actor=agent)
    hashes = {bytes(said) for said in IdentityTry.objects.values_list("said", flat=True)}
    assert {len(said) for said in hashes} == {32}
    assert len(hashes) == 3


def test_a_double_click_is_one_try(committed):
    """Number 19: two at once, of which one waits for the other."""
    agent, member = factories.staff("agent"), factories.member()
    case = factories.case(member, agent)
    start = threading.Barrier(2)
    left = []

    def click():
        start.wait(timeout=30)
        left.append(check_identity(case, said=WRONG, actor=agent).tries_left)
        connections.close_all()

    clicks = [threading.Thread(target=click) for _once in range(2)]
    for thread in clicks:
        thread.start()
    for thread in clicks:
        thread.join(timeout=60)
    assert left == [2, 2]
    assert IdentityTry.objects.count() == 1


def found_case(member, agent):
    """As the page opens it after a search."""
    found = found_by(member, actor=agent)
    return open_case(member, kind="correction", channel="phone", actor=agent, found_by=found)


FOUND = [
    (("03-5550-1234", ""), "last_four"),
    (("山田花子", "1980-02-03"), "birth_date"),
    (("ヤマダハナコ", "100-0001"), "postcode"),
    (("山田花子", "5678"), "last_four"),
]


@pytest.mark.parametrize(("typed", "told"), FOUND)
def test_a_fact_by_which_the_member_was_found_is_no_proof(agent, hanako, typed, told):
    """Number 19: and the case keeps the kind of what was typed, not what was typed."""
    (hit,) = find(*typed, actor=agent).hits
    assert hit.member == hanako.pk
    case = found_case(hanako, agent)
    everything = {"birth_date": "1980-02-03", "postcode": "100-0001", "last_four": "1234"}
    assert set(facts_that_prove(case, actor=agent)) == set(everything) - {told}
    assert not set(typed) & set(case.found_by)
    for other in set(everything) - {told}:
        with pytest.raises(TooLittleOnFile):
            check_identity(case, said={told: everything[told], other: everything[other]}, actor=agent)
    assert not IdentityTry.objects.exists()
    del everything[told]
    assert check_identity(case, said=everything, actor=agent).identified


@pytest.mark.parametrize("typed", [("hanako.yamada@example.jp", ""), ("M-0000777", "")])
def test_who_is_found_by_what_is_not_asked_proves_by_everything(agent, typed):
    member = factories.member(member_number="M-0000777")
    assert find(*typed, actor=agent).hits
    assert len(facts_that_prove(found_case(member, agent), actor=agent)) == 3


def test_found_by_several_ways_each_counts(agent, second_agent, hanako):
    """Number 19: to find the same member again by a number takes nothing back."""
    find("山田花子", "1980-02-03", actor=agent)
    find("hanako.yamada@example.jp", actor=agent)
    assert facts_that_prove(found_case(hanako, agent), actor=agent) == ["postcode", "last_four"]
    assert len(facts_that_prove(found_case(hanako, second_agent), actor=second_agent)) == 3


def test_a_fact_that_finding_confirms_later_is_no_proof_either(agent, call, hanako):
    """Past the three tries nothing is guessed fact by fact: not after the case was opened, nor before."""
    assert len(facts_that_prove(call, actor=agent)) == 3
    assert find("山田花子", "1980-02-03", actor=agent).hits
    assert facts_that_prove(call, actor=agent) == ["postcode", "last_four"]
    with pytest.raises(TooLittleOnFile):
        check_identity(call, said=RIGHT, actor=agent)
    assert find("山田花子", "100-0001", actor=agent).hits
    with pytest.raises(TooLittleOnFile):
        check_identity(call, said={"postcode": "100-0001", "last_four": "5678"}, actor=agent)
    assert not IdentityTry.objects.exists()


def test_what_was_found_before_the_case_counts_however_it_was_opened(agent, hanako):
    """A case that is opened past the page of the search, or long after it, forgets nothing."""
    find("山田花子", "1980-02-03", actor=agent)
    assert "birth_date" not in facts_that_prove(factories.case(hanako, agent), actor=agent)


def test_what_an_agent_found_counts_in_the_case_of_a_colleague_too(agent, second_agent, call, hanako):
    """Whether the case is taken over, or the supervisor looks at it."""
    find("山田花子", "1980-02-03", actor=second_agent)
    assert len(facts_that_prove(call, actor=agent)) == 3
    assert len(facts_that_prove(call, actor=second_agent)) == 2


def test_a_search_without_a_hit_and_one_for_somebody_else_cost_no_fact(agent, call, hanako):
    factories.member(name="山田 花子", birth_date="1981-01-01")
    find("山田花子", "1981-01-01", actor=agent)
    find("山田花子", "1982-01-01", actor=agent)
    assert len(facts_that_prove(call, actor=agent)) == 3


def test_who_has_identified_a_caller_since_may_ask_for_everything_again(agent, call, hanako):
    """A regular caller, found in another way each time, is not one day without anything to prove."""
    find("山田花子", "1980-02-03", actor=agent)
    assert check_identity(call, said={"postcode": "100-0001", "last_four": "5678"}, actor=agent).identified
    find("山田花子", "100-0001", actor=agent)
    assert facts_that_prove(factories.case(hanako, agent), actor=agent) == ["birth_date", "last_four"]


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


def asked(member, agent, model, item, text, **row):
    """A correction of one item of the member is pending, in another case."""
    other = factories.identify(factories.case(member, agent))
    target = member if model is Member else model.objects.get(member=member, **row)
    return ask_correction(other, item=item, row=target.pk, text=text, actor=agent)


SUSPENDED = [
    (Member, "member.birth_date", "1980-02-13", {}, RIGHT, "birth_date"),
    (Addressee, "addressee.postcode", "100-0002", {}, {"birth_date": "1980-02-03", "postcode": "1000001"}, "postcode"),
    (ContactPoint, "contact.mobile", "090-1000-5679", {"kind": "mobile"}, RIGHT, ""),
]


@pytest.mark.parametrize(("model", "item", "text", "row", "said", "fact"), SUSPENDED)
@pytest.mark.parametrize("decide", [apply_correction, refuse_correction])
def test_what_a_pending_correction_calls_wrong_proves_nothing(
    agent, second_agent, call, hanako, model, item, text, row, said, fact, decide
):
    """In no case: who says so is not identified by it, nor is whoever else calls; once it is decided, it counts."""
    wish = asked(hanako, second_agent, model, item, text, **row)
    for case, actor in ((call, agent), (factories.case(hanako, second_agent), second_agent)):
        proving = facts_that_prove(case, actor=actor)
        assert fact not in proving
        if fact:
            with pytest.raises(TooLittleOnFile):
                check_identity(case, said=said, actor=actor)
        else:
            # The other telephone still proves, the one in doubt does not.
            assert "last_four" in proving
            assert not check_identity(case, said=said, actor=actor).identified
    assert not Case.objects.filter(pk=call.pk, identified_at__isnull=False).exists()
    decide(wish, actor=second_agent, reason="asked")
    assert len(facts_that_prove(call, actor=agent)) == 3


def test_with_every_telephone_in_doubt_none_is_asked_for(agent, call, hanako):
    """The fact is left out, and the others identify."""
    for kind, text in (("mobile", "090-1000-5679"), ("phone", "03-5550-1235")):
        asked(hanako, agent, ContactPoint, f"contact.{kind}", text, kind=kind)
    assert facts_that_prove(call, actor=agent) == ["birth_date", "postcode"]
    assert check_identity(call, said={"birth_date": "1980-02-03", "postcode": "100-0001"}, actor=agent).identified


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
