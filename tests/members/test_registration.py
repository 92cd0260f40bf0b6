"""Joining and importing: sealed, entered, found again; a second time changes nothing."""

import dataclasses
import datetime
import re
import uuid

import pytest
from django.db import connection, transaction

from access_control.codes import Reason
from access_control.ledger import acting
from access_control.models import LedgerEvent
from access_control.vault import store
from access_control.vault.categories import Category
from access_control.vault.errors import KeyringError
from access_control.vault.ring import keys_for
from consent.events import Event as ConsentEventCode
from consent.models import AcceptedVersion, ConsentEvent, PolicyVersion
from consent.services.joining import join, join_many
from members.events import Event
from members.intake import Rejected
from members.lookups import shared_lookups
from members.models import DATA_MODELS, Addressee, ContactPoint, Member, PaymentMeans
from members.services import registration
from members.services.finding import find
from members.services.registration import CONFLICT, CREATED, UNCHANGED, Registration, stored_people
from tests import factories

HASH = b"\x07" * 32


def enter(*news, **options):
    return join_many(news, actor=None, **options)


def rows():
    """How many rows of data there are."""
    return {model.__name__: model.objects.count() for model in DATA_MODELS}


def stored(member):
    with acting(None, reason="asked") as act:
        event = act.record(Event.COMPARED)
    with keys_for([member], list(Category), event=event) as ring:
        return stored_people([member], ring)[member]


def living(member):
    return {Category(key.ref.category) for key in store.status([member]) if key.alive}


# One new member


def test_joining_seals_enters_and_records(agent, events_of):
    new = factories.new_member()
    joined = join(new, screen_hash=HASH, actor=agent)
    assert joined.outcome == CREATED
    assert stored(joined.member) == new
    assert rows() == {"Member": 1, "ContactPoint": 3, "Addressee": 1, "PaymentMeans": 2}
    assert events_of(joined.member) == [Event.REGISTERED, ConsentEventCode.CONSENT_DEEMED]
    for model in DATA_MODELS:
        assert set(model.history.values_list("history_type", "history_user_id", "history_change_reason")) == {
            ("+", agent.pk, Reason.JOINED)
        }
        assert model.history.count() == model.objects.count()
    assert living(joined.member) == {Category.IDENTITY, Category.CONTACT, Category.DELIVERY, Category.PAYMENT} | {
        Category.PROFILE
    }


def test_nothing_readable_stands_in_any_table():
    factories.member()
    with connection.cursor() as cursor:
        for model in (*DATA_MODELS, *(model.history.model for model in DATA_MODELS), LedgerEvent, ConsentEvent):
            cursor.execute(f"SELECT string_agg(t::text, ' ') FROM {model._meta.db_table} t")
            text = cursor.fetchone()[0]
            for word in ("山田", "花子", "hanako", "5550-1234", "1980-02-03", "みどり", "千代田"):
                assert word not in text
                assert word.encode().hex() not in text


def test_a_member_with_nothing_but_a_name_has_one_key():
    bare = dict.fromkeys(("kana", "birth_date", "sex", "occupation", "last_used_on"))
    joined = join(
        factories.new_member(**bare, contacts=[], addressees=[], payment_means=[]), screen_hash=HASH, actor=None
    )
    assert living(joined.member) == {Category.IDENTITY}
    member = Member.objects.get(pk=joined.member)
    assert (member.kana, member.birth_date, member.sex, member.last_used_on) == (None, None, None, None)


# Deemed consent


def test_joining_and_using_count_as_consent_to_the_version_of_that_day():
    version = PolicyVersion.objects.get()
    joined = join(factories.new_member(), screen_hash=HASH, actor=None)
    events = {event.kind: event for event in ConsentEvent.objects.filter(member=joined.member)}
    assert set(events) == {"deemed_joining", "deemed_using"}
    assert {(event.version, event.evidence, bytes(event.screen_hash)) for event in events.values()} == {
        (version, "screen", HASH)
    }
    accepted = AcceptedVersion.objects.get(member=joined.member)
    assert (accepted.version, accepted.event) == (version, events["deemed_using"])


def test_an_import_invents_no_evidence():
    (entered,) = enter(factories.new_member())
    assert set(
        ConsentEvent.objects.filter(member=entered.member).values_list("channel", "evidence", "screen_hash")
    ) == {("import", "not_held", None)}


@pytest.mark.parametrize(
    ("joined_on", "last_used_on", "versions"),
    [
        ("2012-01-01", "2016-02-21", {None}),
        ("2012-01-01", None, {None}),
        ("2012-01-01", "2016-02-22", {None, 2}),
        ("2016-02-22", None, {2}),
    ],
)
def test_a_version_whose_text_is_not_held_is_never_accepted(joined_on, last_used_on, versions):
    member = factories.member(joined_on=joined_on, last_used_on=last_used_on)
    assert set(ConsentEvent.objects.filter(member=member).values_list("version__number", flat=True)) == versions
    assert AcceptedVersion.objects.filter(member=member).exists() == (2 in versions)


# The same member again


def test_joining_twice_changes_nothing():
    new = factories.new_member()
    first = join(new, screen_hash=HASH, actor=None)
    before, consents = rows(), ConsentEvent.objects.count()
    again = join(new, screen_hash=HASH, actor=None)
    assert again == Registration(UNCHANGED, first.member)
    assert (rows(), ConsentEvent.objects.count()) == (before, consents)
    assert Member.history.count() == 1


def test_the_comparison_is_recorded():
    new = factories.new_member()
    enter(new)
    enter(new)
    assert LedgerEvent.objects.get(event=Event.COMPARED).count == 1


def test_the_same_number_with_other_data_is_in_conflict_and_changes_nothing():
    new = factories.new_member()
    first = join(new, screen_hash=HASH, actor=None)
    other = dataclasses.replace(new, name="山田 華子", contacts=())
    assert join(other, screen_hash=HASH, actor=None) == Registration(CONFLICT, first.member, ("name", "contacts"))
    assert stored(first.member) == new


def test_a_number_is_the_same_however_it_is_written():
    new = factories.new_member(member_number="M-0000077")
    first = join(new, screen_hash=HASH, actor=None)
    again = join(dataclasses.replace(new, number="ｍ－００００077"), screen_hash=HASH, actor=None)
    assert again == Registration(UNCHANGED, first.member)


def test_a_login_id_names_one_member_only():
    first = factories.new_member(login_id="same")
    second = factories.new_member(login_id="ＳＡＭＥ")
    enter(first)
    (refused,) = enter(second)
    assert (refused.outcome, refused.fields) == (CONFLICT, ("login_id",))
    assert Member.objects.count() == 1


def test_a_conflict_can_be_put_right_and_tried_again(agent):
    enter(factories.new_member(login_id="same"))
    second = factories.new_member(login_id="same", contacts=[{"kind": "phone", "value": "06-6666-7777"}])
    enter(second)
    assert find("06-6666-7777", actor=agent).hits == []
    (entered,) = enter(dataclasses.replace(second, login_id="other"))
    assert entered.outcome == CREATED
    assert [hit.member for hit in find("06-6666-7777", actor=agent).hits] == [entered.member]


def test_within_one_batch_the_first_wins():
    new = factories.new_member()
    other = dataclasses.replace(new, name="山田 華子")
    thief = factories.new_member(login_id=new.login_id)
    outcomes = [(one.outcome, one.fields) for one in enter(new, new, other, thief)]
    assert outcomes == [
        (CREATED, ()),
        (UNCHANGED, ()),
        (CONFLICT, ("name",)),
        (CONFLICT, ("login_id",)),
    ]
    assert Member.objects.count() == 1


def test_a_row_that_stands_twice_and_is_in_conflict_is_never_called_unchanged():
    enter(factories.new_member(login_id="same"))
    second = factories.new_member(login_id="same")
    assert [one.outcome for one in enter(second, second)] == [CONFLICT, CONFLICT]
    assert Member.objects.count() == 1


# Interrupted


def test_a_crash_between_keys_and_rows_is_gone_on_with(agent, monkeypatch, events_of):
    new = factories.new_member()

    def fails(*_args, **_kwargs):
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(registration, "copy_rows", fails)
        with pytest.raises(OSError):
            join(new, screen_hash=HASH, actor=None)
    assert rows() == {"Member": 0, "ContactPoint": 0, "Addressee": 0, "PaymentMeans": 0}
    # Keys and lookups are there; they name nobody.
    assert find("03-5550-1234", actor=agent).hits == []
    joined = join(new, screen_hash=HASH, actor=None)
    assert joined.outcome == CREATED
    assert stored(joined.member) == new
    assert {key.ref.generation for key in store.status([joined.member])} == {1}
    assert [hit.member for hit in find("03-5550-1234", actor=agent).hits] == [joined.member]
    assert Event.REGISTERED in events_of(joined.member)


def test_a_crash_in_the_middle_of_the_rows_leaves_none(monkeypatch):
    real = registration.copy_rows

    def fails_at_payment(model, *rest):
        if model is PaymentMeans:
            raise OSError
        real(model, *rest)

    new = factories.new_member()
    with monkeypatch.context() as patch:
        patch.setattr(registration, "copy_rows", fails_at_payment)
        with pytest.raises(OSError):
            join(new, screen_hash=HASH, actor=None)
    assert set(rows().values()) == {0}
    assert join(new, screen_hash=HASH, actor=None).outcome == CREATED


def test_commits_for_real_keep_keys_and_rows_together(committed):
    new = factories.new_member()
    with transaction.atomic():
        join(new, screen_hash=HASH, actor=None)
        transaction.set_rollback(True)
    assert not Member.objects.exists()
    joined = join(new, screen_hash=HASH, actor=None)
    assert joined.outcome == CREATED
    assert stored(joined.member) == new


# What never goes in

FORBIDDEN = {
    "card": "4111 1111 1111 1111",
    "card, full width": "３７８２８２２４６３１０００５",
    "individual number": "1234-5678-9018",
}
PLACES = {
    "login_id": lambda text: {"login_id": text.replace(" ", "-")},
    "name": lambda text: {"name": f"山田 {text}"},
    "kana": lambda text: {"kana": text},
    "occupation": lambda text: {"occupation": text},
    "contacts[0].value": lambda text: {"contacts": [{"kind": "email", "value": text}]},
    "addressees[0].address": lambda text: {"addressees": [{"name": "山田", "address": f"千代田 {text}"}]},
    "payment_means[0].token": lambda text: {
        "payment_means": [
            {"kind": "card", "token": text, "brand": "VISA", "last_four": "4242", "expiry": "2028-05"},
        ]
    },
    "payment_means[0].holder": lambda text: {
        "payment_means": [
            {"kind": "bank", "bank": "みどり銀行", "branch": "本店", "last_four": "7001", "holder": text},
        ]
    },
}


@pytest.mark.parametrize("text", FORBIDDEN.values(), ids=FORBIDDEN)
@pytest.mark.parametrize("path", PLACES)
def test_no_field_takes_a_card_number_or_an_individual_number(path, text):
    with pytest.raises(Rejected) as rejected:
        factories.new_member(**PLACES[path](text))
    (fault,) = [one for one in rejected.value.faults if one.code in {"card_number", "my_number"}]
    assert fault.field == path
    said = f"{rejected.value} {rejected.value!r} {fault.message} {[one.field for one in rejected.value.faults]}"
    assert not re.search(r"\d{4}", said)


def test_a_new_member_shows_nothing_when_printed():
    new = factories.new_member()
    assert f"{new}{new!r}{[new]}" == "<NewMember><NewMember>[<NewMember>]"


def test_lookups_do_not_depend_on_whether_intake_made_the_normal_forms():
    new = factories.new_member()
    assert all(contact.form for contact in new.contacts)
    bare = dataclasses.replace(new, contacts=tuple(dataclasses.replace(contact, form="") for contact in new.contacts))
    assert bare == new
    subject = uuid.uuid4()
    assert shared_lookups(bare, subject) == shared_lookups(new, subject)


def test_new_members_and_known_ones_in_one_batch_are_told_apart():
    news = [factories.new_member() for _ in range(3)]
    assert [one.outcome for one in enter(*news)] == [CREATED] * 3
    again = [*news, factories.new_member()]
    assert [one.outcome for one in enter(*again)] == [UNCHANGED] * 3 + [CREATED]


def test_rows_of_other_people_are_not_opened_with_it():
    first, second = factories.member(), factories.member()
    assert stored(first.pk).number != stored(second.pk).number
    for model in (ContactPoint, Addressee, PaymentMeans):
        assert not set(model.objects.filter(member=first)) & set(model.objects.filter(member=second))


def test_an_empty_batch_is_no_mistake():
    assert enter() == []


def test_a_member_that_joined_today_is_found_today(agent):
    today = datetime.date(2026, 11, 1).isoformat()
    number = f"D{uuid.uuid4().hex[:8]}"
    member = factories.member(joined_on=today, last_used_on=None, member_number=number)
    assert [hit.member for hit in find(number, actor=agent).hits] == [member.pk]


def test_under_another_keyring_nothing_is_claimed(monkeypatch):
    """GUARDS: registration asks for the vault's own keyring before it claims a number that nobody would find again."""
    factories.member()
    claimed = []

    def another():
        raise KeyringError("another keyring")

    monkeypatch.setattr(registration, "require_own_keyring", another)
    monkeypatch.setattr(store, "claim", lambda *rest, **options: claimed.append(rest))
    with pytest.raises(KeyringError):
        enter(factories.new_member())
    assert claimed == []
