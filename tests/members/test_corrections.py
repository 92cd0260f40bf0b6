"""Corrections: asked for, suspended at once, applied or refused; the old value under a generation of the past."""

import re

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from access_control.codes import Purpose, Reason
from access_control.history import history_of
from access_control.ledger import acting
from access_control.models import LedgerEvent
from access_control.vault import seal, store
from access_control.vault.categories import Category
from access_control.vault.ring import keys_for
from consent.gate import Code, Refused, decide
from consent.models import Engagement, Provision, Recipient
from consent.services.doors import provide, reveal, use
from members.events import Event
from members.inventory import ITEMS
from members.models import Addressee, Case, ContactPoint, Correction, Member, Notice, PaymentMeans, Suspension
from members.normal_forms import NotNormal
from members.services import corrections
from members.services.cases import CaseClosed, ForbiddenNumber, close_case
from members.services.corrections import (
    AlreadyDecided,
    AlreadyPending,
    ImmutableItem,
    NoSuchItem,
    NotIdentified,
    Unchanged,
    apply_correction,
    ask_correction,
    refuse_correction,
)
from members.services.finding import find
from members.services.grants import revoke_grants
from tests import factories

OLD, NEW = "hanako.yamada@example.jp", "hanako@example.net"


@pytest.fixture
def mail(hanako):
    return ContactPoint.objects.get(member=hanako, kind="email")


@pytest.fixture
def asked(agent, identified, mail):
    """A new mail address is asked for."""
    return ask_correction(identified, item="contact.email", row=mail.pk, text=NEW, actor=agent)


def opened(member, row, name):
    """A value in clear, past the doors."""
    with acting(None, reason="asked") as act:
        event = act.record(Event.COMPARED)
    with keys_for([member.pk], list(Category), event=event) as ring:
        return ring.open_sealed(row, name)


def last(row):
    return row.history.order_by("-history_id").first()


def generation(row, name):
    return seal.header(getattr(row, name).blob)[1]


# ask_correction


def test_asking_suspends_at_once_and_seals_the_wish(agent, identified, hanako, mail, events_of):
    correction = ask_correction(identified, item="contact.email", row=mail.pk, text=NEW.upper(), actor=agent)
    correction.refresh_from_db()
    assert (correction.state, correction.field, correction.case) == (Correction.State.ASKED, "value", identified)
    assert opened(hanako, correction, "proposed") == NEW
    assert opened(hanako, mail, "value") == OLD
    suspension = Suspension.objects.get()
    assert (suspension.item, suspension.row, suspension.ended_at) == ("contact.email", mail.pk, None)
    event = LedgerEvent.objects.get(event=Event.CORRECTION_ASKED)
    assert (event.subject, event.items, event.case) == (hanako.pk, ["contact.email"], identified.pk)
    for row in (correction, suspension):
        assert (last(row).history_type, last(row).history_user_id) == ("+", agent.pk)
        assert last(row).history_case_id == identified.pk
    assert NEW not in str(LedgerEvent.objects.values_list())


def test_an_unidentified_caller_changes_and_stops_nothing(agent, call, hanako, mail):
    with pytest.raises(NotIdentified):
        ask_correction(call, item="contact.email", row=mail.pk, text=NEW, actor=agent)
    assert not Suspension.objects.exists()
    assert decide(hanako, item="contact.email", row=mail.pk, purpose=Purpose.NOTICE).allowed


@pytest.mark.parametrize("item", ["member.name", "member.kana", "member.login_id", "member.number"])
def test_name_and_id_cannot_be_corrected(agent, identified, hanako, item):
    with pytest.raises(ImmutableItem):
        ask_correction(identified, item=item, row=hanako.pk, text="佐藤 花子", actor=agent)
    assert not Correction.objects.exists()


def test_an_item_that_holds_nothing_is_none_to_correct(agent):
    """It would be suspended, and could not be applied: there is no old value to supersede."""
    member = factories.member(occupation="")
    case = factories.identify(factories.case(member, agent))
    with pytest.raises(NoSuchItem):
        ask_correction(case, item="member.occupation", row=member.pk, text="教員", actor=agent)
    assert not Correction.objects.exists()


@pytest.mark.parametrize("item", ["member.nickname", "", "case.note", "correction.proposed", "notice.to"])
def test_only_items_of_the_policy_are_corrected(agent, identified, hanako, item):
    with pytest.raises(NoSuchItem):
        ask_correction(identified, item=item, row=hanako.pk, text="x", actor=agent)


def test_an_item_is_corrected_in_its_own_row_only(agent, identified, hanako, mail):
    other = factories.member()
    theirs = ContactPoint.objects.get(member=other, kind="email")
    phone = ContactPoint.objects.get(member=hanako, kind="phone")
    for row in (theirs.pk, phone.pk, hanako.pk, identified.pk):
        with pytest.raises(NoSuchItem):
            ask_correction(identified, item="contact.email", row=row, text=NEW, actor=agent)
    card = PaymentMeans.objects.get(member=hanako, kind="card")
    with pytest.raises(NoSuchItem):
        ask_correction(identified, item="payment.account_last_four", row=card.pk, text="1111", actor=agent)


def test_what_is_on_file_already_is_no_correction(agent, identified, mail):
    with pytest.raises(Unchanged):
        ask_correction(identified, item="contact.email", row=mail.pk, text=f" {OLD.upper()} ", actor=agent)
    assert not Suspension.objects.exists()


def test_23_a_removed_row_is_corrected_no_more(agent, identified, hanako, mail):
    """Number 23 and GUARDS: what the member took away is neither corrected nor sealed again."""
    phone = ContactPoint.objects.get(member=hanako, kind="phone")
    sealed = phone.value
    with acting(None, reason=Reason.MY_PAGE):
        ContactPoint.objects.filter(pk=phone.pk).update(removed_at=timezone.now())
    with pytest.raises(NoSuchItem):
        ask_correction(identified, item="contact.phone", row=phone.pk, text="03-5550-9876", actor=agent)
    apply_correction(ask_correction(identified, item="contact.email", row=mail.pk, text=NEW, actor=agent), actor=agent)
    phone.refresh_from_db()
    assert phone.value == sealed


def test_23_a_number_that_is_none_is_kept_and_marked_until_a_good_one_comes(agent, identified, hanako):
    """Number 23: a correction marks what it keeps, as an import does."""
    phone = ContactPoint.objects.get(member=hanako, kind="phone")
    for text, well_formed in (("03-5550-123", False), ("03-5550-1235", True)):
        apply_correction(
            ask_correction(identified, item="contact.phone", row=phone.pk, text=text, actor=agent), actor=agent
        )
        phone.refresh_from_db()
        assert (opened(hanako, phone, "value"), phone.well_formed) == (text, well_formed)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(item=st.sampled_from(sorted(ITEMS)), text=st.text(st.characters(categories=("L", "M", "N", "P", "S", "Z", "C"))))
def test_23_no_text_asked_for_breaks_a_correction(agent, identified, hanako, item, text):
    """Number 23: fuzzed. A wish is refused by a sentence, or it waits."""
    for row in corrections.data_rows(hanako):
        try:
            wish = ask_correction(identified, item=item, row=row.pk, text=text, actor=agent)
        except (NotNormal, NoSuchItem, ImmutableItem, Unchanged, ForbiddenNumber, AlreadyPending, ValidationError):
            continue
        assert wish.state == Correction.State.ASKED
        refuse_correction(wish, actor=agent, reason=Reason.NOT_PROVEN)
    assert not Suspension.objects.filter(ended_at=None).exists()


def test_an_item_is_pending_once(agent, identified, mail, asked):
    with pytest.raises(AlreadyPending):
        ask_correction(identified, item="contact.email", row=mail.pk, text="third@example.net", actor=agent)
    assert Suspension.objects.count() == Correction.objects.count() == 1


def test_two_items_of_one_row_are_pending_side_by_side(agent, identified, hanako):
    home = Addressee.objects.get(member=hanako)
    for item, text in (("addressee.address", "東京都港区芝1-1"), ("addressee.postcode", "105-0014")):
        ask_correction(identified, item=item, row=home.pk, text=text, actor=agent)
    assert Suspension.objects.filter(ended_at=None).count() == 2


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ("contact.email", "hanako..y@example.net"),
        ("contact.email", "not an address"),
        ("contact.phone", "03-99"),
        ("member.birth_date", "1980-02-30"),
        ("member.sex", "  "),
        ("addressee.postcode", "12-34"),
        ("payment.card_last_four", "12345"),
    ],
)
def test_what_is_no_such_item_is_refused_and_not_repeated(agent, identified, hanako, item, text):
    with pytest.raises(NotNormal) as refused:
        ask_correction(identified, item=item, row=hanako.pk, text=text, actor=agent)
    assert text.strip() == "" or text not in f"{refused.value} {refused.value!r} {refused.value.message}"
    assert not Correction.objects.exists()


@pytest.mark.parametrize("text", ["4111 1111 1111 1111", "３７８２８２２４６３１０００５", "1234-5678-9018"])
@pytest.mark.parametrize("item", ["addressee.address", "member.occupation", "payment.card_token", "contact.phone"])
def test_no_item_becomes_a_card_number_or_an_individual_number(agent, identified, hanako, item, text):
    with pytest.raises(ForbiddenNumber) as refused:
        ask_correction(identified, item=item, row=hanako.pk, text=text, actor=agent)
    assert not re.search(r"\d", f"{refused.value}{refused.value!r}")


def test_nobody_corrects_in_a_colleagues_case(second_agent, supervisor, auditor, identified, mail):
    for other in (second_agent, supervisor, auditor):
        with pytest.raises(PermissionDenied):
            ask_correction(identified, item="contact.email", row=mail.pk, text=NEW, actor=other)


def test_without_a_live_grant_nothing_is_corrected(agent, supervisor, identified, mail, asked):
    revoke_grants(identified, actor=supervisor)
    phone = ContactPoint.objects.get(member=identified.member, kind="phone")
    with pytest.raises(PermissionDenied):
        ask_correction(identified, item="contact.phone", row=phone.pk, text="03-5550-9876", actor=agent)
    with pytest.raises(PermissionDenied):
        apply_correction(asked, actor=agent)
    with pytest.raises(PermissionDenied):
        refuse_correction(asked, actor=agent, reason=Reason.NOT_TRUE)
    asked.refresh_from_db()
    assert asked.state == Correction.State.ASKED


def test_nothing_is_corrected_in_a_closed_case(agent, identified, mail):
    close_case(identified, outcome=Case.Outcome.DONE, actor=agent)
    with pytest.raises(CaseClosed):
        ask_correction(identified, item="contact.email", row=mail.pk, text=NEW, actor=agent)


# What a suspension stops, and what it does not


def test_a_suspended_item_is_neither_used_nor_provided_but_revealed_in_its_case(agent, identified, hanako, mail, asked):
    with pytest.raises(Refused) as refused:
        use(hanako, mail, "value", item="contact.email", row=mail.pk, purpose=Purpose.NOTICE, reason="scheduled")
    assert refused.value.decision.code == Code.SUSPENDED
    contractor = Recipient.objects.get(kind="contractor")
    Engagement.objects.create(
        recipient=contractor,
        items=["contact.email", "contact.phone"],
        purposes=[Purpose.NOTICE],
        announced_on="2020-01-01",
        starts_on="2020-01-01",
        ends_on="2099-12-31",
    )
    given = {"recipient": contractor, "basis": "B1", "purpose": Purpose.NOTICE, "actor": agent, "reason": "asked"}
    with pytest.raises(Refused) as refused:
        provide(hanako, what=[(mail.pk, "value")], **given)
    assert refused.value.decision.code == Code.SUSPENDED
    assert not Provision.objects.exists()
    phone = ContactPoint.objects.get(member=hanako, kind="phone")
    assert provide(hanako, what=[(phone.pk, "value")], **given).values
    # Handing both out hands nothing out.
    with pytest.raises(Refused):
        provide(hanako, what=[(phone.pk, "value"), (mail.pk, "value")], **given)
    shown = reveal(hanako, row=mail.pk, field="value", purpose=Purpose.COMPLAINT, case=identified, actor=agent)
    assert shown.text == OLD


def test_a_suspended_item_is_not_revealed_in_another_case(second_agent, hanako, mail, asked):
    other = factories.identify(factories.case(hanako, second_agent))
    with pytest.raises(Refused) as refused:
        reveal(hanako, row=mail.pk, field="value", purpose=Purpose.COMPLAINT, case=other, actor=second_agent)
    assert refused.value.decision.code == Code.SUSPENDED


# apply_correction


def test_applying_changes_the_value_ends_the_suspension_and_says_why(agent, identified, hanako, mail, asked, events_of):
    applied = apply_correction(asked, actor=agent)
    mail.refresh_from_db()
    applied.refresh_from_db()
    assert opened(hanako, mail, "value") == NEW
    assert mail.changed_at
    assert (applied.state, applied.reason) == (Correction.State.APPLIED, Reason.ASKED)
    assert (applied.superseded_category, applied.superseded_generation) == (Category.CONTACT, 1)
    assert Suspension.objects.get().ended_at
    assert decide(hanako, item="contact.email", row=mail.pk, purpose=Purpose.NOTICE).allowed
    assert events_of(hanako)[-2:] == [Event.CORRECTION_APPLIED, Event.NOTICE_QUEUED]
    row = last(mail)
    assert (row.history_type, row.history_user_id, row.history_case_id) == ("~", agent.pk, identified.pk)
    assert row.history_change_reason == Reason.ASKED
    assert last(applied).state == Correction.State.APPLIED


def test_the_old_value_stays_in_history_under_the_superseded_generation(agent, hanako, mail, asked):
    apply_correction(asked, actor=agent)
    mail.refresh_from_db()
    versions = list(history_of(ContactPoint).objects.filter(id=mail.pk).order_by("history_id"))
    assert [opened(hanako, version, "value") for version in versions] == [OLD, NEW]
    assert [generation(version, "value") for version in versions] == [1, 2]
    assert {(key.ref.category, key.ref.generation) for key in store.status([hanako.pk]) if key.alive} >= {
        (2, 1),
        (2, 2),
    }


def test_the_survivors_of_the_category_are_sealed_again_and_nothing_else(agent, hanako, mail, asked):
    before = {row.pk: opened(hanako, row, "value") for row in ContactPoint.objects.filter(member=hanako)}
    home = Addressee.objects.get(member=hanako)
    apply_correction(asked, actor=agent)
    rows = {row.pk: row for row in ContactPoint.objects.filter(member=hanako)}
    assert {pk: opened(hanako, row, "value") for pk, row in rows.items()} == before | {mail.pk: NEW}
    assert {generation(row, "value") for row in rows.values()} == {2}
    assert Addressee.objects.get(pk=home.pk).address == home.address
    assert Member.objects.get(pk=hanako.pk).name == hanako.name


def test_corrections_one_after_another_go_up_by_generations(agent, identified, hanako, mail):
    for number in (1, 2, 3):
        wish = ask_correction(
            identified, item="contact.email", row=mail.pk, text=f"new{number}@example.net", actor=agent
        )
        assert apply_correction(wish, actor=agent).superseded_generation == number
    mail.refresh_from_db()
    assert generation(mail, "value") == 4
    assert opened(hanako, mail, "value") == "new3@example.net"


def test_the_member_is_found_by_the_new_value_and_no_longer_by_the_old(
    agent, hanako, asked, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        apply_correction(asked, actor=agent)
    assert [hit.member for hit in find(NEW, actor=agent).hits] == [hanako.pk]
    assert find(OLD, actor=agent).hits == []


def test_the_old_lookup_goes_only_when_the_correction_is_committed(
    agent, hanako, asked, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=False):
        apply_correction(asked, actor=agent)
    assert [hit.member for hit in find(OLD, actor=agent).hits] == [hanako.pk]


def test_a_number_that_another_row_still_has_keeps_its_lookup(agent, django_capture_on_commit_callbacks):
    both = [{"kind": "phone", "value": "03-5550-1234"}, {"kind": "fax", "value": "03 5550 1234"}]
    member = factories.member(contacts=both)
    case = factories.identify(factories.case(member, agent))
    fax = ContactPoint.objects.get(member=member, kind="fax")
    wish = ask_correction(case, item="contact.fax", row=fax.pk, text="03-5550-9999", actor=agent)
    with django_capture_on_commit_callbacks(execute=True):
        apply_correction(wish, actor=agent)
    for number in ("0355501234", "0355509999"):
        assert [hit.member for hit in find(number, actor=agent).hits] == [member.pk]


def test_a_corrected_second_fact_finds_with_the_name(agent, identified, hanako, django_capture_on_commit_callbacks):
    wish = ask_correction(identified, item="member.birth_date", row=hanako.pk, text="昭和56年3月4日", actor=agent)
    with django_capture_on_commit_callbacks(execute=True):
        apply_correction(wish, actor=agent)
    assert [hit.member for hit in find("山田花子", "1981-03-04", actor=agent).hits] == [hanako.pk]
    assert find("山田花子", "1980-02-03", actor=agent).hits == []


def test_a_changed_mail_address_is_told_at_the_old_and_the_new_one(agent, hanako, asked):
    apply_correction(asked, actor=agent)
    told = {notice.kind: opened(hanako, notice, "to") for notice in Notice.objects.all()}
    assert told == {Notice.Kind.CORRECTED_OLD: OLD, Notice.Kind.CORRECTED_NEW: NEW}
    assert set(Notice.objects.values_list("state", "about", "language")) == {("queued", "contact.email", "ja")}


def test_any_other_change_is_told_at_every_mail_address_on_file(agent):
    mails = [{"kind": "email", "value": OLD}, {"kind": "mobile_email", "value": "h@docomo.example"}]
    member = factories.member(contacts=[*mails, {"kind": "phone", "value": "03-5550-1234"}])
    case = factories.identify(factories.case(member, agent))
    phone = ContactPoint.objects.get(member=member, kind="phone")
    wish = ask_correction(case, item="contact.phone", row=phone.pk, text="03-5550-9876", actor=agent)
    apply_correction(wish, actor=agent)
    assert {opened(member, notice, "to") for notice in Notice.objects.all()} == {OLD, "h@docomo.example"}
    assert set(Notice.objects.values_list("kind", "about")) == {(Notice.Kind.CORRECTED, "contact.phone")}


def test_a_member_without_a_mail_address_is_told_nothing_by_mail(agent):
    member = factories.member(contacts=[{"kind": "phone", "value": "03-5550-1234"}])
    case = factories.identify(factories.case(member, agent))
    wish = ask_correction(case, item="member.occupation", row=member.pk, text="教員", actor=agent)
    apply_correction(wish, actor=agent)
    assert not Notice.objects.exists()


CORRECTABLE = {
    "contact.mobile": "090-1000-9999",
    "addressee.name": "山田 二郎",
    "addressee.kana": "ヤマダ ジロウ",
    "addressee.postcode": "105-0014",
    "addressee.address": "東京都港区芝1-1",
    "addressee.phone": "03-5550-8888",
    "payment.card_token": "tok_other",
    "payment.card_last_four": "4343",
    "payment.account_last_four": "7002",
    "payment.bank": "あかね銀行",
    "payment.holder": "ヤマダ ハナエ",
    "member.birth_date": "1980-02-04",
    "member.sex": "other",
    "member.occupation": "教員",
}


@pytest.mark.parametrize("item", CORRECTABLE)
def test_every_kind_of_item_is_corrected_the_same_way(agent, identified, hanako, item):
    for row in corrections.data_rows(hanako):
        for field in row._meta.concrete_fields:
            held = hasattr(field, "item_for") and getattr(row, field.name) is not None
            if held and field.item_for(row).code == item:
                wish = ask_correction(identified, item=item, row=row.pk, text=CORRECTABLE[item], actor=agent)
                apply_correction(wish, actor=agent)
                row.refresh_from_db()
                assert opened(hanako, row, field.name) == CORRECTABLE[item]
                assert generation(row, field.name) == 2
                assert last(row).history_user_id == agent.pk
                return
    raise AssertionError(f"hanako has no {item}")


@pytest.mark.parametrize(("item", "text"), [("addressee.postcode", "04524"), ("contact.mobile", "010-9876-5432")])
def test_a_member_of_the_korean_site_corrects_in_korean_notation(agent, item, text):
    member = factories.member(
        entity="kr",
        contacts=[{"kind": "mobile", "value": "010-2345-1234"}],
        addressees=[{"name": "김 하나", "postcode": "03187", "address": "서울특별시 종로구 1"}],
    )
    case = factories.identify(factories.case(member, agent))
    row = (Addressee if "addressee" in item else ContactPoint).objects.get(member=member)
    correction = ask_correction(case, item=item, row=row.pk, text=text, actor=agent)
    apply_correction(correction, actor=agent)
    row.refresh_from_db()
    assert opened(member, row, correction.field) == text


def test_a_postcode_of_another_country_is_kept_and_marked_as_an_import_would(agent):
    """Numbers 23 and 27: correction is as lenient as import."""
    member = factories.member(
        entity="kr",
        contacts=[{"kind": "mobile", "value": "010-2345-1234"}],
        addressees=[{"name": "김 하나", "postcode": "03187", "address": "서울특별시 종로구 1"}],
    )
    case = factories.identify(factories.case(member, agent))
    home = Addressee.objects.get(member=member)
    apply_correction(
        ask_correction(case, item="addressee.postcode", row=home.pk, text="105-0014", actor=agent), actor=agent
    )
    home.refresh_from_db()
    assert (opened(member, home, "postcode"), home.well_formed) == ("105-0014", False)
    apply_correction(
        ask_correction(case, item="addressee.postcode", row=home.pk, text="(우) 04524", actor=agent), actor=agent
    )
    home.refresh_from_db()
    assert home.well_formed


# refuse_correction


def test_refusing_leaves_the_value_and_ends_the_suspension(agent, hanako, mail, asked, events_of):
    before = ContactPoint.objects.get(pk=mail.pk).value
    refuse_correction(asked, actor=agent, reason=Reason.NOT_PROVEN)
    asked.refresh_from_db()
    assert (asked.state, asked.reason) == (Correction.State.REFUSED, Reason.NOT_PROVEN)
    assert asked.superseded_generation is None
    assert ContactPoint.objects.get(pk=mail.pk).value == before
    assert Suspension.objects.get().ended_at
    assert decide(hanako, item="contact.email", row=mail.pk, purpose=Purpose.NOTICE).allowed
    event = LedgerEvent.objects.filter(subject=hanako.pk).latest("sequence")
    assert (event.event, event.items, event.reason) == (
        Event.CORRECTION_REFUSED,
        ["contact.email"],
        Reason.NOT_PROVEN,
    )
    assert last(asked).state == Correction.State.REFUSED
    assert not Notice.objects.exists()


def test_what_was_decided_is_decided(agent, asked):
    apply_correction(asked, actor=agent)
    with pytest.raises(AlreadyDecided):
        apply_correction(asked, actor=agent)
    with pytest.raises(AlreadyDecided):
        refuse_correction(asked, actor=agent, reason=Reason.NOT_TRUE)


def test_after_a_refusal_the_item_may_be_asked_for_again(agent, identified, mail, asked):
    refuse_correction(asked, actor=agent, reason=Reason.NOT_TRUE)
    again = ask_correction(identified, item="contact.email", row=mail.pk, text=NEW, actor=agent)
    assert again.state == Correction.State.ASKED


def test_only_its_own_agent_decides(second_agent, supervisor, asked):
    for other in (second_agent, supervisor):
        with pytest.raises(PermissionDenied):
            apply_correction(asked, actor=other)
        with pytest.raises(PermissionDenied):
            refuse_correction(asked, actor=other, reason=Reason.NOT_TRUE)


def test_an_interrupted_correction_changes_nothing(agent, hanako, mail, asked, monkeypatch):
    def fails(*_args, **_kwargs):
        raise OSError

    monkeypatch.setattr(corrections, "_end_suspension", fails)
    with pytest.raises(OSError):
        apply_correction(asked, actor=agent)
    mail.refresh_from_db()
    asked.refresh_from_db()
    assert asked.state == Correction.State.ASKED
    assert opened(hanako, mail, "value") == OLD
    assert not Notice.objects.exists()
    monkeypatch.undo()
    # A generation that was made in vain is passed over.
    assert apply_correction(asked, actor=agent).state == Correction.State.APPLIED
    mail.refresh_from_db()
    assert opened(hanako, mail, "value") == NEW


def test_an_interrupted_correction_is_retried_with_the_true_old_generation(agent, hanako, mail, asked, monkeypatch):
    def fails(*_args, **_kwargs):
        raise OSError

    monkeypatch.setattr(corrections, "_end_suspension", fails)
    with pytest.raises(OSError):
        apply_correction(asked, actor=agent)
    monkeypatch.undo()
    assert apply_correction(asked, actor=agent).superseded_generation == 1


def test_an_interrupted_correction_leaves_no_lookup(agent, asked, monkeypatch):
    def fails(*_args, **_kwargs):
        raise OSError

    monkeypatch.setattr(corrections, "_end_suspension", fails)
    with pytest.raises(OSError):
        apply_correction(asked, actor=agent)
    assert find(NEW, actor=agent).hits == []


def test_every_correctable_item_is_tried_here():
    tried = {*CORRECTABLE, "contact.email", "contact.phone", "contact.fax"}
    rest = {"contact.mobile_email", "payment.card_brand", "payment.card_expiry", "payment.branch", "payment.mobile"}
    assert tried | rest == {code for code, item in ITEMS.items() if item.group and not item.immutable}
