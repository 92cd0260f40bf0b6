"""Number 10: a stale file does not revive the destroyed. What stays, for a time, is a keyed hash of the number."""

import contextlib
import datetime
import io
import json
import uuid

import psycopg
import pytest
from django.core.management import call_command
from django.utils import timezone

from access_control.vault import store
from access_control.vault.lookups import LookupField, mac
from members import normal_forms
from members.models import Member, Transaction
from tests import factories
from tests.retention.conftest import approved, as_, ended, run

NUMBER = "R0000910"


def number_probe(number):
    """What asks the vault whose member number this is."""
    return LookupField.MEMBER_NUMBER, mac(LookupField.MEMBER_NUMBER, normal_forms.member_number(number))


@pytest.fixture
def run_import(committed, tmp_path, monkeypatch):
    """Runs an import command over rows; returns (summary, rejects)."""
    username = factories.staff("supervisor").username

    def command(name, *rows, dry_run=False):
        file = tmp_path / "stale.jsonl"
        file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        out = io.StringIO()
        monkeypatch.setattr("sys.stdin", io.StringIO(factories.PASSWORD + "\n"))
        options = ["--dry-run"] if dry_run else []
        with contextlib.suppress(SystemExit):
            call_command(name, str(file), "--as", username, "--json", *options, stdout=out, stderr=io.StringIO())
        summary = json.loads(out.getvalue())
        rejects = []
        if summary["rejects_file"]:
            rejects = [json.loads(line) for line in (tmp_path / "stale.jsonl.rejects.jsonl").read_text().splitlines()]
        return summary, rejects

    return command


def row_of(**fields):
    return factories.RowFactory(member_number=NUMBER, login_id="stale-hanako", **fields)


def order(**fields):
    return factories.OrderFactory(member_number=NUMBER, **fields)


def destroyed(row):
    """The member of a row was registered, had an old order, and was destroyed, the order too."""
    member = factories.member(**row)
    factories.transaction(NUMBER, ordered_on="2015-05-01")
    ended(member)
    run(approved())
    return member


@pytest.mark.parametrize("dry_run", [True, False])
def test_rows_and_orders_of_the_destroyed_are_rejected_with_the_day(run_import, dry_run):
    """Number 10: from the issue, and the dry run says the same."""
    row = row_of()
    member = destroyed(row)
    today = timezone.localdate().isoformat()
    fresh = factories.RowFactory()
    for number in (NUMBER, NUMBER.lower(), "Ｒ００００９１０"):
        stale = row | {"member_number": number, "login_id": f"other-{number}"}
        summary, rejects = run_import("import_members", stale, fresh, dry_run=dry_run)
        assert summary["rejected"] == 1
        assert [(one["line"], one["field"], one["code"]) for one in rejects] == [(1, "member_number", "destroyed")]
        assert today in rejects[0]["reason"]
        assert NUMBER not in rejects[0]["reason"]
    assert Member.objects.exclude(pk=member.pk).count() == (0 if dry_run else 1)
    assert store.owners([number_probe(NUMBER)]) == {}
    for day in ("2015-05-01", "2026-05-01"):
        summary, rejects = run_import("import_transactions", order(ordered_on=day), dry_run=dry_run)
        assert (summary["rejected"], rejects[0]["code"]) == (1, "destroyed")
        assert today in rejects[0]["reason"]
    assert not Transaction.objects.filter(member=member).exists()


@pytest.mark.parametrize("dry_run", [True, False])
def test_orders_of_a_destroyed_year_of_a_living_member_stay_out(run_import, dry_run):
    """Number 10: the fence of the fiscal year says on which day."""
    factories.member(**row_of())
    factories.transaction(NUMBER, ordered_on="2015-05-01")
    run(approved())
    summary, rejects = run_import(
        "import_transactions", order(ordered_on="2015-06-01"), order(ordered_on="2026-05-01"), dry_run=dry_run
    )
    assert (summary["would_create" if dry_run else "created"], summary["rejected"]) == (1, 1)
    assert (rejects[0]["line"], rejects[0]["code"]) == (1, "destroyed_year")
    assert timezone.localdate().isoformat() in rejects[0]["reason"]
    assert Transaction.objects.count() == (0 if dry_run else 1)


def test_nobody_joins_again_under_a_destroyed_number_by_another_way(committed):
    """Number 10: the vault itself gives the number to nobody, whichever service asks."""
    destroyed(row_of())
    field, mac = number_probe(NUMBER)
    claimed = store.claim([store.Lookup(field, mac, uuid.uuid4(), 1)], version=1)
    assert claimed == {}
    assert store.owners([(field, mac)]) == {}


def test_a_stone_names_nobody_and_is_asked_for_number_by_number(committed, as_role):
    """Number 10: own key, own table; no role reads it, and no list of more than a thousand is answered."""
    member = destroyed(row_of())
    _field, mac = number_probe(NUMBER)
    with as_role("owner", "vault") as cursor:
        cursor.execute("SELECT stone, destroyed_at, ends_on FROM vault_tombstone")
        [(stone, destroyed_at, ends_on)] = cursor.fetchall()
        cursor.execute("SELECT count(*) FROM vault_lookup WHERE subject = %s", [member.pk])
        assert cursor.fetchone() == (0,)
    assert bytes(stone) != mac
    assert ends_on - timezone.localdate(destroyed_at) == datetime.timedelta(days=400)
    assert store.tombstones([mac]) == {mac: destroyed_at}
    for role in ("app", "purger", "reader"):
        with as_role(role, "vault") as cursor, pytest.raises(psycopg.errors.InsufficientPrivilege):
            cursor.execute("SELECT * FROM vault_tombstone")
    with as_role("app", "vault") as cursor, pytest.raises(psycopg.DatabaseError, match="at most 1000"):
        cursor.execute("SELECT * FROM vault_tombstones(%s)", [[bytes([n % 256, n // 256]) * 16 for n in range(1001)]])


def test_only_the_member_number_leaves_a_stone(committed, as_role):
    """Number 10: the login ID is free again, and a category that is destroyed alone leaves nothing."""
    row = row_of()
    destroyed(row)
    with as_role("owner", "vault") as cursor:
        cursor.execute("SELECT count(*) FROM vault_tombstone")
        assert cursor.fetchone() == (1,)
    again = factories.member(member_number="R0000911", login_id=row["login_id"])
    assert again.pk
    assert LookupField.LOGIN_ID == 2


def test_stones_go_when_their_time_is_over(committed, as_role):
    """Number 10: every scheduled run removes them, and from the day after they bar nobody."""
    destroyed(row_of())
    _field, mac = number_probe(NUMBER)
    with as_role("owner", "vault") as cursor:
        cursor.execute("UPDATE vault_tombstone SET ends_on = (now() AT TIME ZONE 'Asia/Tokyo')::date")
    assert store.tombstones([mac])
    with as_role("owner", "vault") as cursor:
        cursor.execute("UPDATE vault_tombstone SET ends_on = ends_on - 1")
    assert store.tombstones([mac]) == {}
    with as_("purger"):
        call_command("run_purge", stdout=io.StringIO(), stderr=io.StringIO())
    with as_role("owner", "vault") as cursor:
        cursor.execute("SELECT count(*) FROM vault_tombstone")
        assert cursor.fetchone() == (0,)
    assert factories.member(**row_of()).pk


def test_how_long_they_stay_is_a_setting(settings, as_role):
    """Number 10: laid by migrate, as the environment says."""
    from config.settings import TOMBSTONE_DAYS

    assert settings.TOMBSTONE_DAYS == TOMBSTONE_DAYS == 400
    with as_role("owner", "vault") as cursor:
        cursor.execute("SELECT tombstone_days, length(tombstone_key) FROM vault_installation")
        assert cursor.fetchone() == (400, 32)
