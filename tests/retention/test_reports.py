"""The report of a month's destructions: it agrees with the rows, names nobody, and is a whole file or none."""

import csv
import datetime
import io
import json
import re
import stat

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import DatabaseError
from django.utils import timezone

from access_control.models import Entity
from access_control.vault.categories import Category, generation_of_case
from members.models import Case
from members.services.cases import add_note, close_case
from retention import reports
from retention.due import TOKYO
from retention.models import CertificateLine, Parked, PlanLine, Run
from retention.reports.files import save
from retention.reports.lines import inert
from tests import factories
from tests.retention.conftest import approved, as_, ended, run, verify

PERSONAL = (
    "山田",
    "花子",
    "ヤマダ",
    "ハナコ",
    "hanako",
    "5550",
    "1234",
    "5678",
    "千代田",
    "みどり銀行",
    "会社員",
    "4242",
)


def this_month():
    return reports.Month.named(f"{timezone.now().astimezone(TOKYO):%Y-%m}")


def counted(month=None):
    with as_("reader"), reports.one_snapshot():
        return reports.destructions_of(month or this_month(), now=timezone.now())


def written(form, month=None, language="en"):
    """The file as text, made as the reader."""
    with as_("reader"), reports.one_snapshot():
        found = reports.destructions_of(month or this_month(), now=timezone.now())
        return b"".join((reports.as_html if form == "html" else reports.as_csv)(found, language=language)).decode()


def rows_of(text):
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


def report(path, *arguments, form="html"):
    """What the command prints, as the reader."""
    out = io.StringIO()
    with as_("reader"):
        call_command(
            "report", "destructions", "--month", str(this_month()), "--format", form, "--output", str(path),
            "--json", *arguments, stdout=out,
        )  # fmt: skip
    return json.loads(out.getvalue())


def move(as_role, instants):
    """Lines of certificates were destroyed at other times: line → instant."""
    with as_role("owner") as cursor:
        cursor.execute("ALTER TABLE retention_certificateline DISABLE TRIGGER append_only")
        for line, at in instants.items():
            cursor.execute("UPDATE retention_certificateline SET destroyed_at = %s WHERE id = %s", [at, line])
        cursor.execute("ALTER TABLE retention_certificateline ENABLE TRIGGER append_only")


def bare_parked(item, reason, at):
    """An item that a run parked, as the purger writes it."""
    with as_("purger"):
        Parked.objects.create(line=item, plan=item.plan, reason=reason, at=at)


def test_every_figure_agrees_with_the_rows(committed):
    for fields in ({}, {}, {"entity": "kr", "addressees": []}):
        ended(factories.member(**fields))
    plan = approved()
    run(plan)
    verify(plan)
    found = counted()
    lines = CertificateLine.objects.all()
    assert found.lines == lines.count() == plan.line_count
    assert found.persons == 3
    for category in Category:
        of_category = lines.filter(category=category)
        assert found.by(lambda group: group.category)[category.value] == of_category.count()
        assert found.persons_by_category.get(category.value, 0) == of_category.values("subject").distinct().count()
    planned = PlanLine.objects.filter(pk__in=lines.values("pk"))
    assert found.by(lambda group: found.rule_of(group).entity_id) == {
        "jp": planned.filter(rule__entity="jp").count(),
        "kr": planned.filter(rule__entity="kr").count(),
    }
    assert found.by(lambda group: group.start) == {"membership_ended": plan.line_count}
    assert max(group.days_late for group in found.groups) == 29
    (one,) = found.outcomes
    assert (one.plan, one.lines_in_month, one.facts["persons"], one.parked) == (plan, plan.line_count, 3, {})
    assert one.verification.verified_count == plan.line_count
    summary = {"items": found.lines, "persons": 3, "certificates": 1, "unfinished": 0, "unverified": 0, "failed": 0}
    assert summary.items() <= found.summary().items()


def test_the_csv_holds_each_line_once_and_says_what_the_rows_say(committed):
    ended(factories.member())
    plan = approved()
    run(plan)
    head, *rows = rows_of(written("csv"))
    assert head[:3] == ["certificate line", "certificate", "category"]
    by_id = {str(line.pk): line for line in CertificateLine.objects.all()}
    assert {row[0] for row in rows} == set(by_id)
    assert len(rows) == plan.line_count
    for row in rows:
        line = by_id[row[0]]
        planned = PlanLine.objects.select_related("rule__entity").get(pk=line.pk)
        day = line.destroyed_at.astimezone(TOKYO)
        assert row[1:] == [
            plan.reference,
            Category(line.category).name.lower(),
            "" if line.category == Category.CORRESPONDENCE else str(line.generation),
            planned.rule.entity.name,
            "membership ended",
            planned.started_on.isoformat(),
            planned.due_on.isoformat(),
            "the purpose is achieved; this long the member may still come back or object",
            f"{day:%Y-%m-%d %H:%M:%S}",
            str((day.date() - planned.due_on).days),
        ]


def test_a_month_begins_and_ends_at_midnight_in_tokyo(committed, as_role):
    ended(factories.member())
    plan = approved()
    run(plan)
    lines = list(CertificateLine.objects.values_list("pk", flat=True))
    tokyo = datetime.timezone(datetime.timedelta(hours=9))
    instants = [
        datetime.datetime(2026, 1, 31, 23, 59, 59, 999999, tzinfo=tokyo),
        datetime.datetime(2026, 2, 1, tzinfo=tokyo),
        datetime.datetime(2026, 2, 28, 23, 59, 59, 999999, tzinfo=tokyo),
        datetime.datetime(2026, 3, 1, tzinfo=tokyo),
    ]
    moved = dict(zip(lines, instants, strict=False))
    assert len(moved) == 4
    move(as_role, moved)
    expected = {"2026-01": lines[:1], "2026-02": lines[1:3], "2026-03": lines[3:4]}
    for name, held in expected.items():
        month = reports.Month.named(name)
        assert counted(month).lines == len(held)
        assert {row[0] for row in rows_of(written("csv", month))[1:]} == {str(line) for line in held}
    february = counted(reports.Month.named("2026-02"))
    assert sorted({group.day.isoformat() for group in february.groups}) == ["2026-02-01", "2026-02-28"]
    # The certificate was issued in another month; it is named where its lines were destroyed.
    assert [one.plan for one in february.outcomes] == [plan]


def test_neither_form_names_a_person_or_tells_a_case(committed):
    member, agent = factories.member(), factories.staff("agent")
    case = factories.identify(factories.case(member, agent))
    add_note(case, text="お電話がありました", actor=agent)
    close_case(case, outcome=Case.Outcome.DONE, actor=agent)
    ended(member)
    run(approved())
    noted = CertificateLine.objects.get(category=Category.CORRESPONDENCE)
    assert noted.generation == generation_of_case(case.pk)
    texts = [written(form, language=language) for form in reports.FORMATS for language in ("ja", "en")]
    assert sum(str(noted.pk) in text for text in texts) == 2
    for text in texts:
        for told in (str(member.pk), member.pk.hex, str(case.pk), case.reference, str(noted.generation)):
            assert told not in text
        # Ids of lines, references of plans, days and times hold digits; the rest must be free of values.
        bare = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|20\d\d-\d\d-\d\d[ 0-9:]*|\d{8}-\w{4}", "", text)
        assert [value for value in PERSONAL if value in bare] == []
    (row,) = [row for row in rows_of(texts[-1]) if row[0] == str(noted.pk)]
    assert row[2:4] == ["correspondence", ""]


def test_what_was_parked_waits_until_it_is_destroyed(committed):
    ended(factories.member())
    first = approved()
    one, two, *_rest = PlanLine.objects.filter(plan=first)
    long_ago = timezone.now() - datetime.timedelta(hours=1)
    with as_("purger"):
        now = timezone.now()
        Run.objects.create(plan=first, started_at=now, seen_at=now, os_host="h")
    bare_parked(one, Parked.Reason.BUSY, long_ago)
    bare_parked(two, Parked.Reason.NOT_DUE, long_ago)
    found = counted()
    assert [(waits.reason, waits.items, waits.persons) for waits in found.waiting] == [("busy", 1, 1)]
    assert [(item.line, item.plan, item.due_on) for item in found.oldest_waiting] == [
        (one.pk, first.reference, one.due_on)
    ]
    page = written("html")
    assert "1 parked item is not destroyed yet" in page
    assert "somebody was working on it" in page
    assert "29 days" in page
    # A second plan takes the item up and destroys it.
    run(approved())
    assert counted().waiting == []
    assert "Nothing waits." in written("html")


def test_what_needs_attention_is_said_in_the_order_of_the_work(committed, as_role):
    ended(factories.member())
    plan = approved()
    run(plan)
    assert "Certified, and not verified yet: " + plan.reference in written("html")
    assert len(counted().unverified) == 1
    verify(plan)
    assert "Every certificate of this month is verified" in written("html")
    with as_role("reader") as cursor:
        cursor.execute(
            "INSERT INTO retention_verification (plan_id, verified_count, failed_count, findings)"
            " VALUES (%s, 4, 1, ARRAY['key_lives 0199'])",
            [plan.pk],
        )
    page = written("html")
    assert "The newest verification found something that does not hold: " + plan.reference in page
    assert "key_lives" in page
    assert counted().summary()["failed"] == 1


def test_a_run_that_is_not_finished_is_counted_and_said(committed, monkeypatch):
    from retention import points

    ended(factories.member())
    plan = approved()

    class Killed(BaseException):
        pass

    def stop(point):
        if point == points.Point.COMMITTED:
            raise Killed

    monkeypatch.setattr(points, "watch", stop)
    with pytest.raises(Killed):
        run(plan)
    monkeypatch.undo()
    found = counted()
    assert (found.lines, len(found.unfinished)) == (plan.line_count, 1)
    page = written("html")
    assert f"The run is not finished, so no certificate is issued yet: {plan.reference}." in page
    assert len(rows_of(written("csv"))) == plan.line_count + 1


def test_whom_the_last_plan_left_out(committed):
    held, officer = ended(factories.member()), factories.staff("officer")
    from retention.services.holds import place_legal_hold

    place_legal_hold(held, ground="litigation", actor=officer)
    plan = approved()
    found = counted()
    assert (found.last_plan, found.left_out) == (plan, {"legal_hold": 1})
    assert "a legal hold stands" in written("html")


def test_an_empty_month_reads_well_in_both_languages(committed):
    month = reports.Month.named("2025-10")
    for language, name in (("ja", "2025年10月"), ("en", "October 2025")):
        page = written("html", month, language)
        assert f'<html lang="{language}">' in page
        assert name in page
        assert "None" not in page
        assert len(rows_of(written("csv", month, language))) == 1


def test_the_paper_is_one_file_that_needs_no_network_and_runs_nothing(committed):
    ended(factories.member())
    run(approved())
    page = written("html")
    assert not re.findall(r"(?:src|href)=|url\(|@import|<script|\son\w+=", page)
    assert "default-src 'none'" in page


def test_text_is_escaped_in_the_paper_and_computes_nothing_in_the_csv(committed, as_role):
    with as_role("owner") as cursor:
        cursor.execute("SELECT set_config('console.actor', 'system', false)")
        cursor.execute("UPDATE access_control_entity SET name = %s WHERE code = 'jp'", ['=HYPERLINK("<b>&")\r\n'])
    assert Entity.objects.get(code="jp").name.startswith("=")
    ended(factories.member())
    run(approved())
    assert "=HYPERLINK(&quot;&lt;b&gt;&amp;&quot;)" in written("html")
    assert {row[4] for row in rows_of(written("csv"))[1:]} == {'\'=HYPERLINK("<b>&") '}


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠"])
def test_a_cell_that_would_be_a_formula_is_neutralised(first):
    assert inert(f"{first}1+1").startswith("'")
    assert inert(f"1{first}1") in {f"1{first}1", "1 1"}


def test_the_csv_opens_in_a_spreadsheet(committed, tmp_path):
    ended(factories.member())
    run(approved())
    report(tmp_path / "lines.csv", form="csv")
    data = (tmp_path / "lines.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    assert data.count(b"\r\n") == data.count(b"\n") == CertificateLine.objects.count() + 1
    assert data.endswith(b"\r\n")


def test_the_command_writes_a_file_that_only_its_owner_reads_and_sums_up(committed, tmp_path):
    ended(factories.member())
    plan = approved()
    run(plan)
    path = tmp_path / "report.html"
    path.write_text("the month before")
    path.chmod(0o644)
    said = report(path)
    assert said == {
        "month": str(this_month()),
        "over": False,
        "items": plan.line_count,
        "persons": 1,
        "certificates": 1,
        "unfinished": 0,
        "unverified": 1,
        "failed": 0,
        "waiting": 0,
        "format": "html",
        "output": str(path),
    }
    assert path.read_text().startswith("<!DOCTYPE html>")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["report.html"]


def test_an_error_on_the_way_leaves_the_file_as_it_was(committed, tmp_path, monkeypatch):
    from retention.management.commands import report as command

    path = tmp_path / "report.csv"
    path.write_text("the month before")

    def breaks(found, *, language):
        yield b"half of it"
        raise DatabaseError

    monkeypatch.setattr(command, "as_csv", breaks)
    with pytest.raises(CommandError) as refused:
        report(path, form="csv")
    assert refused.value.returncode == 1
    assert path.read_text() == "the month before"
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["report.csv"]


def test_a_file_is_whole_or_not_there(tmp_path):
    def interrupted():
        yield b"half of it"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save(tmp_path / "new", interrupted())
    assert list(tmp_path.iterdir()) == []


def test_every_bad_value_is_named_at_once(tmp_path):
    with pytest.raises(CommandError) as refused:
        call_command(
            "report", "births", "--month", "2026-13", "--format", "pdf", "--language", "ko",
            "--output", str(tmp_path / "no" / "where"),
        )  # fmt: skip
    assert refused.value.returncode == 2
    for named in ("births", "--month 2026-13", "--format pdf", "--language ko", "--output"):
        assert named in str(refused.value)
    with pytest.raises(CommandError) as refused:
        call_command("report", "destructions", "--month", "2026-01", "--output", str(tmp_path))
    assert refused.value.returncode == 2


@pytest.mark.parametrize(
    "month", ["2026-1", "26-01", "2026-00", "0000-01", "november", "", "2026-11-01", "２０２６-11"]
)
def test_a_malformed_month_is_bad_usage(month, tmp_path):
    with pytest.raises(CommandError) as refused:
        call_command("report", "destructions", f"--month={month}", "--output", str(tmp_path / "x"))
    assert refused.value.returncode == 2


@pytest.mark.parametrize("month", ["2026-12", "9999-12"])
def test_a_month_to_come_is_bad_usage(month, tmp_path):
    # In Tokyo it is the last hour of November.
    with time_machine.travel("2026-11-30T14:30:00Z", tick=False), pytest.raises(CommandError) as refused:
        call_command("report", "destructions", "--month", month, "--output", str(tmp_path / "x"))
    assert refused.value.returncode == 2
    assert not (tmp_path / "x").exists()


def test_a_month_begins_in_tokyo_before_it_begins_elsewhere():
    december = reports.Month.named("2026-12")
    assert december.has_begun(datetime.datetime(2026, 11, 30, 15, tzinfo=datetime.UTC))
    assert not december.has_begun(datetime.datetime(2026, 11, 30, 14, 59, tzinfo=datetime.UTC))


def test_nothing_can_be_written_while_a_report_is_made(committed):
    with pytest.raises(DatabaseError), reports.one_snapshot():
        Entity.objects.create(code="xx", name="x")
