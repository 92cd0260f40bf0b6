"""Number 9: what goes wrong with a destruction is a sentence with the next step, and nothing is half done."""

import errno
import io
import json
import os

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from access_control.vault import store
from retention.board import CONTROLS
from retention.models import CertificateLine, Recheck, Run
from retention.services import verifying
from retention.services.holds import place_legal_hold
from retention.services.verifying import nightly_share, verify_again
from tests import factories
from tests.retention.conftest import approved, as_, ended, run, verify


def said(name, *arguments, role, json_=True):
    """(answer, exit status, sentence of the error) of a command."""
    out, status, sentence = io.StringIO(), 0, ""
    with as_(role):
        try:
            call_command(name, *arguments, *(["--json"] if json_ else []), stdout=out, stderr=io.StringIO())
        except CommandError as error:
            status, sentence = error.returncode, str(error)
        except SystemExit as exit:
            status = exit.code
    answer = out.getvalue()
    return (json.loads(answer) if json_ and answer else answer), status, sentence


def purge(plan):
    return said("run_purge", plan.reference, role="purger")


def runs_clean(plan, items=5):
    """The run goes on to its end, and what it did holds."""
    answer, status, sentence = purge(plan)
    assert (answer["destroyed"], status, sentence) == (items, 0, "")
    assert verify(plan).findings == []


@pytest.mark.parametrize("line", [1, 2, 3, 4])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_at_any_line_of_the_journal(committed, monkeypatch, line, code):
    """Number 9: the line that was begun is taken back, and the run goes on where it was."""
    ended(factories.member())
    plan = approved()
    written, real = 0, os.write

    def failing(handle, data):
        nonlocal written
        if not data.startswith(b'{"n"'):
            return real(handle, data)
        written += 1
        if written == line:
            real(handle, data[:20])
            raise OSError(code, os.strerror(code))
        return real(handle, data)

    with monkeypatch.context() as patch:
        patch.setattr("retention.journal.os.write", failing)
        _answer, status, sentence = purge(plan)
    assert status == 1
    assert "run it again" in sentence
    assert ("The disk is full" in sentence) == (code == errno.ENOSPC)
    runs_clean(plan)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EMFILE])
def test_a_directory_that_cannot_be_written(committed, monkeypatch, code):
    """Number 9: nothing is begun, and no approval is spent."""
    member = ended(factories.member())
    plan = approved()

    def refused(path, flags, *mode, real=os.open):
        if str(path).endswith(".jsonl"):
            raise OSError(code, os.strerror(code))
        return real(path, flags, *mode)

    with monkeypatch.context() as patch:
        patch.setattr("retention.journal.os.open", refused)
        _answer, status, sentence = purge(plan)
    assert (status, "run it again" in sentence) == (1, True)
    assert not Run.objects.exists()
    assert len(store.left([member.pk])) == 5
    runs_clean(plan)


@pytest.mark.parametrize("below", ["", "journal"])
def test_a_journal_directory_that_is_none(committed, settings, tmp_path, below):
    """Number 9: the setting names a file, or a path below one."""
    ended(factories.member())
    plan = approved()
    (tmp_path / "file").write_text("")
    right, settings.CONSOLE_JOURNAL = settings.CONSOLE_JOURNAL, tmp_path / "file" / below
    _answer, status, sentence = purge(plan)
    assert (status, "CONSOLE_JOURNAL must name a directory" in sentence) == (1, True)
    assert not Run.objects.exists()
    settings.CONSOLE_JOURNAL = right
    runs_clean(plan)


def test_a_missing_directory_of_a_run_that_has_begun(committed, settings, tmp_path, monkeypatch):
    """Number 9: a disk that was not mounted again."""
    ended(factories.member())
    plan = approved()
    with monkeypatch.context() as patch:
        patch.setattr("retention.services.purging.issue", lambda *_a, **_k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(plan)
    right, settings.CONSOLE_JOURNAL = settings.CONSOLE_JOURNAL, tmp_path / "not-mounted"
    _answer, status, sentence = purge(plan)
    assert (status, "Mount its disk" in sentence) == (1, True)
    settings.CONSOLE_JOURNAL = right
    runs_clean(plan)


def test_a_ceiling_below_one_chunk(committed, as_role):
    """Number 9: as many as it allows are destroyed each hour, instead of none for ever."""
    ended(factories.member())
    plan = approved()

    def ceiling(number):
        with as_role("owner", "vault") as cursor:
            cursor.execute("UPDATE vault_installation SET destructions_per_hour = %s", [number])

    ceiling(3)
    for _once in range(2):
        _answer, status, sentence = purge(plan)
        assert (status, "ceiling" in sentence, "in an hour" in sentence) == (1, True, True)
        assert CertificateLine.objects.count() == 3
    # An hour later, as far as the vault is concerned.
    ceiling(8)
    runs_clean(plan)


def test_a_database_that_ends_it(committed, monkeypatch):
    """Number 9: full disk of PostgreSQL, lost connection: a sentence with the code, never with a row."""
    ended(factories.member())
    plan = approved()

    def full(*_arguments, **_named):
        raise OperationalError("could not extend file for row (花子)")

    with monkeypatch.context() as patch:
        patch.setattr("retention.services.purging.erase", full)
        _answer, status, sentence = purge(plan)
    assert (status, "OperationalError" in sentence, "花子" in sentence) == (1, True, False)
    assert "run it again" in sentence
    runs_clean(plan)


def test_a_finished_plan_says_that_it_is_finished(committed):
    """Number 9: with its certificate, and status 0, also where items were parked."""
    held = ended(factories.member())
    ended(factories.member())
    plan = approved()
    place_legal_hold(held, ground="litigation", actor=factories.staff("officer"))
    assert purge(plan)[1] == 1
    answer, status, _sentence = purge(plan)
    assert (status, answer["certificate"], answer["destroyed"], answer["parked"]) == (0, plan.reference, 5, 5)
    text, status, _sentence = said("run_purge", plan.reference, role="purger", json_=False)
    assert (status, "was finished on" in text, f"certificate is {plan.reference}" in text) == (0, True, True)


def test_verifying_before_the_run_is_one_finding(committed):
    """Number 9: not one for each line."""
    for _once in range(3):
        ended(factories.member())
    plan = approved()
    answer, status, _sentence = said("verify_purge", plan.reference, role="reader")
    assert (answer["findings"], answer["failed"], status) == (["not_begun"], 1, 1)
    text, _status, _sentence = said("verify_purge", plan.reference, role="reader", json_=False)
    assert "Run run_purge first" in text


def test_verifying_a_run_that_is_not_over_is_one_finding(committed, as_role, monkeypatch):
    """Number 9: what is still to come is no finding."""
    for _once in range(3):
        ended(factories.member())
    plan = approved()
    with as_role("owner", "vault") as cursor:
        cursor.execute("UPDATE vault_installation SET destructions_per_hour = 7")
    assert purge(plan)[1] == 1
    assert verify(plan).findings == ["not_finished"]


# Everything that was ever destroyed, again.


def again(*options):
    return said("verify_purge", "--all", *options, role="reader")


def test_everything_is_looked_at_again(committed, as_role, monkeypatch):
    """Number 9: of whatever age, keys as well as lookups; in batches, whatever their size."""
    members = [ended(factories.member()) for _once in range(2)]
    run(approved())
    with as_role("owner") as cursor:
        cursor.execute("ALTER TABLE retention_certificateline DISABLE TRIGGER append_only")
        cursor.execute("UPDATE retention_certificateline SET destroyed_at = destroyed_at - interval '9 years'")
    monkeypatch.setattr(verifying, "BATCH", 3)
    answer, status, _sentence = again()
    assert (answer["lines"], answer["findings"], answer["reached_end"], status) == (10, 0, True, 0)
    with as_role("owner", "vault") as cursor:
        cursor.execute("ALTER TABLE vault_key DISABLE TRIGGER ALL")
        cursor.execute(
            "UPDATE vault_key SET wrapped = decode(repeat('00', 61), 'hex'), destroyed_at = NULL,"
            " certificate_line = NULL, plan_hash = NULL WHERE subject = %s AND category = 1",
            [members[0].pk],
        )
        cursor.execute(
            "INSERT INTO vault_lookup (field, version, mac, subject, category) VALUES (3, 1, %s, %s, 2)",
            [b"\x05" * 32, members[1].pk],
        )
    answer, status, _sentence = again()
    assert (answer["lines"], status) == (10, 1)
    assert sorted(finding.split(" ")[0] for finding in answer["said"]) == ["key_lives", "lookup_left", "no_fence"]
    (control,) = (one for one in CONTROLS if one.code == "found_again")
    assert control.measure(None).figure == 3
    text, status, _sentence = said("verify_purge", "--all", role="reader", json_=False)
    assert (status, "3 findings" in text) == (1, True)
    with as_role("owner", "vault") as cursor:
        cursor.execute("DELETE FROM vault_lookup WHERE mac = %s", [b"\x05" * 32])
    assert again()[0]["findings"] == 2


@pytest.mark.parametrize("nights", [1, 3, 10])
def test_each_night_takes_its_share_until_all_had_their_turn(committed, nights):
    """Number 9: the position moves, and after the last line it begins anew."""
    for _once in range(2):
        ended(factories.member())
    run(approved())
    lines = list(CertificateLine.objects.order_by("pk").values_list("pk", flat=True))
    for _round in range(2):
        seen = []
        for _night in range(nights):
            answer, status, _sentence = again("--nights", str(nights))
            look = Recheck.objects.first()
            seen += [line for line in lines if look.behind < line <= look.last]
            assert (status, answer["findings"]) == (0, 0)
            if look.reached_end:
                break
        assert seen == lines


def test_a_look_at_nothing_is_whole(committed):
    """Number 9: nothing was destroyed yet."""
    answer, status, _sentence = again("--nights", "30")
    assert (answer["lines"], answer["findings"], answer["reached_end"], status) == (0, 0, True, 0)
    with as_("reader"):
        assert (nightly_share(30), verify_again().line_count) == (1, 0)


@pytest.mark.parametrize(
    "arguments", [("--all", "--nights", "0"), ("--all", "--nights", "x"), ("--nights", "3"), ("--all", "20260101-AAAA")]
)
def test_what_is_misspelt_is_named(committed, arguments):
    """Number 9: a sentence, and status 2."""
    _answer, status, sentence = said("verify_purge", *arguments, role="reader")
    assert status == 2
    assert arguments[-1] in sentence
