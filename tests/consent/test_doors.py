"""The three doors, and the notices that go through the second: who gets what, and what is recorded first."""

import contextlib
import dataclasses
import datetime
import smtplib
import uuid

import psycopg
import pytest
from django.core import mail as post
from django.core.exceptions import PermissionDenied
from django.core.mail import EmailMessage
from django.db import IntegrityError, transaction
from django.utils import timezone

from access_control import openings, policies
from access_control.codes import Purpose, Reason
from access_control.ledger import acting
from access_control.models import LedgerEvent
from access_control.services import leave
from access_control.vault import store
from access_control.vault.categories import Category
from access_control.vault.errors import CeilingReached, Destroyed, SealBroken
from access_control.vault.fields import Sealed
from consent.events import Event
from consent.gate import Code, Refused
from consent.models import Engagement, OurRule, Provision, Recipient, SubjectReference
from consent.services import notices
from consent.services.doors import NothingThere, provide, reveal, use
from consent.services.notices import MOST_ATTEMPTS, Sent, send_notices
from members.events import Event as MemberEvent
from members.models import Addressee, Case, ContactPoint, Member, Notice, PaymentMeans
from members.services import grants
from members.services.cases import close_case, hand_over
from members.services.corrections import apply_correction, ask_correction
from members.services.grants import revoke_grants
from tests import factories

ADDRESS = "hanako.yamada@example.jp"


@pytest.fixture
def mail(hanako):
    return ContactPoint.objects.get(member=hanako, kind="email")


@pytest.fixture
def look(hanako, mail, identified, agent):
    """Reveals hanako's mail address, or what the call says instead."""

    def looking(**other):
        given = {"row": mail.pk, "field": "value", "purpose": Purpose.COMPLAINT, "case": identified, "actor": agent}
        return reveal(other.pop("member", hanako), **(given | other))

    return looking


def newest(event):
    return LedgerEvent.objects.filter(event=event).latest("sequence")


def fetches_for(event):
    since = timezone.now() - datetime.timedelta(minutes=5)
    return [record for record in store.fetch_records(since) if record[3] == event]


def refused_code(call, *args, **kwargs):
    with pytest.raises(Refused) as refused:
        call(*args, **kwargs)
    return refused.value.decision.code


# reveal


def test_a_reveal_gives_one_item_and_is_recorded_twice_over(look, agent, hanako, identified, mail):
    shown = look()
    assert (shown.text, shown.item.code, shown.row, shown.field) == (ADDRESS, "contact.email", mail.pk, "value")
    event = newest(Event.REVEALED)
    assert event.id == shown.event
    assert (event.actor, event.subject, event.case) == (agent.pk, hanako.pk, identified.pk)
    assert (event.items, event.purpose) == (["contact.email"], Purpose.COMPLAINT)
    assert [record[4] for record in fetches_for(event.id)] == [1]
    assert ADDRESS not in f"{shown!r} {list(LedgerEvent.objects.values_list())}"


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("name", "山田 花子"),
        ("login_id", None),
        ("birth_date", "1980-02-03"),
        ("sex", "female"),
        ("kana", "ヤマダ ハナコ"),
    ],
)
def test_items_of_the_member_row_are_revealed_too(look, hanako, field, text):
    shown = look(row=hanako.pk, field=field)
    assert text is None or shown.text == text


def test_the_record_is_there_before_the_vault_is_asked(look, monkeypatch):
    def breaks(*_args, **_kwargs):
        raise CeilingReached

    monkeypatch.setattr(openings, "keys_for", breaks)
    with pytest.raises(CeilingReached):
        look()
    assert newest(Event.REVEALED)


def test_a_reveal_refuses_to_be_part_of_somebody_elses_transaction(look):
    with transaction.atomic(), pytest.raises(RuntimeError):
        look()
    assert not LedgerEvent.objects.filter(event=Event.REVEALED).exists()


@pytest.mark.parametrize("role", ["second_agent", "supervisor", "officer", "auditor", "administrator"])
def test_nobody_else_reveals_and_the_attempt_is_recorded(look, hanako, role, request):
    who = request.getfixturevalue(role)
    assert refused_code(look, actor=who) == Code.NO_GRANT
    event = newest(Event.REVEAL_REFUSED)
    assert (event.actor, event.subject, event.reason, event.items) == (
        who.pk,
        hanako.pk,
        Code.NO_GRANT,
        # Not even whether there is such a value.
        [],
    )
    assert not LedgerEvent.objects.filter(event=Event.REVEALED).exists()
    assert fetches_for(event.id) == []


def test_an_unidentified_case_reveals_nothing(call, agent, hanako, mail):
    given = {"row": mail.pk, "field": "value", "purpose": Purpose.COMPLAINT, "case": call, "actor": agent}
    assert refused_code(reveal, hanako, **given) == Code.NO_GRANT


def test_after_the_case_is_closed_the_sentence_says_so(look, identified, agent):
    close_case(identified, outcome=Case.Outcome.DONE, actor=agent)
    identified.refresh_from_db()
    assert refused_code(look) == Code.CASE_CLOSED


def test_after_a_handover_the_first_agent_reveals_nothing_and_the_second_does(
    look, identified, second_agent, supervisor
):
    hand_over(identified, to=second_agent, actor=supervisor)
    identified.refresh_from_db()
    assert refused_code(look) == Code.NO_GRANT
    assert look(actor=second_agent).text == ADDRESS


def test_after_a_revocation_nothing_is_revealed(look, identified, supervisor):
    assert look().text == ADDRESS
    revoke_grants(identified, actor=supervisor)
    assert refused_code(look) == Code.NO_GRANT


def test_a_grant_of_one_case_does_not_open_another(look, hanako, agent):
    other = factories.case(hanako, agent)
    assert refused_code(look, case=other) == Code.NO_GRANT


def test_with_two_identified_cases_of_one_member_either_reveals(look, hanako, agent, identified):
    second = factories.identify(factories.case(hanako, agent))
    assert look(case=second).text == ADDRESS
    assert look(case=identified).text == ADDRESS


def test_a_grant_covers_its_categories_only(look, hanako, identified, monkeypatch):
    monkeypatch.setattr(grants, "CATEGORIES", (Category.IDENTITY,))
    factories.reopen_grants(identified)
    assert refused_code(look) == Code.OTHER_CATEGORY
    assert look(row=hanako.pk, field="name").text == "山田 花子"


def test_a_grant_covers_the_purposes_of_answering_only(look, hanako):
    assert refused_code(look, row=hanako.pk, field="sex", purpose=Purpose.NEW_SERVICE) == Code.OTHER_PURPOSE


def test_the_gate_is_asked_too(look, hanako):
    OurRule.objects.create(item="member.sex", purpose=Purpose.COMPLAINT, why="a test")
    assert refused_code(look, row=hanako.pk, field="sex", purpose=Purpose.COMPLAINT) == Code.OUR_RULE
    assert newest(Event.REVEAL_REFUSED).reason == Code.OUR_RULE


def test_what_is_not_the_members_is_not_there(look, hanako, identified):
    other = factories.member()
    theirs = ContactPoint.objects.get(member=other, kind="email")
    empty = PaymentMeans.objects.get(member=hanako, kind="card")
    for row, field in (
        (theirs.pk, "value"),
        (other.pk, "name"),
        (uuid.uuid4(), "value"),
        (hanako.pk, "nickname"),
        (hanako.pk, "state"),
        (empty.pk, "bank"),
        (identified.pk, "reference"),
    ):
        with pytest.raises(NothingThere):
            look(row=row, field=field)
    assert refused_code(look, member=other, row=theirs.pk) == Code.NO_GRANT


def test_access_that_ends_between_the_record_and_the_look_shows_nothing(look, monkeypatch, identified, agent):
    real, opened = policies.hold, []

    def ends_first(actor, action, **held):
        leave(agent.person, on=factories.TODAY, actor=None)
        real(actor, action, **held)
        opened.append(held)

    monkeypatch.setattr(policies, "hold", ends_first)
    with pytest.raises(PermissionDenied):
        look()
    assert opened == []
    assert fetches_for(newest(Event.REVEALED).id) == []


def test_a_destroyed_value_is_said_to_be_destroyed(look, monkeypatch, hanako):
    now = timezone.now()

    def fenced(subjects, categories, *, event, approval=None):
        return [
            dataclasses.replace(key, wrapped=None, destroyed_at=now)
            for key in real(subjects, categories, event=event, approval=approval)
        ]

    real = store.fetch
    monkeypatch.setattr(store, "fetch", fenced)
    with pytest.raises(Destroyed) as destroyed:
        look()
    assert destroyed.value.at == now
    assert ADDRESS not in repr(destroyed.value)


def test_a_value_moved_from_another_row_does_not_open(look, hanako, mail):
    phone = ContactPoint.objects.get(member=hanako, kind="phone")
    with acting(None, reason="asked"):
        ContactPoint.objects.filter(pk=mail.pk).update(value=Sealed(phone.value.blob))
    with pytest.raises(SealBroken) as broken:
        look()
    assert "5550" not in repr(broken.value)


# use


def test_a_use_is_judged_recorded_and_opened(hanako, mail):
    given = {"item": "contact.email", "row": mail.pk, "purpose": Purpose.NOTICE, "reason": Reason.SCHEDULED}
    assert use(hanako, mail, "value", **given) == ADDRESS
    event = newest(Event.USED)
    assert (event.actor, event.actor_name, event.subject, event.items) == (None, "system", hanako.pk, ["contact.email"])
    assert len(fetches_for(event.id)) == 1


def test_a_refused_use_opens_nothing_and_is_recorded(hanako, mail):
    with acting(None, reason="asked"):
        Member.objects.filter(pk=hanako.pk).update(state="ended", ended_at=timezone.now())
    hanako.refresh_from_db()
    given = {"item": "contact.email", "row": mail.pk, "purpose": Purpose.NOTICE, "reason": Reason.SCHEDULED}
    assert refused_code(use, hanako, mail, "value", **given) == Code.ENDED
    event = newest(Event.USE_REFUSED)
    assert (event.reason, event.items, event.purpose) == (Code.ENDED, ["contact.email"], Purpose.NOTICE)
    assert fetches_for(event.id) == []
    assert not LedgerEvent.objects.filter(event=Event.USED).exists()


def no_key(*_args, **_kwargs):
    raise CeilingReached


def test_a_use_that_the_vault_refuses_is_recorded_all_the_same(hanako, mail, monkeypatch):
    """Number 31: the event of a use stays when the vault fails, since the vault may have its record of the fetch."""
    monkeypatch.setattr(openings, "keys_for", no_key)
    with pytest.raises(CeilingReached):
        use(hanako, mail, "value", item="contact.email", row=mail.pk, purpose=Purpose.NOTICE, reason=Reason.SCHEDULED)
    assert newest(Event.USED).subject == hanako.pk


@contextlib.contextmanager
def locked_while_opened(monkeypatch, as_role, member):
    """Inside, each opening notes whether another session could take the member's row at that moment."""
    real, could = openings.keys_for, []

    def looks(*args, **kwargs):
        with as_role("app") as cursor:
            try:
                cursor.execute("SELECT 1 FROM members_member WHERE id = %s FOR UPDATE NOWAIT", [member.pk])
                could.append(True)
            except psycopg.errors.LockNotAvailable:
                could.append(False)
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(openings, "keys_for", looks)
        yield could


def test_the_member_stays_locked_from_judgement_to_opening(committed, monkeypatch, as_role):
    """Number 31: neither a use nor a provision lets a suspension or a destruction in between."""
    member = factories.member()
    mail, home = ContactPoint.objects.get(member=member, kind="email"), Addressee.objects.get(member=member)
    with locked_while_opened(monkeypatch, as_role, member) as could:
        use(member, mail, "value", item="contact.email", row=mail.pk, purpose=Purpose.NOTICE, reason=Reason.SCHEDULED)
        hand(member, [(home.pk, "name")], "carrier", Provision.Basis.C3)
    assert could == [False, False]


# provide


@pytest.fixture
def home(hanako):
    return Addressee.objects.get(member=hanako)


def hand(member, what, kind, basis, purpose=Purpose.DELIVERY, **rest):
    given = {"actor": None, "reason": Reason.SCHEDULED}
    recipient = Recipient.objects.get(kind=kind)
    return provide(member, what=what, recipient=recipient, basis=basis, purpose=purpose, **(given | rest))


def engage(**fields):
    today = timezone.localdate()
    given = {
        "recipient": Recipient.objects.get(kind="contractor"),
        "items": ["contact.email"],
        "purposes": [Purpose.CUSTOMER_SERVICE],
        "announced_on": today,
        "starts_on": today,
        "ends_on": today,
    }
    return Engagement.objects.create(**(given | fields))


def test_a_carrier_gets_what_the_parcel_shows_and_it_is_on_record(agent, hanako, home, identified):
    batch = uuid.uuid4()
    what = [(home.pk, "name"), (home.pk, "address")]
    handed = hand(hanako, what, "carrier", Provision.Basis.C3, actor=agent, case=identified, batch=batch)
    assert handed.values == {
        (home.pk, "addressee.name"): "山田 一郎",
        (home.pk, "addressee.address"): "東京都千代田区千代田9-9-9",
    }
    assert "山田" not in repr(handed)
    row = Provision.objects.get()
    assert (row.pk, row.reference.reference, row.batch) == (handed.provision, handed.reference, batch)
    assert (row.items, row.basis, row.purpose) == (["addressee.address", "addressee.name"], "C3", Purpose.DELIVERY)
    assert (row.actor, row.case, row.engagement) == (agent, identified, None)
    event = newest(Event.PROVIDED)
    assert (event.subject, event.items, event.actor) == (hanako.pk, row.items, agent.pk)
    assert len(fetches_for(event.id)) == 1


def test_a_recipient_knows_a_member_by_one_opaque_reference(hanako, home):
    first = hand(hanako, [(home.pk, "name")], "carrier", "C3")
    second = hand(hanako, [(home.pk, "phone")], "carrier", "C3")
    assert first.reference == second.reference
    card = PaymentMeans.objects.get(member=hanako, kind="card")
    third = hand(hanako, [(card.pk, "token")], "settlement", "C2", Purpose.SETTLEMENT)
    assert third.reference != first.reference
    assert SubjectReference.objects.count() == 2
    other = factories.member()
    theirs = hand(other, [(Addressee.objects.get(member=other).pk, "name")], "carrier", "C3")
    assert theirs.reference != first.reference
    assert hanako.pk.hex not in first.reference
    assert len(first.reference) >= 20


@pytest.mark.parametrize(
    ("row", "field", "kind", "basis"),
    [
        ("home", "kana", "carrier", "C3"),
        ("mail", "value", "carrier", "C3"),
        ("home", "name", "settlement", "C3"),
        ("home", "name", "contractor", "C3"),
        ("home", "name", "carrier", "C2"),
        ("home", "name", "carrier", "XX"),
        ("home", "name", "carrier", ""),
    ],
)
def test_what_no_basis_covers_is_not_handed_out(hanako, row, field, kind, basis, request):
    target = request.getfixturevalue(row)
    assert refused_code(hand, hanako, [(target.pk, field)], kind, basis) == Code.NO_BASIS
    assert not Provision.objects.exists()
    assert not SubjectReference.objects.exists()
    event = newest(Event.PROVISION_REFUSED)
    assert (event.subject, event.reason) == (hanako.pk, Code.NO_BASIS)
    assert fetches_for(event.id) == []


def test_one_item_too_many_and_nothing_is_handed_out(hanako, home, mail):
    what = [(home.pk, "name"), (mail.pk, "value")]
    assert refused_code(hand, hanako, what, "carrier", "C3") == Code.NO_BASIS
    assert not Provision.objects.exists()


def test_an_announced_engagement_covers_its_items_purposes_and_days(hanako, mail):
    engagement = engage()
    handed = hand(hanako, [(mail.pk, "value")], "contractor", "B1", Purpose.CUSTOMER_SERVICE)
    assert handed.values == {(mail.pk, "contact.email"): ADDRESS}
    assert Provision.objects.get().engagement == engagement


@pytest.mark.parametrize(
    ("fields", "purpose"),
    [
        ({"items": ["contact.phone"]}, Purpose.CUSTOMER_SERVICE),
        ({}, Purpose.NEW_SERVICE),
        ({"starts": 1, "ends": 2}, Purpose.CUSTOMER_SERVICE),
        ({"starts": -2, "ends": -1}, Purpose.CUSTOMER_SERVICE),
    ],
    ids=["item", "purpose", "not begun", "over"],
)
def test_outside_an_engagement_nothing_is_handed_out(hanako, mail, fields, purpose):
    today, days = timezone.localdate(), {key: fields[key] for key in ("starts", "ends") if key in fields}
    dates = {f"{key}_on": today + datetime.timedelta(days=value) for key, value in days.items()}
    announced = {"announced_on": today - datetime.timedelta(days=9)}
    engage(**{key: value for key, value in fields.items() if key == "items"}, **announced, **dates)
    assert refused_code(hand, hanako, [(mail.pk, "value")], "contractor", "B1", purpose) == Code.NOT_ANNOUNCED
    assert not Provision.objects.exists()


def test_an_engagement_covers_its_own_recipient_only(hanako, mail):
    engage()
    code = refused_code(hand, hanako, [(mail.pk, "value")], "carrier", "B1", Purpose.CUSTOMER_SERVICE)
    assert code == Code.NOT_ANNOUNCED


def test_provision_goes_through_the_gate(home):
    member = factories.member(joined_on="2012-01-01", last_used_on=None)
    theirs = Addressee.objects.get(member=member)
    code = refused_code(hand, member, [(theirs.pk, "name")], "carrier", "C3")
    assert code == Code.NO_ACCEPTED_VERSION
    # Not even the member's own case lets the house hand out what was never agreed to.
    assert not Provision.objects.exists()


def test_each_of_several_items_is_judged(hanako, home, agent, identified):
    """Number 31: a suspended item is not handed out behind one that is free."""
    ask_correction(identified, item="addressee.address", row=home.pk, text="東京都港区芝公園4-2-8", actor=agent)
    what = [(home.pk, "name"), (home.pk, "address")]
    assert refused_code(hand, hanako, what, "carrier", "C3") == Code.SUSPENDED
    assert refused_code(hand, hanako, what[::-1], "carrier", "C3") == Code.SUSPENDED
    assert hand(hanako, what[:1], "carrier", "C3").values


def test_a_provision_refuses_to_be_part_of_somebody_elses_transaction(hanako, home):
    """Number 31: what was handed out cannot be rolled back, so its record is not either."""
    with transaction.atomic(), pytest.raises(RuntimeError):
        hand(hanako, [(home.pk, "name")], "carrier", "C3")
    assert not Provision.objects.exists()


def test_an_engagement_is_announced_before_it_starts():
    """Number 31: what stands behind the question whether an engagement was announced by today."""
    tomorrow = timezone.localdate() + datetime.timedelta(days=1)
    with transaction.atomic(), pytest.raises(IntegrityError, match="consent_engagement_announced_first"):
        engage(announced_on=tomorrow)


def test_another_members_row_is_not_handed_out(hanako):
    other = factories.member()
    with pytest.raises(NothingThere):
        hand(hanako, [(Addressee.objects.get(member=other).pk, "name")], "carrier", "C3")
    assert not Provision.objects.exists()


def test_handing_out_nothing_is_no_provision(hanako):
    with pytest.raises((Refused, NothingThere, ValueError)):
        hand(hanako, [], "carrier", "C3")
    assert not Provision.objects.exists()


# Notices, which go through the second door


@pytest.fixture
def queued(agent, identified, hanako, mail):
    """Two notices about a corrected mail address."""
    wish = ask_correction(identified, item="contact.email", row=mail.pk, text="new@example.net", actor=agent)
    apply_correction(wish, actor=agent)
    return list(Notice.objects.order_by("queued_at", "pk"))


def states():
    return set(Notice.objects.values_list("state", "failure"))


def test_notices_are_sent_once_to_both_addresses_and_name_no_value(queued, hanako, identified, events_of):
    assert send_notices() == Sent(sent=2, refused=0, failed=0, waiting=0)
    assert sorted(message.to[0] for message in post.outbox) == [ADDRESS, "new@example.net"]
    for message in post.outbox:
        assert identified.reference in message.body
        assert "@" not in message.body.replace("@marketplace.example", "")
        assert "花子" not in message.subject + message.body
    assert states() == {("sent", "")}
    assert all(Notice.objects.values_list("sent_at", flat=True))
    assert events_of(hanako).count(MemberEvent.NOTICE_SENT) == 2
    assert events_of(hanako).count(Event.USED) == 2
    assert send_notices() == Sent(0, 0, 0, 0)
    assert len(post.outbox) == 2


def test_only_as_many_as_asked_for_are_sent(queued):
    assert send_notices(most=1).sent == 1
    assert Notice.objects.filter(state="queued").count() == 1


def test_without_a_mail_server_notices_wait_and_nothing_is_pretended(queued, settings):
    settings.EMAIL_BACKEND = "members.mail.NoServerBackend"
    assert send_notices() == Sent(sent=0, refused=0, failed=0, waiting=2)
    assert states() == {("queued", "")}
    assert set(Notice.objects.values_list("attempts", flat=True)) == {0}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectionRefusedError(ADDRESS), "ConnectionRefusedError"),
        (smtplib.SMTPServerDisconnected(ADDRESS), "SMTPServerDisconnected"),
    ],
)
def test_a_server_that_fails_is_tried_again_and_then_given_up_without_its_reply(
    queued, monkeypatch, hanako, error, code
):
    def fails(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(EmailMessage, "send", fails)
    for _attempt in range(MOST_ATTEMPTS - 1):
        assert send_notices() == Sent(sent=0, refused=0, failed=0, waiting=2)
        Notice.objects.update(next_try_at=timezone.now())
    assert states() == {("queued", code)}
    assert send_notices() == Sent(sent=0, refused=0, failed=2, waiting=0)
    assert states() == {("failed", code)}
    assert newest(MemberEvent.NOTICE_FAILED).subject == hanako.pk


def test_a_failure_that_passes_is_forgotten(queued, monkeypatch):
    def fails(*_args, **_kwargs):
        raise ConnectionRefusedError

    with monkeypatch.context() as patch:
        patch.setattr(EmailMessage, "send", fails)
        send_notices()
    Notice.objects.update(next_try_at=timezone.now())
    assert send_notices().sent == 2
    assert states() == {("sent", "")}


def test_a_bad_notice_does_not_stop_the_others(queued, monkeypatch):
    real = notices.use

    def swapped(member, notice, *args, **kwargs):
        if notice.pk == queued[0].pk:
            notice.to = Sealed(queued[1].to.blob)
        return real(member, notice, *args, **kwargs)

    monkeypatch.setattr(notices, "use", swapped)
    assert send_notices() == Sent(sent=1, refused=0, failed=1, waiting=0)
    assert states() == {("sent", ""), ("failed", "SealBroken")}
