"""Number 14: a seal that does not open is an incident, wherever it is met: recorded, on the board, in the log."""

import logging

import pytest
from django.urls import reverse
from django.utils import timezone

from access_control.codes import Purpose
from access_control.controls import CONTROLS, measured
from access_control.ids import new_id
from access_control.ledger import acting
from access_control.models import LedgerEvent
from access_control.vault.errors import SealBroken
from access_control.vault.fields import Sealed
from consent.models import Provision, Recipient
from consent.services.doors import provide, reveal, use
from consent.services.joining import join_many
from consent.services.records import reveal_record
from members.intake import parse_transaction
from members.models import Addressee, CaseNote, ContactPoint, Correction, IdentityTry, Member, Transaction
from members.services.cases import add_note
from members.services.corrections import apply_correction, ask_correction
from members.services.identity import check_identity
from members.services.transactions import register_transactions
from tests import factories


def swap(row, field, *, flip=-1):
    """The value of the row is altered, as somebody with SQL could."""
    blob = bytearray(getattr(row, field).blob)
    blob[flip] ^= 1
    with acting(None, reason="asked"):
        type(row).objects.filter(pk=row.pk).update(**{field: Sealed(bytes(blob))})
    row.refresh_from_db()
    return row


@pytest.fixture
def mail(hanako):
    return swap(ContactPoint.objects.get(member=hanako, kind="email"), "value")


def incidents():
    found = LedgerEvent.objects.filter(event="seal:broken").order_by("sequence")
    return [(row.subject, tuple(row.items)) for row in found]


def on_the_board():
    (control,) = [one for one in CONTROLS if one.code == "broken_seals"]
    return measured(control, now=timezone.now())


def test_a_reveal_that_opens_nothing_is_an_incident(identified, mail, caplog):
    """Number 14: by name, with subject and item, on the board, and in the log as an error; no value anywhere."""
    assert on_the_board().figure == 0
    with caplog.at_level(logging.ERROR), pytest.raises(SealBroken):
        reveal(
            identified.member,
            row=mail.pk,
            field="value",
            purpose=Purpose.COMPLAINT,
            case=identified,
            actor=identified.owner,
        )
    assert incidents() == [(identified.member_id, ("contact.email",))]
    event = LedgerEvent.objects.get(event="seal:broken")
    assert (event.actor, event.case) == (identified.owner_id, identified.pk)
    result = on_the_board()
    assert (result.figure, result.state) == (1, "not_kept")
    assert result.rows == [f"{identified.member_id} contact.email"]
    (record,) = [one for one in caplog.records if one.name == "console.incidents"]
    assert record.levelno == logging.ERROR
    assert record.fields["row"] == str(mail.pk)


@pytest.mark.parametrize("how", ["bit", "key", "category", "other"])
def test_however_it_was_altered(identified, how):
    """Number 14: a flipped bit, a generation never made, another category's key, another row's value."""
    member = identified.member
    mail = ContactPoint.objects.get(member=member, kind="email")
    if how == "other":
        other = ContactPoint.objects.get(member=member, kind="phone")
        with acting(None, reason="asked"):
            ContactPoint.objects.filter(pk=mail.pk).update(value=Sealed(other.value.blob))
    else:
        swap(mail, "value", flip={"bit": -1, "key": 9, "category": 1}[how])
    with pytest.raises(SealBroken):
        reveal(member, row=mail.pk, field="value", purpose=3, case=identified, actor=identified.owner)
    assert incidents() == [(member.pk, ("contact.email",))]


def test_a_use_and_a_provision_that_open_nothing(hanako, mail, supervisor):
    """Number 14: nothing is called provided that was not."""
    with pytest.raises(SealBroken):
        use(hanako, mail, "value", item="contact.email", row=mail.pk, purpose=Purpose.NOTICE, reason="scheduled")
    addressee = Addressee.objects.get(member=hanako)
    swap(addressee, "address")
    with pytest.raises(SealBroken):
        provide(
            hanako,
            what=[(addressee.pk, "name"), (addressee.pk, "address")],
            recipient=Recipient.objects.get(kind="carrier"),
            basis=Provision.Basis.C3,
            purpose=Purpose.DELIVERY,
            actor=supervisor,
            reason="asked",
        )
    assert not Provision.objects.exists()
    assert incidents() == [(hanako.pk, ("contact.email",)), (hanako.pk, ("addressee.address",))]


def test_a_record_of_the_books_that_does_not_open(hanako):
    """Number 14."""
    keeper = factories.staff("records")
    member = factories.member(member_number="T0009001")
    record = swap(factories.transaction("T0009001"), "goods")
    with pytest.raises(SealBroken):
        reveal_record(record, reason="tax_audit", actor=keeper)
    assert [subject for subject, _items in incidents()] == [member.pk]


def page_of(client, case):
    return client.get(reverse("admin:members_case_change", args=[case.pk]))


def act(client, case, step, action, **data):
    return client.post(reverse("admin:members_case_act", args=[case.pk, step, action]), data)


def test_a_page_shows_the_broken_item_as_broken_and_the_rest(client, identified, mail):
    """Number 14: case, list, member, history and note; each says so, none is 503."""
    add_note(identified, text="折り返しは午後", actor=identified.owner)
    # A note is never changed, so one whose text belongs to another is added.
    note = CaseNote.objects.get()
    note.pk, note._state.adding = new_id(), True
    note.save(force_insert=True)
    client.force_login(identified.owner)
    page = page_of(client, identified)
    assert page.status_code == 200
    text = page.content.decode()
    assert "山＊ 花＊" in text
    assert "折り返しは午後" in text
    assert "これは読めない" not in text
    found = set(incidents())
    assert found == {(identified.member_id, ("contact.email",)), (identified.member_id, ("case.note",))}
    for name, args in (
        ("members_case_changelist", []),
        ("members_member_changelist", []),
        ("members_member_change", [identified.member_id]),
        ("members_member_history", [identified.member_id]),
        ("index", []),
    ):
        assert client.get(reverse(f"admin:{name}", args=args)).status_code == 200
    revealed = act(client, identified, "look", "reveal", target=f"{mail.pk}:value", purpose=3)
    assert revealed.status_code == 200
    assert 'class="refusal"' in revealed.content.decode()


def test_a_correction_over_a_broken_seal_says_so_and_changes_nothing(client, identified, mail, hanako):
    """Number 14: of the broken item itself, and of another that would be sealed again with it."""
    client.force_login(identified.owner)
    with pytest.raises(SealBroken):
        ask_correction(identified, item="contact.email", row=mail.pk, text="a@example.net", actor=identified.owner)
    assert not Correction.objects.exists()
    phone = ContactPoint.objects.get(member=hanako, kind="phone")
    correction = ask_correction(
        identified, item="contact.phone", row=phone.pk, text="03-5550-9876", actor=identified.owner
    )
    assert act(client, identified, "correction", "apply", correction=correction.pk).status_code == 302
    correction.refresh_from_db()
    assert correction.state == "asked"
    before = len(incidents())
    with pytest.raises(SealBroken):
        apply_correction(correction, actor=identified.owner)
    # The act was rolled back; that it met a broken seal was not.
    assert len(incidents()) == before + 1


@pytest.mark.parametrize("broken", ["mobile", "birth_date"])
def test_an_identity_check_over_a_broken_seal_is_no_503_and_no_try(client, call, hanako, broken):
    """Number 14: and whoever guesses learns nothing from it."""
    if broken == "mobile":
        swap(ContactPoint.objects.get(member=hanako, kind="mobile"), "value")
    else:
        swap(hanako, "birth_date")
    client.force_login(call.owner)
    for said in (factories.RIGHT_ANSWERS, {"birth_date": "1980-02-04", "last_four": "0000"}):
        answer = act(client, call, "identity", "check", **said)
        assert answer.status_code == 200
        assert 'class="refusal"' in answer.content.decode()
        with pytest.raises(SealBroken):
            check_identity(call, said=said, actor=call.owner)
    assert not IdentityTry.objects.exists()
    assert incidents()


def test_at_import_the_broken_member_is_a_reject_and_the_others_are_compared():
    """Number 14: members and orders."""
    rows = [factories.RowFactory() for _each in range(3)]
    news = [factories.new_member(**row) for row in rows]
    members = [registered.member for registered in join_many(news, actor=None)]
    swap(Member.objects.get(pk=members[1]), "occupation")
    assert [one.outcome for one in join_many(news, actor=None)] == ["unchanged", "broken", "unchanged"]
    assert incidents() == [(members[1], ("member.occupation",))]


@pytest.mark.parametrize("field", ["order", "goods"])
def test_at_import_a_broken_record_is_a_reject(field):
    """Number 14."""
    factories.member(member_number="T0009101")
    factories.member(member_number="T0009102")
    rows = [factories.OrderFactory(member_number=number, order="A-1") for number in ("T0009101", "T0009102")]
    for row in rows:
        factories.transaction(**{"number": row["member_number"], "order": "A-1"})
    record = Transaction.objects.order_by("pk").first()
    swap(record, field)
    news = [parse_transaction(row, today=factories.TODAY) for row in rows]
    with acting(None, reason="imported") as act:
        outcomes = [one.outcome for one in register_transactions(news, act=act)]
    assert sorted(outcomes) == ["broken_seal", "unchanged"]
    assert len(incidents()) == 1
