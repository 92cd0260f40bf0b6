"""What the law keeps: sealed apart by fiscal year, found by member number alone; a second time changes nothing."""

import datetime
import io
import json
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, connections, transaction
from django.utils import timezone

from access_control.codes import Reason
from access_control.ledger import acting
from access_control.models import LedgerEvent
from access_control.services import leave
from access_control.vault import store
from access_control.vault.categories import Category
from access_control.vault.errors import CeilingReached
from access_control.vault.ring import keys_for
from members import importing
from members.events import Event
from members.intake import Rejected, parse_transaction
from members.lines import MayNoLonger
from members.models import Member, Transaction, fiscal_year
from members.services import transactions
from members.services.transactions import Registered, register_transactions
from tests import factories
from tests.databases import TOLD

NUMBER = "T9000001"
PLAN = b"\x07" * 32
CREATED, UNCHANGED = Registered("created"), Registered("unchanged")


@pytest.fixture
def buyer():
    return factories.member(member_number=NUMBER)


def order(**fields):
    return parse_transaction(factories.OrderFactory(**({"member_number": NUMBER} | fields)), today=factories.TODAY)


def enter(*news, actor=None):
    with acting(actor, reason=Reason.IMPORTED) as act:
        return register_transactions(news, act=act)


def opened(row):
    with acting(None, reason="asked") as act:
        event = act.record(Event.TRANSACTIONS_COMPARED)
    with keys_for([row.member_id], [Category.STATUTORY], event=event) as ring:
        return {name: ring.open_sealed(row, name) for name in ("order", "goods", "amount", "name", "address")}


def living_years(member):
    return [key.ref.generation for key in store.left([member.pk]) if key.ref.category == Category.STATUTORY]


def destroy(member, as_role, *years):
    with as_role("purger", "vault") as cursor:
        cursor.execute(
            "SELECT count(*) FROM vault_destroy(%s, %s::smallint[], %s::bigint[],"
            f" ARRAY(SELECT gen_random_uuid() FROM generate_series(1, %s)), %s, {TOLD})",
            [[member.pk] * len(years), [7] * len(years), list(years), len(years), PLAN],
        )
        assert cursor.fetchone()[0] == len(years)


# Sealing


def test_an_order_is_sealed_under_its_fiscal_year_and_recorded(buyer, supervisor):
    assert enter(order(order="A-1", ordered_on="2026-03-31"), actor=supervisor) == [CREATED]
    row = Transaction.objects.get()
    assert (row.member, row.ordered_on, row.fiscal_year) == (buyer, datetime.date(2026, 3, 31), 2025)
    assert opened(row) == {
        "order": "A-1",
        "goods": "手織りの麻ふきん 3枚",
        "amount": "12800 JPY",
        "name": "山田 花子",
        "address": "東京都千代田区千代田9-9-9",
    }
    assert living_years(buyer) == [2025]
    (past,) = Transaction.history.all()
    assert (past.history_type, past.history_user_id, past.history_change_reason) == ("+", supervisor.pk, "imported")
    event = LedgerEvent.objects.get(event=Event.TRANSACTIONS_REGISTERED)
    assert (event.actor, event.count, event.subject) == (supervisor.pk, 1, None)


@pytest.mark.parametrize(
    ("day", "first_month", "year"),
    [
        ("2026-03-31", 4, 2025),
        ("2026-04-01", 4, 2026),
        ("2026-01-01", 1, 2026),
        ("2026-12-31", 1, 2026),
        ("2026-12-31", 12, 2026),
        ("2026-11-30", 12, 2025),
    ],
)
def test_a_fiscal_year_is_called_by_the_calendar_year_in_which_it_starts(day, first_month, year):
    assert fiscal_year(datetime.date.fromisoformat(day), first_month) == year


def test_the_fiscal_year_is_that_of_the_company_whose_site_the_member_joined():
    factories.member(member_number="T9000002", entity="kr", contacts=[], addressees=[])
    factories.member(member_number="T9000003")
    enter(*(order(member_number=number, ordered_on="2026-02-01") for number in ("T9000002", "T9000003")))
    assert dict(Transaction.objects.values_list("member__entity", "fiscal_year")) == {"kr": 2026, "jp": 2025}


def test_the_database_refuses_a_fiscal_year_that_is_not_the_days(buyer):
    with acting(None, reason="asked"):
        for year in (2023, 2026):
            with pytest.raises(IntegrityError), transaction.atomic():
                Transaction.objects.create(member=buyer, ordered_on=datetime.date(2025, 5, 2), fiscal_year=year)


def test_nothing_readable_stands_in_any_table(buyer):
    enter(order(order="A-SECRET"))
    with connection.cursor() as cursor:
        for model in (Transaction, Transaction.history.model, LedgerEvent):
            cursor.execute(f"SELECT string_agg(t::text, ' ') FROM {model._meta.db_table} t")
            text = cursor.fetchone()[0]
            for word in ("A-SECRET", "麻ふきん", "12800", "山田", "千代田", NUMBER):
                assert word not in text
                assert word.encode().hex() not in text


def test_a_new_transaction_shows_nothing_when_it_is_printed():
    assert "山田" not in f"{order()!r} {order()}"


def test_nothing_of_the_members_identity_is_opened(buyer, monkeypatch):
    asked = []
    monkeypatch.setattr(store, "fetch", lambda subjects, categories, **_: asked.append(categories) or [])
    enter(order())
    assert asked == []
    monkeypatch.undo()
    monkeypatch.setattr(
        store,
        "fetch",
        lambda subjects, categories, fetch=store.fetch, **how: (
            asked.append(categories) or fetch(subjects, categories, **how)
        ),
    )
    enter(order())
    assert asked == [[Category.STATUTORY]]


def test_an_ended_member_is_still_found(buyer):
    with acting(None, reason="asked"):
        Member.objects.update(state="ended", ended_at="2026-01-01T00:00:00Z")
    assert enter(order()) == [CREATED]


# A second time


def test_twice_changes_nothing(buyer):
    news = [order(order=f"A-{n}", ordered_on=day) for n, day in enumerate(("2024-05-01", "2025-05-01", "2025-06-01"))]
    assert enter(*news) == [CREATED] * 3
    keys, rows = living_years(buyer), set(Transaction.objects.values_list("pk", flat=True))
    assert enter(*news) == [UNCHANGED] * 3
    assert living_years(buyer) == keys == [2024, 2025]
    assert set(Transaction.objects.values_list("pk", flat=True)) == rows
    assert Transaction.history.count() == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ordered_on", "2025-05-03"),
        ("goods", "別の品"),
        ("amount", "12801"),
        ("amount", "-12800"),
        ("currency", "KRW"),
        ("name", "別人 花子"),
        ("address", ""),
    ],
)
def test_24_a_row_of_the_same_order_with_other_data_is_a_further_row(buyer, field, value):
    """Number 24: an order has several rows; each comes in once, whatever order they come in."""
    first, further = order(order="A-1"), order(order="A-1", **{field: value})
    assert enter(first) == [CREATED]
    before = opened(Transaction.objects.get())
    assert enter(further, first) == [CREATED, UNCHANGED]
    assert enter(first, further) == [UNCHANGED, UNCHANGED]
    assert Transaction.objects.count() == Transaction.history.count() == 2
    assert before in [opened(row) for row in Transaction.objects.all()]


def test_24_who_stands_twice_in_one_batch_is_the_same_row(buyer):
    """Number 24: equal rows of one file are the same row."""
    first, other = order(order="A-1"), order(order="A-1", goods="別の品")
    assert enter(first, first, other, other) == [CREATED, UNCHANGED, CREATED, UNCHANGED]
    assert Transaction.objects.count() == 2


@pytest.mark.parametrize(
    "spelt",
    [
        {"order": "Ａ－１"},
        {"amount": "12800.00"},
        {"goods": "手織りの麻ふきん　３枚"},
        {"goods": "手織りの麻ふきん\n3枚"},
        {"name": "山田花子"},
    ],
)
def test_24_another_spelling_of_the_same_row_is_the_same_row(buyer, spelt):
    """Number 24: width, white space and zeros after the point make no further row."""
    enter(order(order="A-1"))
    assert enter(order(**({"order": "A-1"} | spelt))) == [UNCHANGED]


def test_24_a_refund_in_another_fiscal_year_is_a_row_of_that_year(buyer):
    """Number 24: goods sent back in April belong to the new set of books."""
    sold, back = (
        order(order="A-1", ordered_on="2025-03-30"),
        order(order="A-1", ordered_on="2025-04-02", amount="-12800"),
    )
    assert enter(sold, back) == [CREATED, CREATED]
    assert enter(sold, back) == [UNCHANGED, UNCHANGED]
    assert sorted(Transaction.objects.values_list("fiscal_year", flat=True)) == [2024, 2025]


def test_the_same_order_number_of_another_member_is_another_order(buyer):
    factories.member(member_number="T9000002")
    assert enter(order(order="A-1"), order(order="A-1", member_number="T9000002")) == [CREATED] * 2


def test_comparing_is_one_fetch_and_one_event_for_all(buyer):
    factories.member(member_number="T9000002")
    news = [order(order=f"A-{n}", member_number=number) for number in (NUMBER, "T9000002") for n in range(3)]
    enter(*news)
    assert not LedgerEvent.objects.filter(event=Event.TRANSACTIONS_COMPARED).exists()
    since = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=5)
    before = len(store.fetch_records(since))
    enter(*news, order(order="A-9"))
    event = LedgerEvent.objects.get(event=Event.TRANSACTIONS_COMPARED)
    fetched = store.fetch_records(since)[before:]
    assert (event.count, [(record[3], record[4]) for record in fetched]) == (2, [(event.id, 2)])


def test_a_batch_of_new_years_fetches_nothing_however_many_members_there_are(buyer):
    """The hourly ceiling counts members fetched; an import of new records does not use it up."""
    since = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=5)
    before = len(store.fetch_records(since))
    enter(order(ordered_on="2024-05-01"))
    enter(order(ordered_on="2025-05-01"))
    assert len(store.fetch_records(since)) == before


def test_keys_left_by_a_crash_are_gone_on_with(buyer, monkeypatch):
    monkeypatch.setattr(transactions, "_enter", lambda ring, fresh: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        enter(order())
    monkeypatch.undo()
    assert (living_years(buyer), Transaction.objects.count()) == ([2025], 0)
    assert enter(order()) == [CREATED]


# Refused


def test_a_number_that_names_nobody_is_refused_and_the_rest_goes_in(buyer):
    assert enter(order(member_number="T0404"), order()) == [Registered("unknown_member"), CREATED]


def test_a_destroyed_member_gets_no_record_any_more(buyer):
    with acting(None, reason="asked"):
        Member.objects.update(state="ended", ended_at="2026-01-01T00:00:00Z")
        Member.objects.update(state="destroyed")
    assert enter(order()) == [Registered("unknown_member")]
    assert living_years(buyer) == []


def test_a_destroyed_fiscal_year_never_comes_back_and_costs_no_other_row(committed, as_role):
    buyer = factories.member(member_number=NUMBER)
    other = order(member_number=factories.new_member().number)
    enter(order(order="A-1", ordered_on="2020-05-01"), order(order="A-2"))
    destroy(buyer, as_role, 2020)
    late = order(order="A-3", ordered_on="2020-06-01")
    again = order(order="A-1", ordered_on="2020-05-01")
    gone = Registered("destroyed_year")
    assert enter(late, order(order="A-4"), again, order(order="A-2"), other) == [
        gone,
        CREATED,
        gone,
        UNCHANGED,
        Registered("unknown_member"),
    ]
    assert living_years(buyer) == [2025]


def test_a_purge_waits_for_a_record_that_is_being_entered(committed, as_role, monkeypatch):
    buyer = factories.member(member_number=NUMBER)
    between, done = threading.Event(), threading.Event()
    keys = transactions.add_keys

    def slowly(ring, refs):
        between.set()
        assert done.wait(20)
        return keys(ring, refs)

    monkeypatch.setattr(transactions, "add_keys", slowly)

    def entering():
        try:
            return enter(order())
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        entered = pool.submit(entering)
        assert between.wait(20)
        with as_role("purger") as cursor:
            cursor.execute("SELECT id FROM members_member WHERE id = %s FOR UPDATE SKIP LOCKED", [buyer.pk])
            passed_over = cursor.fetchall()
        done.set()
        assert (passed_over, entered.result()) == ([], [CREATED])


# The row


@pytest.mark.parametrize("field", ["member_number", "order", "ordered_on", "goods", "amount", "currency", "name"])
def test_what_the_law_demands_must_be_there(field):
    with pytest.raises(Rejected) as rejected:
        order(**{field: None})
    assert [(fault.field, fault.code) for fault in rejected.value.faults] == [(field, "missing")]


def test_what_was_sent_nowhere_has_no_address(buyer):
    assert enter(order(address=None)) == [CREATED]
    assert Transaction.objects.get().address is None


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("ordered_on", "2026-11-02", "in_the_future"),
        ("ordered_on", "0202-05-01", "unbelievable"),
        ("ordered_on", "2025-02-30", "not_a_date"),
        ("amount", "12,800", "not_an_amount"),
        ("amount", "１２８００", "not_an_amount"),
        ("amount", 12800, "not_text"),
        ("currency", "yen", "not_a_currency"),
        ("goods", "x" * 1_001, "too_long"),
        ("goods", "VISA 4111 1111 1111 1111", "card_number"),
        ("goods", "カード 4111111111111111", "card_number"),
        ("name", "山田 花子 １２３４　５６７８　９０１８", "my_number"),
        ("address", "東京都\x00", "control_characters"),
    ],
)
def test_a_row_with_a_fault_is_refused(field, value, code):
    with pytest.raises(Rejected) as rejected:
        order(**{field: value})
    assert [(fault.field, fault.code) for fault in rejected.value.faults] == [(field, code)]
    assert str(value) not in str([fault.message for fault in rejected.value.faults])


@pytest.mark.parametrize("amount", ["0", "12800", "128.50", "-12800"])
def test_amounts_and_what_was_paid_back(amount):
    assert order(amount=amount).amount == f"{amount} JPY"


def test_an_order_before_joining_is_taken(buyer):
    assert enter(order(ordered_on="2012-01-01")) == [CREATED]


# The command


@pytest.fixture
def run(supervisor, tmp_path, monkeypatch):
    """Runs the command over rows (or raw bytes); returns (summary, rejects as JSON, exit status)."""

    def command(*rows, raw=b"", options=(), username=supervisor.username):
        file = tmp_path / "orders.jsonl"
        file.write_bytes(raw + b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows))
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr("sys.stdin", io.StringIO(factories.PASSWORD + "\n"))
        status = 0
        try:
            call_command("import_transactions", str(file), "--as", username, "--json", *options, stdout=out, stderr=err)
        except SystemExit as exit:
            status = exit.code
        summary = json.loads(out.getvalue())
        path, rejects = tmp_path / "orders.jsonl.rejects.jsonl", []
        if summary["rejects_file"]:
            assert str(path) == summary["rejects_file"]
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            rejects = [json.loads(line) for line in path.read_text().splitlines()]
        return summary, rejects, status

    return command


def rows(count, **fields):
    return factories.OrderFactory.build_batch(count, member_number=NUMBER, **fields)


def test_good_rows_go_in_and_a_second_run_changes_nothing(run, buyer, supervisor):
    orders = rows(3)
    summary, rejects, status = run(*orders)
    assert summary == {"read": 3, "created": 3, "unchanged": 0, "rejected": 0, "rejects_file": None}
    assert (rejects, status) == ([], 0)
    assert set(Transaction.history.values_list("history_user_id", "history_change_reason")) == {
        (supervisor.pk, "imported")
    }
    summary, _rejects, status = run(*orders)
    assert (summary["created"], summary["unchanged"], status) == (0, 3, 0)
    assert Transaction.history.count() == 3


def test_bad_rows_are_named_by_line_and_field_and_the_rest_goes_in(run, buyer):
    (good,) = rows(1)
    run(good)
    summary, rejects, status = run(
        *rows(1),
        good | {"goods": "別の品", "amount": "1"},
        *rows(1, ordered_on="2025-02-30"),
        factories.OrderFactory(member_number="T0404"),
        rows(1)[0] | {"coupon": "x"},
        raw=b'{nonsense\n\xff\xfe\n{"order": "A", "order": "B"}\n[]\n',
    )
    assert (summary["read"], summary["created"], summary["rejected"], status) == (9, 2, 7, 1)
    assert {(reject["line"], reject["field"], reject["code"]) for reject in rejects} == {
        (1, "", "not_json"),
        (2, "", "not_utf8"),
        (3, "", "not_json"),
        (4, "", "not_an_object"),
        (7, "ordered_on", "not_a_date"),
        (8, "member_number", "unknown_member"),
        (9, "#9", "unknown_field"),
    }
    assert all(reject["reason"] for reject in rejects)


def test_a_late_row_of_a_destroyed_year_is_named(committed, as_role, tmp_path):
    buyer = factories.member(member_number=NUMBER)
    enter(order(ordered_on="2016-05-01"))
    destroy(buyer, as_role, 2016)
    lines = [(7, json.dumps(rows(1, ordered_on="2016-08-01")[0]).encode())]
    rejects = importing.Rejects(tmp_path / "rejects")
    result = importing.import_transactions(lines, actor=None, rejects=rejects)
    assert result.rejected == 1
    (reject,) = map(json.loads, rejects.close().read_text().splitlines())
    assert (reject["line"], reject["field"], reject["code"]) == (7, "ordered_on", "destroyed_year")


def test_a_dry_run_checks_and_writes_nothing_but_rejects(run, buyer):
    summary, rejects, status = run(*rows(2), *rows(1, currency="円"), options=["--dry-run"])
    assert (summary["read"], summary["created"], summary["rejected"], status) == (3, 0, 1, 1)
    assert (rejects[0]["line"], rejects[0]["field"]) == (3, "currency")
    assert (Transaction.objects.count(), living_years(buyer)) == (0, [])


def test_each_chunk_stands_by_itself(run, buyer, monkeypatch):
    monkeypatch.setattr(importing, "CHUNK", 2)
    orders = rows(5)
    summary, _rejects, _status = run(*orders, orders[0])
    assert (summary["created"], summary["unchanged"]) == (5, 1)
    counts = LedgerEvent.objects.filter(event=Event.TRANSACTIONS_REGISTERED).order_by("sequence")
    assert list(counts.values_list("count", flat=True)) == [2, 2, 1]


def test_when_the_vaults_ceiling_is_reached_what_went_in_stays(run, buyer, monkeypatch):
    monkeypatch.setattr(importing, "CHUNK", 2)

    def reached(*_args, **_how):
        raise CeilingReached

    monkeypatch.setattr(store, "fetch", reached)
    with pytest.raises(CommandError) as stopped:
        run(*rows(3))
    assert (stopped.value.returncode, Transaction.objects.count()) == (1, 2)


def test_whoever_leaves_while_orders_are_imported_imports_no_more(buyer, supervisor, monkeypatch, tmp_path):
    """Before each chunk it is asked whether the account still may; the chunks before stay."""
    monkeypatch.setattr(importing, "CHUNK", 2)
    lines = [(number, json.dumps(row).encode()) for number, row in enumerate(rows(5), 1)]
    rejects = importing.Rejects(tmp_path / "rejects")
    with pytest.raises(MayNoLonger) as ended:
        importing.import_transactions(
            lines,
            actor=supervisor,
            rejects=rejects,
            progress=lambda _rows: leave(supervisor.person, on=timezone.localdate(), actor=None),
        )
    rejects.close()
    assert (ended.value.last_line, Transaction.objects.count()) == (2, 2)


@pytest.mark.parametrize("role", ["agent", "auditor", "administrator", "records"])
def test_who_keeps_or_reads_records_does_not_import_them(run, role):
    with pytest.raises(CommandError) as refused:
        run(username=factories.staff(role).username)
    assert refused.value.returncode == 1


def test_the_row_in_the_documents_is_a_good_one(buyer):
    page = (Path(__file__).resolve().parent.parent.parent / "docs" / "import-format.md").read_text()
    row = json.loads(page.split("```json")[2].split("```")[0])
    new = parse_transaction(row, today=factories.TODAY)
    assert (new.number, new.amount, new.ordered_on) == ("M00000001", "12800 JPY", datetime.date(2025, 5, 2))
