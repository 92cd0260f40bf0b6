"""Number 29: a report's file holds what its name says, and the last month is the last month on the 31st too."""

import datetime
import io
import json

import pytest
from django.core.management import CommandError, call_command

from retention.reports import Month
from retention.reports.destructions import TOKYO


def report(*arguments):
    out = io.StringIO()
    call_command("report", "destructions", "--json", *arguments, stdout=out, stderr=io.StringIO())
    return json.loads(out.getvalue())


@pytest.mark.parametrize(
    ("now", "month"),
    [
        (datetime.datetime(2026, 3, 31, 12, tzinfo=TOKYO), "2026-02"),
        (datetime.datetime(2026, 10, 31, 23, 59, tzinfo=TOKYO), "2026-09"),
        (datetime.datetime(2026, 1, 1, 0, 0, tzinfo=TOKYO), "2025-12"),
        # Still December in London.
        (datetime.datetime(2025, 12, 31, 15, 0, tzinfo=datetime.UTC), "2025-12"),
        (datetime.datetime(2024, 3, 30, 12, tzinfo=TOKYO), "2024-02"),
    ],
)
def test_the_last_month_on_every_day(now, month):
    """Number 29."""
    assert str(Month.last(now)) == month


def test_the_last_month_names_its_file(committed, tmp_path, time_machine):
    """Number 29: as the unit in docs/operations.md calls it."""
    time_machine.move_to(datetime.datetime(2026, 10, 31, 3, tzinfo=datetime.UTC), tick=False)
    for end in ("html", "csv"):
        said = report("--month", "last", "--output", str(tmp_path / f"{{month}}.{end}"))
        assert said["format"] == end
        assert said["output"] == str(tmp_path / f"2026-09.{end}")
    assert (tmp_path / "2026-09.html").read_bytes().startswith(b"<!DOCTYPE html>")
    assert not (tmp_path / "2026-09.csv").read_bytes().startswith(b"<")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("x.pdf", []),
        ("x.pdf", ["--format", "html"]),
        ("x.xlsx", ["--format", "csv"]),
        ("x.csv", ["--format", "html"]),
        ("x.HTML", ["--format", "csv"]),
    ],
)
def test_a_file_is_never_called_otherwise_than_what_it_holds(tmp_path, name, options):
    """Number 29: no HTML in an x.pdf."""
    with pytest.raises(CommandError) as refused:
        report("--month", "2026-01", "--output", str(tmp_path / name), *options)
    assert refused.value.returncode == 2
    assert name in str(refused.value)
    assert list(tmp_path.iterdir()) == []
