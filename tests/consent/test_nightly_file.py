"""Number 26: the nightly file. Later use, what was changed on My Page, what wins over the file, and the exit status."""

import datetime
import itertools
import json
import logging
import os
import stat
from pathlib import Path

import pytest
import time_machine
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from access_control.ledger import acting
from access_control.models import LedgerEvent
from access_control.vault import store
from access_control.vault.categories import Category
from access_control.vault.errors import CeilingReached, Destroyed
from access_control.vault.ring import KeyRing, keys_for
from access_control.vault.seal import KeyRef
from consent import importing
from consent.importing import import_members
from consent.models import AcceptedVersion, ConsentEvent, PolicyVersion
from consent.services import joining
from members.events import Event
from members.intake import Fault
from members.lines import Rejects
from members.models import Addressee, ContactPoint, Correction, DataAsOf, Member, PaymentMeans, Suspension
from members.services import registration
from members.services.corrections import apply_correction, ask_correction
from members.services.data_as_of import move_on
from members.services.differences import KEPT
from members.services.finding import find
from members.services.on_file import stored_people
from tests import factories

TOKYO = datetime.timezone(datetime.timedelta(hours=9))


@pytest.fixture
def bring(tmp_path):
    """Imports rows; returns (result, rejects, warnings)."""

    def imported(*rows, exported_at=None, dry_run=False):
        lines = [(number, json.dumps(row).encode()) for number, row in enumerate(rows, 1)]
        files = Rejects(tmp_path / "rejects"), Rejects(tmp_path / "warnings")
        result = import_members(
            lines, actor=None, rejects=files[0], warnings=files[1], exported_at=exported_at, dry_run=dry_run
        )
        told = [
            path and [json.loads(line) for line in path.read_text().splitlines()] for path in map(Rejects.close, files)
        ]
        return result, told[0] or [], told[1] or []

    return imported


def counted(result):
    return {name: count for name, count in vars(result).items() if count and name != "read"}


def clear(member):
    with acting(None, reason="asked") as act:
        event = act.record(Event.COMPARED)
    with keys_for([member.pk], list(Category), event=event) as ring:
        return stored_people([member.pk], ring)[member.pk]


def contacts(*pairs):
    return {"contacts": [{"kind": kind, "value": value} for kind, value in pairs]}


def corrected(member, item, row, text, agent):
    case = factories.identify(factories.case(member, agent))
    return apply_correction(ask_correction(case, item=item, row=row, text=text, actor=agent), actor=agent)


# Later use


def test_26_a_later_use_is_taken_and_is_consent_to_the_version_of_that_day(bring):
    row = factories.RowFactory(joined_on="2012-01-01", last_used_on="2016-01-01")
    bring(row)
    member = Member.objects.get()
    assert not AcceptedVersion.objects.exists()
    result, rejects, warnings = bring(row | {"last_used_on": "2026-10-02"})
    assert (counted(result), rejects, warnings) == ({"used": 1}, [], [])
    member.refresh_from_db()
    assert member.last_used_on == datetime.date(2026, 10, 2)
    event = ConsentEvent.objects.order_by("-on").first()
    assert (event.kind, event.on, event.version, event.evidence, event.channel) == (
        "deemed_using",
        member.last_used_on,
        PolicyVersion.objects.get(),
        "not_held",
        "import",
    )
    assert AcceptedVersion.objects.get().event == event
    assert LedgerEvent.objects.filter(subject=member.pk, event="consent:deemed").count() == 2
    assert Member.history.latest("history_id").history_change_reason == "imported"
    # The same file again, and one of the day before, change nothing.
    for day in ("2026-10-02", "2026-10-01", None):
        result, _rejects, _warnings = bring(row | {"last_used_on": day})
        assert counted(result) == {"unchanged": 1}
    assert ConsentEvent.objects.count() == 3
    member.refresh_from_db()
    assert member.last_used_on == datetime.date(2026, 10, 2)


def test_26_an_accepted_version_is_never_replaced_by_an_older_one(bring):
    row = factories.RowFactory(last_used_on=None)
    bring(row)
    accepted = AcceptedVersion.objects.get()
    bring(row | {"last_used_on": "2026-10-02"})
    assert AcceptedVersion.objects.get().event == accepted.event


# Changed on My Page


@pytest.mark.parametrize(
    ("change", "item"),
    [
        ({"occupation": "教員"}, "member.occupation"),
        ({"occupation": ""}, "member.occupation"),
        ({"birth_date": "1980-02-04"}, "member.birth_date"),
        ({"sex": "other"}, "member.sex"),
        (
            contacts(("email", "neu@example.jp"), ("phone", "03-5550-1234"), ("mobile", "090-1000-5678")),
            "contact.email",
        ),
        (contacts(("phone", "03-5550-1234"), ("mobile", "090-1000-5678")), "contact.email"),
        ({"contacts": []}, "contact.phone"),
        ({"addressees": []}, "addressee.name"),
        ({"payment_means": [{"kind": "mobile", "phone": "090-1000-5678"}]}, "payment.mobile"),
    ],
)
def test_26_what_was_changed_on_my_page_is_applied_as_a_correction(bring, agent, change, item, events_of):
    row = factories.RowFactory()
    bring(row)
    member = Member.objects.get()
    result, rejects, warnings = bring(row | change)
    assert (counted(result), rejects, warnings) == ({"changed": 1}, [], [])
    new = factories.parse(row | change, entities=frozenset({"jp"}), today=factories.TODAY)
    assert clear(member) == new
    event = LedgerEvent.objects.get(subject=member.pk, event=Event.CORRECTION_APPLIED)
    assert (item in event.items, event.reason, event.actor) == (True, "my_page", None)
    applied = Correction.objects.filter(member=member)
    assert {(one.channel, one.state, one.reason, one.case) for one in applied} <= {
        ("my_page", "applied", "my_page", None)
    }
    # The same file again changes nothing.
    result, _rejects, _warnings = bring(row | change)
    assert counted(result) == {"unchanged": 1}
    # And back again.
    result, _rejects, _warnings = bring(row)
    assert counted(result) == {"changed": 1}
    assert clear(member) == factories.parse(row, entities=frozenset({"jp"}), today=factories.TODAY)


def test_26_the_old_value_is_superseded_and_the_member_is_found_by_the_new_one(
    bring, agent, django_capture_on_commit_callbacks
):
    row = factories.RowFactory()
    bring(row)
    member = Member.objects.get()
    mail = ContactPoint.objects.get(kind="email")
    with django_capture_on_commit_callbacks(execute=True):
        bring(row | contacts(("email", "neu@example.jp"), ("phone", "03-5550-1234"), ("mobile", "090-1000-5678")))
    mail.refresh_from_db()
    assert (mail.removed_at, mail.well_formed) == (None, True)
    assert mail.changed_at
    (correction,) = Correction.objects.all()
    assert (correction.row, correction.item, correction.field) == (mail.pk, "contact.email", "value")
    assert (correction.superseded_category, correction.superseded_generation) == (Category.CONTACT, 1)
    living = {key.ref.generation for key in store.status([member.pk]) if key.ref.category == Category.CONTACT}
    assert living == {1, 2}
    from access_control.vault.seal import header

    assert {header(one.value.blob) for one in ContactPoint.objects.all()} == {(Category.CONTACT, 2)}
    assert mail.history.latest("history_id").history_change_reason == "my_page"
    assert [hit.member for hit in find("neu@example.jp", actor=agent).hits] == [member.pk]
    assert find("hanako.yamada@example.jp", actor=agent).hits == []
    assert [hit.member for hit in find("03-5550-1234", actor=agent).hits] == [member.pk]


def test_26_a_removed_row_keeps_its_history_and_its_values_go(bring):
    row = factories.RowFactory()
    bring(row)
    bring(row | {"addressees": []})
    gone = Addressee.objects.get()
    assert gone.removed_at
    assert (gone.name, gone.address, gone.phone, gone.kana, gone.postcode) == (None,) * 5
    assert {one.item for one in Correction.objects.all()} == {
        f"addressee.{name}" for name in ("name", "kana", "postcode", "address", "phone")
    }
    assert gone.history.count() == 2


def test_26_an_addressee_that_moved_is_the_same_row_and_a_replaced_card_is_another(bring):
    row = factories.RowFactory()
    bring(row)
    home, card = Addressee.objects.get(), PaymentMeans.objects.get(kind="card")
    moved = row["addressees"][0] | {"address": "東京都港区芝1-1", "postcode": "105-0014"}
    other = [
        {"kind": "card", "token": "tok_2", "brand": "VISA", "last_four": "1111", "expiry": "2030-01"},
        row["payment_means"][1],
    ]
    result, _rejects, _warnings = bring(row | {"addressees": [moved], "payment_means": other})
    assert counted(result) == {"changed": 1}
    assert Addressee.objects.get().pk == home.pk
    card.refresh_from_db()
    assert card.removed_at
    assert PaymentMeans.objects.filter(kind="card", removed_at=None).count() == 1


def test_26_first_data_of_a_category_gets_its_first_key(bring):
    bare = factories.RowFactory(contacts=[], addressees=[], payment_means=[], birth_date="", sex="", occupation="")
    bring(bare)
    result, _rejects, _warnings = bring(bare | contacts(("phone", "03-5550-1234")) | {"sex": "female"})
    assert counted(result) == {"changed": 1}
    assert clear(Member.objects.get()).sex == "female"
    assert {(one.superseded_category, one.superseded_generation) for one in Correction.objects.all()} == {(None, None)}


@pytest.mark.parametrize(
    "spelt",
    [
        {"name": "山田　花子"},
        {"kana": "やまだ はなこ"},
        {"login_id": "ＨＡＮＡＫＯ２６"},
        contacts(("email", "Hanako.Yamada@Example.jp"), ("phone", "0355501234"), ("mobile", "+81 90 1000 5678")),
    ],
)
def test_26_another_spelling_is_no_change(bring, spelt):
    row = factories.RowFactory(login_id="hanako26")
    bring(row)
    result, rejects, _warnings = bring(row | spelt)
    assert (counted(result), rejects) == ({"unchanged": 1}, [])
    assert not Correction.objects.exists()


# What wins over the file


def test_26_the_consoles_newer_correction_wins_and_is_reported(bring, agent):
    row = factories.RowFactory()
    bring(row)
    member, mail = Member.objects.get(), ContactPoint.objects.get(kind="email")
    corrected(member, "contact.email", mail.pk, "console@example.jp", agent)
    hour = datetime.timedelta(hours=1)
    for exported_at in (None, timezone.now() - hour):
        result, rejects, warnings = bring(row | {"occupation": "教員"}, exported_at=exported_at)
        assert result.kept == 1
        assert rejects == []
        assert [(one["line"], one["field"], one["code"]) for one in warnings] == [(1, "contact.email", "console_newer")]
        assert "@" not in str(warnings)
    now = clear(member)
    # The rest of the row is taken.
    assert (now.contacts[0].value, now.occupation) == ("console@example.jp", "教員")


def test_26_a_row_may_say_itself_when_it_was_written(bring, agent):
    row = factories.RowFactory()
    bring(row)
    member, mail = Member.objects.get(), ContactPoint.objects.get(kind="email")
    corrected(member, "contact.email", mail.pk, "console@example.jp", agent)
    with time_machine.travel(timezone.now() + datetime.timedelta(hours=2), tick=False):
        at = (timezone.now() - datetime.timedelta(hours=1)).isoformat()
        third = contacts(("email", "neu@example.jp"), ("phone", "03-5550-1234"), ("mobile", "090-1000-5678"))
        result, _rejects, _warnings = bring(row | third | {"exported_at": at})
    assert counted(result) == {"changed": 1}


@pytest.mark.parametrize(
    "at", ["2026-01-01", "2026-01-01T00:00:00", "2199-01-01T00:00:00Z", "soon", 5, "0001-01-01T00:00:00+14:00"]
)
def test_26_a_time_without_its_zone_or_to_come_is_a_reject(bring, at):
    result, rejects, _warnings = bring(factories.RowFactory(exported_at=at))
    assert (counted(result), rejects[0]["field"]) == ({"rejected": 1}, "exported_at")


def test_26_a_value_under_suspension_is_reported_and_not_overwritten(bring, agent):
    row = factories.RowFactory()
    bring(row)
    member, mail = Member.objects.get(), ContactPoint.objects.get(kind="email")
    case = factories.identify(factories.case(member, agent))
    ask_correction(case, item="contact.email", row=mail.pk, text="asked@example.jp", actor=agent)
    result, _rejects, warnings = bring(row | contacts(("email", "neu@example.jp"), ("phone", "03-5550-1234")))
    assert result.kept == 1
    assert ("contact.email", "suspended") in {(one["field"], one["code"]) for one in warnings}
    assert clear(member).contacts[0].value == "hanako.yamada@example.jp"
    assert [contact.kind for contact in clear(member).contacts] == ["email", "phone"]
    assert Suspension.objects.filter(ended_at=None).count() == 1


MAIL, SECOND, PHONE = ("email", "hanako.yamada@example.jp"), ("email", "second@example.jp"), ("phone", "03-5550-1234")
ADDRESSEE = {"name": "山田 一郎", "address": "東京都千代田区千代田9-9-9"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"occupation": "会社員"}, {"occupation": "教員"}),
        ({"occupation": "教員"}, {"occupation": ""}),
        (contacts(MAIL), contacts(MAIL, SECOND)),
        (contacts(MAIL, SECOND), contacts(MAIL)),
        (contacts(MAIL, PHONE), contacts(PHONE)),
        ({"addressees": []}, {"addressees": [ADDRESSEE]}),
        ({"addressees": [ADDRESSEE]}, {"addressees": []}),
        ({"payment_means": []}, {"payment_means": [{"kind": "mobile", "phone": "090-1000-5678"}]}),
        ({"payment_means": [{"kind": "mobile", "phone": "090-1000-5678"}]}, {"payment_means": []}),
    ],
)
@pytest.mark.parametrize("undated", [False, True])
def test_26_an_older_file_changes_nothing_of_what_a_newer_one_brought(bring, before, after, undated):
    """Whatever it says: it overwrites nothing, adds nothing that was removed, and removes nothing that was added."""
    hour = datetime.timedelta(hours=1)
    noon = timezone.now() - 9 * hour
    row = factories.RowFactory()
    bring(row | before, exported_at=noon - hour)
    bring(row | after, exported_at=noon)
    member = Member.objects.get()
    now = clear(member)
    old = row | before | {"last_used_on": "2026-10-20"}
    result, rejects, warnings = bring(old, exported_at=None if undated else noon - hour)
    assert (counted(result), rejects) == ({"kept": 1, "warned": 1}, [])
    assert {one["code"] for one in warnings} == {"file_older"}
    assert {one["field"] for one in warnings} == {*before, "last_used_on"}
    assert clear(member) == now
    assert not LedgerEvent.objects.filter(subject=member.pk, event="consent:deemed", reason="my_page").exists()
    # A file of the same time is taken, and changes nothing when it says the same.
    result, _rejects, warnings = bring(row | after, exported_at=noon)
    assert (counted(result), warnings) == ({"unchanged": 1}, [])


def test_26_the_file_of_a_members_registration_is_the_first_that_counts(bring):
    """Who was registered by a newer file is not set back by an older one."""
    now = timezone.now()
    row = factories.RowFactory()
    bring(row, exported_at=now)
    result, _rejects, warnings = bring(row | {"occupation": "教員"}, exported_at=now - datetime.timedelta(days=1))
    assert (counted(result), warnings[0]["code"]) == ({"kept": 1, "warned": 1}, "file_older")
    assert DataAsOf.objects.get().as_of == now


def test_26_a_newer_file_that_says_the_same_counts_as_taken(bring):
    """What it confirmed is not undone by one written before it."""
    hour, now = datetime.timedelta(hours=1), timezone.now()
    row = factories.RowFactory()
    bring(row, exported_at=now - 3 * hour)
    assert counted(bring(row, exported_at=now - hour)[0]) == {"unchanged": 1}
    result, _rejects, _warnings = bring(row | {"occupation": "教員"}, exported_at=now - 2 * hour)
    assert result.kept == 1
    assert clear(Member.objects.get()).occupation == "会社員"


def test_26_of_rows_of_one_member_in_one_file_the_newest_counts(bring):
    """Each row says itself when it was written; their order in the file makes no difference."""
    hour, now = datetime.timedelta(hours=1), timezone.now()
    row = factories.RowFactory()
    newer = row | {"occupation": "教員", "exported_at": (now - hour).isoformat()}
    older = row | {"occupation": "医師", "exported_at": (now - 2 * hour).isoformat()}
    result, _rejects, _warnings = bring(newer, older)
    assert (result.created, result.kept) == (1, 1)
    assert clear(Member.objects.get()).occupation == "教員"


def test_26_a_row_that_is_rejected_does_not_count_as_taken(bring):
    """Nothing of it was taken, so an older row is not kept out for it."""
    hour, now = datetime.timedelta(hours=1), timezone.now()
    row = factories.RowFactory()
    bring(row, exported_at=now - 3 * hour)
    assert bring(row | {"name": "別人 花子"}, exported_at=now - hour)[0].rejected == 1
    assert bring(row | {"occupation": "教員"}, exported_at=now - 2 * hour)[0].changed == 1


def test_26_the_time_of_a_members_data_never_goes_back(bring):
    """The database refuses it, whoever asks; and the service leaves a later time alone."""
    now = timezone.now()
    bring(factories.RowFactory(), exported_at=now)
    held = DataAsOf.objects.get()
    move_on([(held.member_id, now - datetime.timedelta(days=1))])
    assert DataAsOf.objects.get().as_of == now
    with pytest.raises(DatabaseError) as refused, transaction.atomic():
        DataAsOf.objects.update(as_of=now - datetime.timedelta(days=1))
    assert refused.value.__cause__.sqlstate == "CA020"


# What a correction of the console superseded


@pytest.fixture
def later(bring):
    """Imports a file that was written after everything that is on file."""
    hours = itertools.count(2, 2)

    def imported(row, **changes):
        with time_machine.travel(timezone.now() + datetime.timedelta(hours=next(hours)), tick=False):
            return bring(row | changes, exported_at=timezone.now() - datetime.timedelta(hours=1))

    return imported


def test_26_a_later_file_that_repeats_what_the_console_corrected_does_not_bring_it_back(bring, later, agent):
    """The marketplace has not heard of the correction yet: the value it repeats is no statement of the member's."""
    row = factories.RowFactory()
    bring(row)
    member, mail = Member.objects.get(), ContactPoint.objects.get(kind="email")
    corrected(member, "contact.email", mail.pk, "console@example.jp", agent)
    corrected(member, "member.occupation", member.pk, "教員", agent)
    for _night in range(2):
        result, rejects, warnings = later(row)
        assert (counted(result), rejects) == ({"kept": 1, "warned": 1}, [])
        assert {(one["field"], one["code"]) for one in warnings} == {
            ("contact.email", "console_newer"),
            ("member.occupation", "console_newer"),
        }
    now = clear(member)
    assert (now.contacts[0].value, now.occupation) == ("console@example.jp", "教員")
    # Another spelling of it is the same.
    wide = contacts(("email", "Hanako.Yamada@Example.jp"), *[(c["kind"], c["value"]) for c in row["contacts"][1:]])
    assert later(row, **wide)[0].kept == 1
    # A third value is the member's own, and from then on so is the first.
    assert later(row, occupation="医師", **contacts(*values(now)))[0].changed == 1
    assert clear(member).occupation == "医師"
    assert later(row, **contacts(*values(now)))[0].changed == 1
    assert clear(member).occupation == "会社員"


def values(new):
    return [(contact.kind, contact.value) for contact in new.contacts]


def test_26_what_two_corrections_of_the_console_superseded_does_not_come_back(bring, later, agent):
    """Neither the first value nor the second is the member's own statement."""
    row = factories.RowFactory()
    bring(row)
    member = Member.objects.get()
    for occupation in ("教員", "医師"):
        corrected(member, "member.occupation", member.pk, occupation, agent)
    for repeated in ("会社員", "教員"):
        assert later(row, occupation=repeated)[0].kept == 1
    assert clear(member).occupation == "医師"


@pytest.mark.parametrize(
    ("said", "left", "kept"),
    [
        ([MAIL], ["console@example.jp"], True),
        ([MAIL, SECOND], ["console@example.jp", "second@example.jp"], True),
        ([SECOND, MAIL, ("email", "console@example.jp")], ["console@example.jp", "second@example.jp"], True),
        ([SECOND], ["second@example.jp"], False),
        ([], [], False),
        ([MAIL, ("email", "なし")], ["console@example.jp"], True),
    ],
)
def test_26_of_several_mails_the_superseded_one_is_told_apart(bring, later, agent, said, left, kept):
    """Repeated beside a new one, it is left out and the new one comes in; not repeated, the member removed it."""
    row = factories.RowFactory() | contacts(MAIL, PHONE)
    bring(row)
    member, mail = Member.objects.get(), ContactPoint.objects.get(kind="email")
    corrected(member, "contact.email", mail.pk, "console@example.jp", agent)
    result, _rejects, warnings = later(row, **contacts(*said, PHONE))
    assert [contact.value for contact in clear(member).contacts if contact.kind == "email"] == left
    assert (result.kept == 1) == kept
    assert ("console_newer" in {one["code"] for one in warnings}) == kept


def test_26_an_addressee_whose_name_was_corrected_may_still_move(bring, later, agent):
    """The file repeats the name that the console corrected, with a new address: it is the same addressee."""
    row = factories.RowFactory(addressees=[ADDRESSEE])
    bring(row)
    member, home = Member.objects.get(), Addressee.objects.get()
    corrected(member, "addressee.name", home.pk, "山田 壱郎", agent)
    result, _rejects, warnings = later(row, addressees=[ADDRESSEE | {"address": "東京都港区芝1-1"}])
    assert (counted(result), [one["code"] for one in warnings]) == ({"kept": 1, "warned": 1}, ["console_newer"])
    (moved,) = clear(member).addressees
    assert (moved.name, moved.address) == ("山田 壱郎", "東京都港区芝1-1")
    assert Addressee.objects.get().pk == home.pk


@pytest.fixture
def destroyed(monkeypatch):
    """Destroys the key of what a correction superseded: nobody knows any more what the value was."""
    ended, real = set(), KeyRing._key

    def key(ring, ref):
        if ref in ended:
            raise Destroyed(timezone.now(), None)
        return real(ring, ref)

    monkeypatch.setattr(KeyRing, "_key", key)

    def destroy(correction):
        ended.add(KeyRef(correction.member_id, correction.superseded_category, correction.superseded_generation))

    return destroy


def test_26_what_was_superseded_and_destroyed_does_not_come_back(bring, later, agent, destroyed):
    """Without its key nobody can tell a repetition from a new value, so the console's stays, and is reported."""
    row = factories.RowFactory()
    bring(row)
    member = Member.objects.get()
    destroyed(corrected(member, "member.occupation", member.pk, "教員", agent))
    for occupation in ("会社員", "医師"):
        result, _rejects, warnings = later(row, occupation=occupation)
        assert (counted(result), [(one["field"], one["code"]) for one in warnings]) == (
            {"kept": 1, "warned": 1},
            [("member.occupation", "console_newer")],
        )
    assert clear(member).occupation == "教員"
    # That there is none any more is no repetition.
    assert later(row, occupation="")[0].changed == 1


@pytest.mark.parametrize("then", ["医師", "会社員"])
@pytest.mark.parametrize("with_key", [True, False])
def test_26_what_a_file_says_after_it_has_heard_of_a_correction_is_the_members_own(
    bring, later, agent, destroyed, then, with_key
):
    """Once it has held the console's value, any other is new, also the one from before; whether a key lives or not."""
    row = factories.RowFactory()
    bring(row)
    member = Member.objects.get()
    correction = corrected(member, "member.occupation", member.pk, "教員", agent)
    assert counted(later(row, occupation="教員")[0]) == {"unchanged": 1}
    correction.refresh_from_db()
    assert correction.heard_at == DataAsOf.objects.get().as_of
    assert correction.history.latest("history_id").history_change_reason == "imported"
    if not with_key:
        destroyed(correction)
    assert counted(later(row, occupation=then)[0]) == {"changed": 1}
    assert clear(member).occupation == then


@pytest.mark.parametrize(
    ("change", "heard"),
    [
        ({"occupation": "教員"}, True),
        ({"occupation": "教員", "sex": "other"}, True),
        ({"occupation": None}, False),
        ({"occupation": "会社員"}, False),
        ({"occupation": "医師"}, False),
    ],
)
def test_26_a_file_has_heard_of_a_correction_once_it_holds_the_value(bring, later, agent, change, heard):
    """Whatever else it says; silence is no agreement."""
    row = factories.RowFactory()
    bring(row)
    member = Member.objects.get()
    correction = corrected(member, "member.occupation", member.pk, "教員", agent)
    later(row, **change)
    correction.refresh_from_db()
    assert (correction.heard_at is not None) == heard


def test_26_a_file_that_knows_neither_correction_has_not_heard_of_the_one_that_set_back_the_other(bring, later, agent):
    """The value on file is what the marketplace has always said; if it works off the first one, nothing comes back."""
    row = factories.RowFactory()
    bring(row)
    member = Member.objects.get()
    mistaken = corrected(member, "member.occupation", member.pk, "教員", agent)
    right = corrected(member, "member.occupation", member.pk, "会社員", agent)
    assert counted(later(row)[0]) == {"unchanged": 1}
    for correction in (mistaken, right):
        correction.refresh_from_db()
        assert correction.heard_at is None
    assert counted(later(row, occupation="教員")[0]) == {"kept": 1, "warned": 1}
    assert clear(member).occupation == "会社員"


def test_26_a_case_that_follows_the_file_after_all_ends_the_dispute(bring, later, agent, destroyed):
    """The file was right, the old key is gone, the console says the same again: the next change is the member's own."""
    row = factories.RowFactory()
    bring(row)
    member = Member.objects.get()
    destroyed(corrected(member, "member.occupation", member.pk, "教員", agent))
    assert counted(later(row)[0]) == {"kept": 1, "warned": 1}
    corrected(member, "member.occupation", member.pk, "会社員", agent)
    assert counted(later(row)[0]) == {"unchanged": 1}
    assert counted(later(row, occupation="医師")[0]) == {"changed": 1}
    assert clear(member).occupation == "医師"


@pytest.mark.parametrize("turned", [False, True])
def test_26_of_two_addressees_each_stays_itself_whichever_comes_first(bring, later, agent, turned):
    """One household: both move, the console corrected one's telephone, and the file knows nothing of it."""
    people = [addressee("鈴木 一", "X町1", "06-1111-1111"), addressee("鈴木 花", "X町1", "06-2222-2222")]
    row = factories.RowFactory(addressees=people)
    # Rows are looked at by when they came in.
    bring(row | {"addressees": people[1:]} if turned else row)
    bring(row)
    member = Member.objects.get()
    hana = _addressee_named(member, "鈴木 花")
    corrected(member, "addressee.phone", hana.pk, "06-3333-3333", agent)
    moved = [one | {"postcode": "530-0002"} for one in row["addressees"]]
    result, rejects, warnings = later(row, addressees=moved)
    assert (counted(result), rejects) == ({"kept": 1, "warned": 1}, [])
    assert {(one["field"], one["code"]) for one in warnings} == {("addressee.phone", "console_newer")}
    assert {(one.name, one.phone[-4:], one.postcode) for one in clear(member).addressees} == {
        ("鈴木 一", "1111", "530-0002"),
        ("鈴木 花", "3333", "530-0002"),
    }
    assert _addressee_named(member, "鈴木 花").pk == hana.pk


@pytest.mark.parametrize("turned", [False, True])
def test_26_of_one_person_with_two_addresses_the_corrected_one_stays(bring, later, agent, turned):
    """The other address is gone from the file, and this one has its reading now and its old telephone."""
    home, office = addressee("鈴木 一", "自宅町1", "06-1111-1111"), addressee("鈴木 一", "会社町2", "06-2222-2222")
    row = factories.RowFactory(addressees=[home, office])
    bring(row | {"addressees": [home if turned else office]})
    bring(row)
    member = Member.objects.get()
    at_work = _addressee_named(member, "鈴木 一", address="会社町2")
    corrected(member, "addressee.phone", at_work.pk, "06-3333-3333", agent)
    _result, _rejects, warnings = later(row, addressees=[office | {"kana": "スズキ"}])
    assert {(one["field"], one["code"]) for one in warnings} == {("addressee.phone", "console_newer")}
    (left,) = clear(member).addressees
    assert (left.address, left.phone[-4:], left.kana) == ("会社町2", "3333", "スズキ")
    assert _addressee_named(member, "鈴木 一", address="会社町2").pk == at_work.pk


def test_26_an_addressee_with_a_pending_correction_takes_nothing_of_another(bring, later, agent):
    """Deleted on My Page while the correction waits: the row stays whole, and who is new comes in beside it."""
    row = factories.RowFactory(addressees=[addressee("鈴木 一", "X町1", "06-1111-1111")])
    bring(row)
    member = Member.objects.get()
    suzuki = _addressee_named(member, "鈴木 一")
    case = factories.identify(factories.case(member, agent))
    ask_correction(case, item="addressee.phone", row=suzuki.pk, text="06-3333-3333", actor=agent)
    later(row, addressees=[addressee("田中 二", "Y町2", "06-4444-4444")])
    assert {(one.name, one.address, one.phone[-4:]) for one in clear(member).addressees} == {
        ("鈴木 一", "X町1", "1111"),
        ("田中 二", "Y町2", "4444"),
    }


def addressee(name, address, phone):
    return {"name": name, "kana": "", "postcode": "530-0001", "address": address, "phone": phone}


def _addressee_named(member, name, address=None):
    with acting(None, reason="asked") as act:
        event = act.record(Event.COMPARED)
    with keys_for([member.pk], [Category.DELIVERY], event=event) as ring:
        for row in Addressee.objects.filter(member=member, removed_at=None):
            if ring.open_sealed(row, "name") == name and address in {None, ring.open_sealed(row, "address")}:
                return row
    raise LookupError


def test_26_a_file_has_heard_of_two_corrections_once_it_holds_the_second_value(bring, later, agent):
    row = factories.RowFactory()
    bring(row)
    member = Member.objects.get()
    both = [corrected(member, "member.occupation", member.pk, text, agent) for text in ("教員", "医師")]
    assert counted(later(row, occupation="医師")[0]) == {"unchanged": 1}
    for correction in both:
        correction.refresh_from_db()
        assert correction.heard_at is not None


@pytest.mark.parametrize("with_key", [True, False])
@pytest.mark.parametrize("moved", [("third", "first"), ("second", "third")], ids=["down", "up"])
def test_26_a_row_that_got_what_another_had_takes_nothing_with_it(bring, later, agent, destroyed, moved, with_key):
    """The second address becomes the first, or the first the second: the file knows neither, and the new one stays."""
    row = factories.RowFactory(**contacts(("email", "first@example.jp"), SECOND, PHONE))
    bring(row)
    member = Member.objects.get()
    mails = _mails_by_value(member)
    done = [
        corrected(member, "contact.email", mails[f"{was}@example.jp"].pk, f"{becomes}@example.jp", agent)
        for was, becomes in zip(("first", "second"), moved, strict=True)
    ]
    if not with_key:
        for correction in done:
            destroyed(correction)
    result, rejects, warnings = later(row)
    assert (counted(result), rejects) == ({"kept": 1, "warned": 1}, [])
    assert {one["code"] for one in warnings} == {"console_newer"}
    assert {contact.value for contact in clear(member).contacts if contact.kind == "email"} == {
        f"{one}@example.jp" for one in moved
    }


def _mails_by_value(member):
    with acting(None, reason="asked") as act:
        event = act.record(Event.COMPARED)
    rows = ContactPoint.objects.filter(member=member, kind="email")
    with keys_for([member.pk], [Category.CONTACT], event=event) as ring:
        return {ring.open_sealed(row, "value"): row for row in rows}


def test_26_a_file_from_before_a_correction_has_not_heard_of_it(bring, agent):
    """Nor one that does not say when it was written, though it holds the value by chance."""
    row = factories.RowFactory()
    bring(row)
    member = Member.objects.get()
    correction = corrected(member, "member.occupation", member.pk, "教員", agent)
    for exported_at in (None, correction.decided_at - datetime.timedelta(hours=1)):
        bring(row | {"occupation": "教員"}, exported_at=exported_at)
    correction.refresh_from_db()
    assert correction.heard_at is None


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ([MAIL], ["console@example.jp"]),
        ([SECOND], ["console@example.jp"]),
        ([MAIL, SECOND], ["console@example.jp"]),
        ([MAIL, ("email", "なし")], ["console@example.jp"]),
        ([], []),
        ([("email", "console@example.jp"), SECOND], ["console@example.jp", "second@example.jp"]),
    ],
)
def test_26_of_several_mails_none_that_may_be_the_destroyed_one_comes_in(bring, later, agent, destroyed, said, left):
    """Where the file lacks the console's address, one that it has instead may be the old one."""
    row = factories.RowFactory() | contacts(MAIL, PHONE)
    bring(row)
    member, mail = Member.objects.get(), ContactPoint.objects.get(kind="email")
    destroyed(corrected(member, "contact.email", mail.pk, "console@example.jp", agent))
    _result, _rejects, warnings = later(row, **contacts(*said, PHONE))
    assert [contact.value for contact in clear(member).contacts if contact.kind == "email"] == left
    assert ("console_newer" in {one["code"] for one in warnings}) == (len(left) == 1)


@pytest.mark.parametrize("change", [{}, {"address": "東京都港区芝1-1"}, {"address": "東京都港区芝1-1", "name": "別人"}])
def test_26_an_addressee_whose_old_name_is_destroyed_is_neither_replaced_nor_mixed(
    bring, later, agent, destroyed, change
):
    """It may be the same addressee, who moved, or another: the name stays with its address, the rest is reported."""
    row = factories.RowFactory(addressees=[ADDRESSEE])
    bring(row)
    member, home = Member.objects.get(), Addressee.objects.get()
    destroyed(corrected(member, "addressee.name", home.pk, "山田 壱郎", agent))
    result, _rejects, warnings = later(row, addressees=[ADDRESSEE | change])
    assert result.kept == 1
    assert {one["code"] for one in warnings} == {"console_newer"}
    (stays,) = clear(member).addressees
    assert (stays.name, stays.address) == ("山田 壱郎", ADDRESSEE["address"])


def test_26_a_chunk_of_superseded_values_costs_as_many_queries_as_one(bring, agent):
    """What was superseded is read for all members of a chunk at once."""
    rows = factories.RowFactory.build_batch(9)
    bring(*rows)
    for member in Member.objects.all():
        corrected(member, "member.occupation", member.pk, "教員", agent)
    counts = []
    for some in (rows[:2], rows[2:]):
        written = timezone.now() + datetime.timedelta(hours=1)
        with CaptureQueriesContext(connection) as queries:
            result, _rejects, _warnings = bring(*some, exported_at=written)
        assert result.kept == len(some)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_26_of_two_corrected_mails_none_is_mixed_up_with_the_other(bring, agent):
    mails = [("email", "a@example.jp"), ("email", "b@example.jp")]
    row = factories.RowFactory() | contacts(*mails, ("phone", "03-5550-1234"))
    bring(row)
    member = Member.objects.get()
    first = ContactPoint.objects.filter(kind="email").order_by("pk").first()
    corrected(member, "contact.email", first.pk, "console@example.jp", agent)
    result, _rejects, _warnings = bring(row | contacts(mails[0], ("email", "aa@example.jp"), ("phone", "03-5550-1234")))
    assert result.kept == 1
    assert "console@example.jp" in [contact.value for contact in clear(member).contacts]


def test_26_whose_membership_has_ended_is_not_changed(bring):
    row = factories.RowFactory()
    bring(row)
    with acting(None, reason="asked"):
        Member.objects.update(state="ended", ended_at=timezone.now())
    result, _rejects, warnings = bring(row | {"occupation": "教員", "last_used_on": "2026-10-09"})
    assert (counted(result), warnings[0]["code"]) == ({"kept": 1, "warned": 1}, "membership_ended")
    member = Member.objects.get()
    assert (clear(member).occupation, str(member.last_used_on)) == ("会社員", "2026-10-01")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "別人 花子"}, "name"),
        ({"name": "山田 華子"}, "name"),
        ({"kana": "ヤマダ ハルコ"}, "kana"),
        ({"login_id": "other26"}, "login_id"),
        ({"joined_on": "2018-05-03"}, "joined_on"),
        ({"entity": "kr"}, "entity"),
    ],
)
def test_26_an_immutable_item_is_a_reject_and_nothing_of_the_row_is_taken(bring, change, field):
    row = factories.RowFactory()
    bring(row)
    result, rejects, _warnings = bring(row | change | {"occupation": "教員", "last_used_on": "2026-10-20"})
    assert counted(result) == {"rejected": 1}
    assert (field, "conflict") in {(one["field"], one["code"]) for one in rejects}
    member = Member.objects.get()
    assert (clear(member).occupation, str(member.last_used_on)) == ("会社員", "2026-10-01")


def test_26_rows_of_one_member_follow_one_another(bring):
    row = factories.RowFactory()
    result, _rejects, _warnings = bring(row, row | {"occupation": "教員"}, row | {"occupation": "医師"}, row)
    assert counted(result) == {"created": 1, "changed": 2, "unchanged": 1}
    assert clear(Member.objects.get()).occupation == "医師"


def test_26_a_chunk_of_changes_costs_as_many_queries_as_one(bring, django_assert_max_num_queries):
    """No row has a query of its own, but for taking its old lookups out after the commit."""
    rows = factories.RowFactory.build_batch(20)
    bring(*rows)
    counts = []
    for some in (rows[:2], rows[2:]):
        with CaptureQueriesContext(connection) as queries:
            result, _rejects, _warnings = bring(
                *(row | {"occupation": "教員", "last_used_on": "2026-10-20"} for row in some)
            )
        assert result.changed == len(some)
        counts.append(len(queries))
    assert counts[0] == counts[1]


# Exit status


def test_26_only_rejects_make_the_exit_status_one(run_members, agent):
    row = factories.RowFactory()
    summary, status = run_members(row)
    assert (summary["created"], status) == (1, 0)
    member, mail = Member.objects.get(), ContactPoint.objects.get(kind="email")
    corrected(member, "contact.email", mail.pk, "console@example.jp", agent)
    summary, status = run_members(
        row | {"last_used_on": "2026-10-30"}, factories.RowFactory() | contacts(("fax", "なし"))
    )
    counts = {name: summary[name] for name in ("read", "created", "unchanged", "used", "changed", "kept", "rejected")}
    assert counts == {"read": 2, "created": 1, "unchanged": 0, "used": 0, "changed": 0, "kept": 1, "rejected": 0}
    assert (summary["warned"], summary["rejects_file"], status) == (2, None, 0)
    warnings = [json.loads(line) for line in Path(summary["warnings_file"]).read_text().splitlines()]
    assert {(one["line"], one["field"]) for one in warnings} == {(1, "contact.email"), (2, "contacts[0].value")}
    assert "なし" not in str(warnings)
    summary, status = run_members(row | {"name": "別人"})
    assert (summary["rejected"], status) == (1, 1)


@pytest.fixture
def run_members(supervisor, tmp_path, monkeypatch):
    import io

    from django.core.management import call_command

    def command(*rows, options=()):
        file = tmp_path / "members.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        monkeypatch.setattr("sys.stdin", io.StringIO(factories.PASSWORD + "\n"))
        out, status = io.StringIO(), 0
        try:
            call_command("import_members", str(file), "--as", supervisor.username, "--json", *options, stdout=out)
        except SystemExit as exit:
            status = exit.code
        return json.loads(out.getvalue()), status

    return command


# Number 23: no row takes another with it


@pytest.mark.parametrize(
    "odd",
    [{"kana": odd} for odd in ("-", "・", "？", "＊", "\u3164", "〓")]
    + [{"name": odd} for odd in ("〓", "★", "-", "\u200b")]
    + [{"addressees": [{"name": "★", "address": "東京都"}]}],
)
def test_23_no_row_takes_another_with_it_and_the_dry_run_says_the_same(bring, odd):
    """Number 23."""
    good = factories.RowFactory.build_batch(3)
    rows = [good[0], factories.RowFactory() | odd, *good[1:]]
    dry, dry_rejects, _warnings = bring(*rows, dry_run=True)
    result, rejects, _warnings = bring(*rows)
    assert (result.created, result.rejected, dry.rejected) == (3, 1, 1)
    assert rejects == dry_rejects
    assert rejects[0]["line"] == 2


def test_23_a_row_that_breaks_where_nobody_thought_of_is_refused_alone(bring, monkeypatch, caplog):
    """Number 23: whatever a row holds, the chunk is halved down to it."""
    rows = factories.RowFactory.build_batch(9)
    real, bad = joining.registration.shared_lookups, rows[4]["login_id"]

    def breaks(new, subject, **options):
        if new.login_id == bad:
            raise ValueError("a rule nobody wrote")
        return real(new, subject, **options)

    monkeypatch.setattr(registration, "shared_lookups", breaks)
    with caplog.at_level(logging.ERROR):
        result, rejects, _warnings = bring(*rows)
    assert counted(result) == {"created": 8, "rejected": 1}
    assert [(one["line"], one["code"]) for one in rejects] == [(5, "cannot_be_taken")]
    assert bad not in caplog.text
    assert {record.name for record in caplog.records if record.levelno >= logging.ERROR} == {"console.import"}
    monkeypatch.undo()
    result, _rejects, _warnings = bring(*rows)
    assert counted(result) == {"created": 1, "unchanged": 8}


def test_23_a_seal_that_is_broken_refuses_its_own_row_only(bring):
    """Number 23: also what is on file takes no other row with it."""
    rows = factories.RowFactory.build_batch(3)
    bring(*rows)
    first, second, _third = Member.objects.order_by("pk")
    with acting(None, reason="asked"):
        Member.objects.filter(pk=first.pk).update(occupation=second.occupation)
    result, rejects, _warnings = bring(*rows)
    assert counted(result) == {"unchanged": 2, "rejected": 1}
    assert [(one["field"], one["code"]) for one in rejects] == [("member_number", "broken")]


def test_23_what_is_no_rows_fault_stops_the_import(bring, monkeypatch):
    """Number 23: a ceiling is not taken for a thousand bad rows."""

    def reached(*_args, **_kwargs):
        raise CeilingReached

    monkeypatch.setattr(importing, "join_many", reached)
    with pytest.raises(CeilingReached):
        bring(*factories.RowFactory.build_batch(4))


def test_a_list_that_goes_to_a_pipe_or_a_device_leaves_its_mode_alone(tmp_path):
    """Whoever runs an import as root and wants no list must not take /dev/null from everybody."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    pipe.chmod(0o644)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    rejects = Rejects(pipe, follow=True)
    rejects.add(1, [Fault("name", "missing", "This field is missing.")])
    rejects.close()
    os.close(reading)
    assert stat.S_IMODE(pipe.stat().st_mode) == 0o644


def test_every_code_of_what_is_kept_has_a_sentence():
    assert all(str(sentence) for sentence in KEPT.values())


def test_26_what_a_row_does_not_say_stays_on_file(bring):
    """A field that is absent or null says nothing; an empty list says that there is none any more."""
    row = factories.RowFactory()
    bring(row)
    member = Member.objects.get()
    before = clear(member)
    least = {name: row[name] for name in ("member_number", "login_id", "entity", "joined_on", "name", "kana")}
    for said in (least, least | dict.fromkeys(("birth_date", "contacts", "addressees", "payment_means", "sex"))):
        result, rejects, _warnings = bring(said)
        assert (counted(result), rejects) == ({"unchanged": 1}, [])
        assert clear(member) == before
    bring(least | {"contacts": []})
    assert clear(member).contacts == ()
    assert clear(member).addressees == before.addressees


def test_27_what_was_left_out_of_a_row_takes_nothing_off_file(bring):
    """One contact that cannot be read: the others are taken, and none that is on file goes."""
    row = factories.RowFactory()
    bring(row)
    member = Member.objects.get()
    before = clear(member)
    known = [(contact["kind"], contact["value"]) for contact in row["contacts"]]
    result, rejects, warnings = bring(row | contacts(*known[:1], ("phone", "119"), ("mobile", "なし")))
    assert (rejects, len(warnings)) == ([], 2)
    assert counted(result) == {"unchanged": 1, "warned": 1}
    assert clear(member) == before
    bring(row | contacts(*known[:1], ("phone", "119"), ("email", "second@example.jp")))
    assert {contact.value for contact in clear(member).contacts} - {contact.value for contact in before.contacts} == {
        "second@example.jp"
    }
    assert len(clear(member).contacts) == len(before.contacts) + 1
