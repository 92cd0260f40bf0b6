"""``import_members``: bad rows are named and go nowhere, good rows go in, twice changes nothing."""

import io
import json
import stat
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from access_control.models import LedgerEvent
from consent.models import AcceptedVersion, ConsentEvent
from members.models import ContactPoint, Member
from members.services.finding import find
from tests import factories


@pytest.fixture
def run(supervisor, tmp_path, monkeypatch):
    """Runs the command over rows (or raw bytes); returns (summary, rejects as JSON, exit status, stderr)."""

    def command(*rows, raw=b"", options=(), password=factories.PASSWORD, username=supervisor.username):
        file = tmp_path / "members.jsonl"
        file.write_bytes(raw + b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows))
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr("sys.stdin", io.StringIO(password + "\n"))
        status = 0
        try:
            call_command("import_members", str(file), "--as", username, "--json", *options, stdout=out, stderr=err)
        except SystemExit as exit:
            status = exit.code
        summary = json.loads(out.getvalue())
        rejects = []
        if summary["rejects_file"]:
            path = tmp_path / "members.jsonl.rejects.jsonl"
            assert str(path) == summary["rejects_file"]
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            rejects = [json.loads(line) for line in path.read_text().splitlines()]
        return summary, rejects, status, err.getvalue()

    return command


def test_good_rows_go_in_and_a_second_run_changes_nothing(run, agent):
    rows = factories.RowFactory.build_batch(3)
    summary, rejects, status, _err = run(*rows)
    assert (summary["read"], summary["created"], summary["rejected"], status) == (3, 3, 0, 0)
    assert rejects == []
    before = Member.history.count(), ContactPoint.history.count(), ConsentEvent.objects.count()
    summary, _rejects, status, _err = run(*rows)
    assert (summary["created"], summary["unchanged"], status) == (0, 3, 0)
    assert (Member.history.count(), ContactPoint.history.count(), ConsentEvent.objects.count()) == before
    assert len(find(rows[0]["login_id"], actor=agent).hits) == 1


def test_consent_is_deemed_with_evidence_not_held(run):
    run(factories.RowFactory(joined_on="2012-01-01", last_used_on="2026-01-05"))
    joined, used = ConsentEvent.objects.order_by("on")
    assert (joined.kind, joined.version, joined.evidence, joined.screen_hash) == (
        "deemed_joining",
        None,
        "not_held",
        None,
    )
    assert (used.kind, used.version.number, used.evidence) == ("deemed_using", 2, "not_held")
    assert AcceptedVersion.objects.get().event == used


def test_bad_rows_are_named_by_line_and_field_and_the_rest_goes_in(run):
    good = factories.RowFactory()
    bad = factories.RowFactory(birth_date="1980-02-30", contacts=[{"kind": "pigeon", "value": "x"}])
    unknown = factories.RowFactory() | {"shoe_size": 24}
    summary, rejects, status, _err = run(good, bad, unknown, raw=b"{nonsense\n\xff\xfe\n")
    assert (summary["read"], summary["created"], summary["rejected"], status) == (5, 1, 4, 1)
    named = {(reject["line"], reject["field"], reject["code"]) for reject in rejects}
    assert named == {
        (1, "", "not_json"),
        (2, "", "not_utf8"),
        (4, "birth_date", "not_a_date"),
        (4, "contacts[0].kind", "unknown_kind"),
        (5, "#14", "unknown_field"),
    }
    assert all(reject["reason"] for reject in rejects)


@pytest.mark.parametrize(
    ("number", "code"), [("4111 1111 1111 1111", "card_number"), ("マイナンバー１２３４５６７８９０１８", "my_number")]
)
def test_forbidden_numbers_are_refused_and_not_echoed(run, number, code, tmp_path):
    row = factories.RowFactory(occupation=f"会社員 {number}")
    summary, rejects, _status, err = run(row)
    assert summary["created"] == 0
    assert [reject["code"] for reject in rejects] == [code]
    digits = number.replace(" ", "")
    for text in ((tmp_path / "members.jsonl.rejects.jsonl").read_text(), err, json.dumps(summary)):
        assert number not in text
        assert digits not in text


def test_the_same_number_with_other_data_is_a_conflict_and_nothing_changes(run):
    row = factories.RowFactory()
    run(row)
    summary, rejects, status, _err = run(row | {"name": "別人 花子"})
    assert (summary["unchanged"], summary["rejected"], status) == (0, 1, 1)
    assert [(reject["field"], reject["code"]) for reject in rejects] == [("name", "conflict")]


def test_a_login_id_of_another_member_is_a_conflict(run):
    row = factories.RowFactory()
    summary, rejects, _status, _err = run(row, factories.RowFactory(login_id=row["login_id"].upper()))
    assert (summary["created"], summary["rejected"]) == (1, 1)
    assert [(reject["line"], reject["field"]) for reject in rejects] == [(2, "login_id")]


def test_a_dry_run_checks_and_writes_nothing_but_rejects(run):
    before = Member.objects.count(), LedgerEvent.objects.filter(event="member:registered").count()
    summary, rejects, status, _err = run(
        factories.RowFactory(), factories.RowFactory(entity="xx"), options=["--dry-run"]
    )
    assert (summary["read"], summary["created"], summary["rejected"], status) == (2, 0, 1, 1)
    assert (rejects[0]["line"], rejects[0]["field"]) == (2, "entity")
    assert (Member.objects.count(), LedgerEvent.objects.filter(event="member:registered").count()) == before


def test_a_wrong_password_and_a_missing_file_are_bad_usage(run, supervisor):
    with pytest.raises(CommandError) as wrong:
        run(factories.RowFactory(), password="wrong")
    assert wrong.value.returncode == 2
    with pytest.raises(CommandError) as missing:
        call_command("import_members", "no-such-file", "--as", supervisor.username)
    assert missing.value.returncode == 2
    assert "no-such-file" in str(missing.value)


def test_an_agent_may_not_import(run, agent):
    with pytest.raises(CommandError) as refused:
        run(factories.RowFactory(), username=agent.username)
    assert refused.value.returncode == 1


def test_the_ledger_names_the_operating_system_user_of_a_command(run, supervisor):
    run(factories.RowFactory())
    event = LedgerEvent.objects.get(event="member:registered")
    assert event.actor == supervisor.pk
    assert event.os_user
    assert event.os_host


def test_the_row_in_the_documents_is_a_good_one():
    page = (Path(__file__).resolve().parent.parent.parent / "docs" / "import-format.md").read_text()
    row = json.loads(page.split("```json")[1].split("```")[0])
    new = factories.parse(row, entities=frozenset({"jp", "kr", "sg"}), today=factories.TODAY)
    assert (new.login_id, len(new.contacts), len(new.payment_means)) == ("hanako80", 2, 3)
