"""What the law keeps is seen by its keeper alone: masked in lists, whole for a reason, and every look on record."""

import datetime
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connections, transaction
from django.urls import reverse
from django.utils import timezone

from access_control import openings, policies
from access_control.codes import Purpose, Reason
from access_control.ledger import acting
from access_control.models import LedgerEvent
from access_control.roles import PERMISSIONS, Role
from access_control.services import approve, ask_approval, leave, move, use_approval
from access_control.vault import store
from access_control.vault.errors import CeilingReached, Destroyed, SealBroken
from access_control.vault.fields import Sealed
from consent.admin.records import RecordAdmin
from consent.events import Event
from consent.gate import Code, Refused
from consent.services.records import WHY, reveal_record
from members.events import Event as MemberEvent
from members.intake import parse_transaction
from members.models import Member, Suspension, Transaction
from members.services.transactions import register_transactions
from tests import factories
from tests.databases import TOLD, somebody_waits

NUMBER = "T9000001"
CLEAR = {
    "transaction.order": "A-77",
    "transaction.goods": "手織りの麻ふきん 3枚",
    "transaction.amount": "12800 JPY",
    "transaction.name": "山田 花子",
    "transaction.address": "東京都千代田区千代田9-9-9",
}
LIST = "admin:members_transaction_changelist"
OTHERS = [role.value for role in Role if role != Role.RECORDS]


@pytest.fixture
def keeper():
    """Keeps the statutory records."""
    return factories.staff("records")


@pytest.fixture
def record():
    """An order of hanako's."""
    factories.member(member_number=NUMBER)
    return factories.transaction(NUMBER, order="A-77")


def page_of(record):
    return reverse("admin:members_transaction_change", args=[record.pk])


def reveal_of(record):
    return reverse("admin:members_transaction_reveal", args=[record.pk])


def newest(event):
    return LedgerEvent.objects.filter(event=event).latest("sequence")


def fetches_for(event):
    since = timezone.now() - datetime.timedelta(minutes=5)
    return [fetch for fetch in store.fetch_records(since) if fetch[3] == event]


def destroy(record, as_role):
    """The vault ends the record's key in the name of an approval that the console has spent."""
    plan_hash = b"\x07" * 32
    approval = ask_approval("purge", payload_hash=plan_hash, actor=None, reason=Reason.SCHEDULED)
    approve(approval, actor=factories.staff("officer"), reason=Reason.DAILY_WORK)
    use_approval(approval.pk, kind="purge", payload_hash=plan_hash, actor=None, reason=Reason.RETENTION_ENDED)
    with as_role("purger", "vault") as cursor:
        cursor.execute(
            "SELECT count(*) FROM vault_destroy(ARRAY[%s::uuid], ARRAY[7::smallint], ARRAY[%s::bigint],"
            f" ARRAY[gen_random_uuid()], %s, {TOLD})",
            [record.member_id, record.fiscal_year, plan_hash],
        )
        assert cursor.fetchone() == (1,)


# The door


@pytest.mark.parametrize("why", WHY)
def test_a_reveal_shows_the_whole_record_and_is_recorded_twice_over(record, keeper, why):
    revealed = reveal_record(record, reason=why, actor=keeper)
    assert {item.code: text for item, text in revealed.values} == CLEAR
    event = newest(Event.RECORD_REVEALED)
    assert (event.id, event.actor, event.subject) == (revealed.event, keeper.pk, record.member_id)
    assert (event.reason, event.purpose, set(event.items)) == (why, Purpose.TRANSACTION, set(CLEAR))
    assert [fetch[4] for fetch in fetches_for(event.id)] == [1]
    assert "山田" not in f"{revealed!r} {list(LedgerEvent.objects.values_list())}"


def test_what_is_not_there_is_not_shown(keeper):
    factories.member(member_number=NUMBER)
    record = factories.transaction(NUMBER, address=None)
    revealed = reveal_record(record, reason=Reason.TAX_AUDIT, actor=keeper)
    assert "transaction.address" not in {item.code for item, _text in revealed.values}
    assert "transaction.address" not in newest(Event.RECORD_REVEALED).items


@pytest.mark.parametrize("why", [Reason.DAILY_WORK, Reason.ASKED, "", "curiosity"])
def test_no_other_reason_opens_a_record(record, keeper, why):
    with pytest.raises(ValidationError):
        reveal_record(record, reason=why, actor=keeper)
    assert not LedgerEvent.objects.filter(event__startswith="transaction:reveal").exists()


@pytest.mark.parametrize("role", OTHERS)
def test_nobody_else_reveals_a_record_and_the_attempt_is_recorded(record, role):
    other = factories.staff(role)
    with pytest.raises(Refused) as refused:
        reveal_record(record, reason=Reason.TAX_AUDIT, actor=other)
    assert refused.value.decision.code == Code.OTHER_ROLE
    event = newest(Event.RECORD_REFUSED)
    assert (event.actor, event.subject, event.reason) == (other.pk, record.member_id, Code.OTHER_ROLE)
    assert fetches_for(event.id) == []
    assert not LedgerEvent.objects.filter(event=Event.RECORD_REVEALED).exists()


def test_the_record_is_in_the_ledger_before_the_vault_is_asked(record, keeper, monkeypatch):
    def breaks(*_args, **_kwargs):
        raise CeilingReached

    monkeypatch.setattr(openings, "keys_for", breaks)
    with pytest.raises(CeilingReached):
        reveal_record(record, reason=Reason.AUTHORITY, actor=keeper)
    assert newest(Event.RECORD_REVEALED)


def test_a_reveal_refuses_to_be_part_of_somebody_elses_transaction(record, keeper):
    with transaction.atomic(), pytest.raises(RuntimeError):
        reveal_record(record, reason=Reason.AUTHORITY, actor=keeper)
    assert not LedgerEvent.objects.filter(event=Event.RECORD_REVEALED).exists()


def test_neither_the_end_of_the_membership_nor_a_suspension_stops_it(record, keeper, identified):
    with acting(None, reason="asked"):
        Member.objects.filter(pk=record.member_id).update(state="ended", ended_at=timezone.now())
        Member.objects.filter(pk=record.member_id).update(state="destroyed")
        Suspension.objects.create(
            member_id=record.member_id,
            case=identified,
            item="transaction.name",
            row=record.pk,
            started_at=timezone.now(),
        )
    assert reveal_record(record, reason=Reason.TAX_AUDIT, actor=keeper).values


@pytest.mark.parametrize("what", ["leaves", "moves", "loses the role", "loses the class"])
def test_who_loses_the_role_between_check_and_look_sees_nothing(record, keeper, administrator, what, monkeypatch):
    """The account in the page's hands is what it was; the database's is looked at again."""
    can = policies.can

    def then(*asked):
        answer = can(*asked)
        if what == "leaves":
            leave(keeper.person, on=timezone.localdate(), actor=administrator)
        elif what == "moves":
            move(keeper.person, access_class="direct", role="agent", actor=None)
        else:
            changed = {
                "loses the role": (keeper, {"role": "agent"}),
                "loses the class": (keeper.person, {"access_class": ""}),
            }
            row, change = changed[what]
            with acting(None, reason="moved"):
                type(row).objects.filter(pk=row.pk).update(**change)
        return answer

    monkeypatch.setattr(policies, "can", then)
    with pytest.raises(PermissionDenied):
        reveal_record(record, reason=Reason.TAX_AUDIT, actor=keeper)
    assert fetches_for(newest(Event.RECORD_REVEALED).id) == []


def test_a_purge_waits_for_a_look_in_flight(committed, monkeypatch, as_role):
    keeper = factories.staff("records")
    factories.member(member_number=NUMBER)
    record = factories.transaction(NUMBER)
    inside, go_on = threading.Event(), threading.Event()
    keys = openings.keys_for

    def slowly(*args, **kwargs):
        inside.set()
        assert go_on.wait(20)
        return keys(*args, **kwargs)

    monkeypatch.setattr(openings, "keys_for", slowly)

    def look():
        try:
            return reveal_record(record, reason=Reason.TAX_AUDIT, actor=keeper)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool, as_role("purger") as cursor, as_role("owner") as owner:
        looking = pool.submit(look)
        assert inside.wait(20)
        cursor.execute("SELECT id FROM members_member WHERE id = %s FOR UPDATE SKIP LOCKED", [record.member_id])
        assert cursor.fetchall() == []
        # The purger may delete a record, not lock it; whether it could is the owner's to ask.
        owner.execute("SELECT id FROM members_transaction WHERE id = %s FOR UPDATE SKIP LOCKED", [record.pk])
        assert owner.fetchall() == []
        go_on.set()
        assert looking.result().values
        cursor.execute("SELECT id FROM members_member WHERE id = %s FOR UPDATE SKIP LOCKED", [record.member_id])
        assert len(cursor.fetchall()) == 1


def test_a_destroyed_record_says_when(committed, as_role, client):
    keeper = factories.staff("records")
    factories.member(member_number=NUMBER)
    record = factories.transaction(NUMBER)
    destroy(record, as_role)
    with pytest.raises(Destroyed):
        reveal_record(record, reason=Reason.TAX_AUDIT, actor=keeper)
    client.force_login(keeper)
    client.cookies["django_language"] = "en"
    said = f"destroyed on {timezone.localdate().isoformat()}"
    assert said in client.get(reverse(LIST)).content.decode()
    page = client.get(page_of(record)).content.decode()
    assert said in page
    assert "Show the record" not in page
    assert said in client.post(reveal_of(record), {"reason": "tax_audit"}).content.decode()


def test_a_broken_seal_shows_nothing_at_all(record, keeper, client):
    with acting(None, reason="asked"):
        Transaction.objects.update(goods=Sealed(record.name.blob))
    record.refresh_from_db()
    with pytest.raises(SealBroken):
        reveal_record(record, reason=Reason.TAX_AUDIT, actor=keeper)
    client.force_login(keeper)
    client.cookies["django_language"] = "en"
    page = client.post(reveal_of(record), {"reason": "tax_audit"}).content.decode()
    assert "cannot be opened" in page
    assert not [text for text in CLEAR.values() if text in page]


# The pages


def test_the_list_shows_masks_newest_first_with_one_fetch_and_one_event(record, keeper, client):
    older = factories.transaction(NUMBER, ordered_on="2024-02-01")
    client.force_login(keeper)
    before = LedgerEvent.objects.filter(event=MemberEvent.RECORDS_SHOWN_MASKED).count()
    page = client.get(reverse(LIST)).content.decode()
    assert page.index(str(record.pk)) < page.index(str(older.pk))
    assert "山＊ 花＊" in page
    assert "東京都＊＊" in page
    assert not [text for text in (*CLEAR.values(), "千代田") if text in page]
    events = LedgerEvent.objects.filter(event=MemberEvent.RECORDS_SHOWN_MASKED)
    assert events.count() == before + 1
    event = events.latest("sequence")
    assert (event.actor, event.count) == (keeper.pk, 2)
    assert [fetch[4] for fetch in fetches_for(event.id)] == [1]


def test_a_fiscal_year_and_a_day_narrow_the_list(record, keeper, client):
    factories.member(member_number="T9000002", entity="kr", contacts=[], addressees=[])
    korean = factories.transaction("T9000002", ordered_on="2025-02-01")
    japanese = factories.transaction(NUMBER, ordered_on="2025-02-01")
    client.force_login(keeper)

    def listed(**query):
        return {row.pk for row in client.get(reverse(LIST), query).context_data["cl"].result_list}

    assert listed() == {record.pk, korean.pk, japanese.pk}
    assert listed(year="2025") == {record.pk, korean.pk}
    assert listed(year="2024") == {japanese.pk}
    assert listed(q="2025-02-01") == {korean.pk, japanese.pk}
    assert listed(q="Ｒ７．２．１", year="2024") == {japanese.pk}
    assert listed(q="2025-02-02") == listed(q="山田") == set()
    assert client.get(reverse(LIST), {"year": "2023"}).status_code == 302
    assert client.get(reverse(LIST), {"year": "x"}).status_code == 302
    assert client.get(reverse(LIST), {"member__state": "active"}).status_code in {302, 400}


def test_nobody_sees_more_at_once_than_a_page(record, keeper, client):
    news = [
        parse_transaction(factories.OrderFactory(member_number=NUMBER, order=f"B-{n}"), today=factories.TODAY)
        for n in range(60)
    ]
    with acting(None, reason=Reason.IMPORTED) as act:
        register_transactions(news, act=act)
    client.force_login(keeper)
    for query in ({}, {"all": ""}):
        assert len(client.get(reverse(LIST), query).context_data["cl"].result_list) == 50
    assert len(client.get(reverse(LIST), {"p": 2}).context_data["cl"].result_list) == 11


def test_the_masked_page_offers_the_reasons_and_chooses_none(record, keeper, client):
    client.force_login(keeper)
    page = client.get(page_of(record)).content.decode()
    assert page.count('type="radio"') == len(WHY)
    assert " checked" not in page.replace("are checked", "")
    assert not [text for text in CLEAR.values() if text in page]
    event = newest(MemberEvent.RECORDS_SHOWN_MASKED)
    assert (event.actor, event.subject, event.count) == (keeper.pk, record.member_id, 1)


def test_a_reveal_names_who_looked_when_and_why_and_is_not_stored_anywhere(record, keeper, client):
    client.force_login(keeper)
    client.cookies["django_language"] = "en"
    answer = client.post(reveal_of(record), {"reason": "authority"})
    page = answer.content.decode()
    assert all(text in page for text in CLEAR.values())
    seen = page.partition('class="revealed-by"')[2].partition("</p>")[0]
    assert keeper.person.display_name in seen
    assert timezone.localtime().strftime("%Y-%m-%d") in seen
    assert "a court or an authority asks for it" in seen
    assert "no-store" in answer["Cache-Control"]
    assert newest(Event.RECORD_REVEALED).reason == Reason.AUTHORITY
    assert client.get(reveal_of(record)).url == page_of(record)
    assert not [text for text in CLEAR.values() if text in client.get(page_of(record)).content.decode()]


@pytest.mark.parametrize("reason", [None, "", "daily_work"])
def test_without_a_reason_of_the_list_the_page_shows_nothing(record, keeper, client, reason):
    client.force_login(keeper)
    page = client.post(reveal_of(record), {"reason": reason} if reason is not None else {}).content.decode()
    assert 'class="errorlist' in page
    assert not [text for text in CLEAR.values() if text in page]
    assert not LedgerEvent.objects.filter(event=Event.RECORD_REVEALED).exists()


@pytest.mark.parametrize("role", OTHERS)
def test_nobody_else_sees_a_transaction_anywhere(record, client, role):
    other = factories.staff(role)
    client.force_login(other)
    assert client.get(reverse(LIST)).status_code == 403
    assert client.get(page_of(record)).status_code == 404
    assert client.post(reveal_of(record), {"reason": "tax_audit"}).status_code == 404
    assert reverse(LIST) not in client.get(reverse("admin:index")).content.decode()
    assert not LedgerEvent.objects.filter(event__in=[Event.RECORD_REVEALED, MemberEvent.RECORDS_SHOWN_MASKED]).exists()
    assert not policies.restrict(Transaction.objects.all(), other, "members.view_transaction").exists()


def test_the_keeper_sees_nothing_else_of_members(record, keeper, client, call):
    assert PERMISSIONS[Role.RECORDS] == {"members.view_transaction", "members.reveal_transaction"}
    client.force_login(keeper)
    assert reverse(LIST) in client.get(reverse("admin:index")).content.decode()
    assert client.get(reverse("admin:members_member_changelist")).status_code == 403
    assert client.get(reverse("admin:members_member_find")).status_code == 403
    assert client.get(reverse("admin:members_member_change", args=[record.member_id])).status_code == 404
    assert client.get(reverse("admin:members_case_change", args=[call.pk])).status_code == 404


def test_nobody_changes_or_deletes_a_record_by_a_page(record, keeper, client):
    client.force_login(keeper)
    assert client.post(page_of(record), {"name": "x"}).status_code == 405
    for tail in ("delete/", "change/", "history/"):
        assert client.get(page_of(record) + tail).status_code == 404
    assert client.get(reverse(LIST) + "add/").status_code == 404


def test_a_panel_is_handed_in(record, keeper, client, monkeypatch):
    panel = {"template": "components/refusal.html", "sentence": ""}
    asked = []
    monkeypatch.setattr(RecordAdmin, "panels", (lambda request, about: asked.append(about) or panel,))
    client.force_login(keeper)
    client.get(page_of(record))
    assert asked == [record]


def test_who_leaves_waits_for_a_look_in_flight(committed, monkeypatch):
    keeper, administrator = factories.staff("records"), factories.staff("administrator")
    factories.member(member_number=NUMBER)
    record = factories.transaction(NUMBER)
    inside, go_on = threading.Event(), threading.Event()
    keys = openings.keys_for

    def slowly(*args, **kwargs):
        inside.set()
        assert go_on.wait(20)
        return keys(*args, **kwargs)

    monkeypatch.setattr(openings, "keys_for", slowly)

    def closing(call, *args, **kwargs):
        try:
            return call(*args, **kwargs)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        looking = pool.submit(closing, reveal_record, record, reason=Reason.TAX_AUDIT, actor=keeper)
        assert inside.wait(20)
        leaving = pool.submit(closing, leave, keeper.person, on=timezone.localdate(), actor=administrator)
        assert somebody_waits()
        go_on.set()
        assert looking.result().values
        leaving.result()
    with pytest.raises((Refused, PermissionDenied)):
        reveal_record(record, reason=Reason.TAX_AUDIT, actor=keeper)
