"""Number 29: the rejects file, what a file is when it is no JSON lines, and what a dry run says."""

import io
import itertools
import json
import os
import stat

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.utils import timezone, translation

from access_control.ids import new_id
from access_control.services import leave
from access_control.vault import store
from access_control.vault.lookups import NORMAL_FORM_VERSION, hashing
from consent import importing
from consent.services.joining import join_many
from members.lookups import number_lookup
from members.models import Member
from tests import factories


@pytest.fixture
def run(supervisor, tmp_path, monkeypatch):
    """Runs import_members over a file's bytes; returns (summary or text, exit status, sentence of the error)."""

    def command(content, *options, as_json=True, language="en"):
        file = tmp_path / "members.jsonl"
        file.write_bytes(content)
        out, status, sentence = io.StringIO(), 0, ""
        monkeypatch.setattr("sys.stdin", io.StringIO(factories.PASSWORD + "\n"))
        given = [*(["--json"] if as_json else []), *options]
        try:
            with translation.override(language):
                call_command(
                    "import_members", str(file), "--as", supervisor.username, *given, stdout=out, stderr=io.StringIO()
                )
        except CommandError as error:
            status, sentence = error.returncode, str(error)
        except SystemExit as exit:
            status = exit.code
        said = out.getvalue()
        return (json.loads(said) if as_json and said else said), status, sentence

    return command


def lines(*rows, encoding="utf-8"):
    return b"".join((json.dumps(row, ensure_ascii=False) + "\n").encode(encoding) for row in rows)


@pytest.mark.parametrize(
    ("chunks", "options", "said"),
    [
        (0, [], "Nothing was imported."),
        (1, [], "What was imported up to line 2 stays"),
        (2, [], "What was imported up to line 4 stays"),
        (1, ["--dry-run"], "The rows up to line 2 were looked at"),
    ],
)
def test_whoever_leaves_while_the_import_runs_imports_nothing_more(run, supervisor, monkeypatch, chunks, options, said):
    """Of new members too: before each chunk it is asked whether the account still may; what was taken stays."""
    monkeypatch.setattr(importing, "CHUNK", 2)
    real, done = importing.import_rows, itertools.count()

    def interrupted(*how, progress, **rest):
        def leaves_after(_rows):
            if next(done) == chunks:
                leave(supervisor.person, on=timezone.localdate(), actor=None)

        leaves_after(0)
        return real(*how, progress=leaves_after, **rest)

    monkeypatch.setattr(importing, "import_rows", interrupted)
    _summary, status, sentence = run(lines(*factories.RowFactory.build_batch(5)), *options)
    assert (status, said in sentence) == (1, True)
    assert Member.objects.count() == (0 if options else 2 * chunks)


def test_whoever_has_left_registers_nobody(supervisor):
    """The service asks in the transaction that it writes in, whoever calls it."""
    leave(supervisor.person, on=timezone.localdate(), actor=None)
    with pytest.raises(PermissionDenied):
        join_many([factories.new_member()], actor=supervisor)
    assert not Member.objects.exists()


def test_a_clean_run_leaves_no_rejects_of_yesterday(run, tmp_path):
    """Number 29."""
    rejects = tmp_path / "members.jsonl.rejects.jsonl"
    _summary, status, _sentence = run(lines(factories.RowFactory(entity="xx")))
    assert (status, rejects.exists(), stat.S_IMODE(rejects.stat().st_mode)) == (1, True, 0o600)
    summary, status, _sentence = run(lines(factories.RowFactory()))
    assert (status, rejects.exists(), summary["rejects_file"]) == (0, False, None)


def test_rejects_that_cannot_be_written_stop_before_the_first_row(run, tmp_path):
    """Number 29: nothing goes in whose faults could not be told."""
    for path in (tmp_path / "no" / "where.jsonl", tmp_path):
        _summary, status, sentence = run(lines(factories.RowFactory()), "--rejects", str(path))
        assert (status, "nothing was imported" in sentence, str(path) in sentence) == (2, True, True)
    assert not Member.objects.exists()


def test_a_rejects_file_that_is_no_plain_file_stays_as_it_is(run, tmp_path):
    """Number 29: neither its mode is changed nor is it taken away; a pipe here, as a device would be."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o666)
    pipe.chmod(0o666)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run(lines(factories.RowFactory()), "--rejects", str(pipe))[1] == 0
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert stat.S_IMODE(pipe.stat().st_mode) == 0o666


@pytest.mark.parametrize("language", ["ja", "en"])
def test_reasons_are_in_one_language(run, tmp_path, language):
    """Number 29: in that of the command, whatever language is active, and from every room."""
    twin = factories.RowFactory()
    rows = [
        twin,
        twin | {"name": "別人"},
        factories.RowFactory(entity="xx"),
        factories.RowFactory(joined_on="2001-01-01"),
    ]
    run(lines(*rows) + b"{broken\n", language=language)
    text = (tmp_path / "members.jsonl.rejects.jsonl").read_text()
    assert len(text.splitlines()) >= 4
    assert text.isascii()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("member_number,login_id,name\nM1,a,山田\n".encode(), "a table (CSV)"),
        ("会員番号\t氏名\nM1\t山田\n".encode("cp932"), "a table (CSV)"),
        (lines({"name": "山田 花子"}, {"name": "佐藤 一郎"}, encoding="cp932"), "CP932"),
        (b"[\n" + lines({"name": "a"}) + b"]\n", ""),
        (json.dumps([{"name": "a"}]).encode(), "one JSON list"),
        ('{"name": "a"}\n'.encode("utf-16"), "UTF-16"),
        (b"PK\x03\x04....", "an archive, a spreadsheet"),
        (b"%PDF-1.7\n", "an archive, a spreadsheet"),
    ],
)
def test_another_kind_of_file_is_recognised_as_a_whole(run, tmp_path, content, said):
    """Number 29: one sentence, not one reject a line."""
    _summary, status, sentence = run(content)
    assert status == (2 if said else 1)
    assert said in sentence
    assert (tmp_path / "members.jsonl.rejects.jsonl").exists() == (not said)


def test_a_directory_is_one(supervisor, tmp_path):
    """Number 29."""
    with pytest.raises(CommandError, match="is a directory") as refused:
        call_command("import_members", str(tmp_path), "--as", supervisor.username)
    assert refused.value.returncode == 2


def test_one_line_of_another_encoding_is_one_bad_row(run):
    """Number 29: the rest of the file goes in."""
    summary, status, _sentence = run(lines(factories.RowFactory()) + lines({"name": "山田"}, encoding="cp932"))
    assert (summary["created"], summary["rejected"], status) == (1, 1, 1)


def test_a_dry_run_says_what_would_happen(run):
    """Number 29."""
    there = factories.RowFactory()
    run(lines(there))
    content = lines(there, factories.RowFactory(), factories.RowFactory(entity="xx"))
    text, status, _sentence = run(content, "--dry-run", as_json=False)
    assert text.startswith("Nothing was imported (--dry-run). 3 read: 1 would be created, 1 are on file")
    assert "1 would be rejected" in text
    assert status == 1
    summary, _status, _sentence = run(content, "--dry-run")
    assert (summary["created"], summary["would_create"], summary["would_compare"]) == (0, 1, 1)
    assert Member.objects.count() == 1


@pytest.mark.parametrize("link", ["symbolic", "hard"])
@pytest.mark.parametrize("option", ["rejects", "warnings"])
def test_a_list_that_nobody_named_follows_no_link(run, tmp_path, link, option):
    """Whoever brings the file may write beside it: a link there leads over no other file."""
    precious = tmp_path / "keyring"
    precious.write_text("precious")
    place = tmp_path / f"members.jsonl.{option}.jsonl"
    place.symlink_to(precious) if link == "symbolic" else place.hardlink_to(precious)
    _summary, status, sentence = run(lines(factories.RowFactory()))
    assert (status, f"The {option} file" in sentence, "nothing was imported" in sentence) == (2, True, True)
    assert precious.read_text() == "precious"
    assert not Member.objects.exists()


def test_a_list_that_nobody_named_waits_at_no_pipe(run, tmp_path):
    """Nobody reads there: the import would stand still for ever."""
    os.mkfifo(tmp_path / "members.jsonl.rejects.jsonl")
    _summary, status, sentence = run(lines(factories.RowFactory()))
    assert (status, "The rejects file" in sentence) == (2, True)


def test_a_list_that_somebody_named_may_be_a_link(run, tmp_path):
    named = tmp_path / "named"
    (tmp_path / "link").symlink_to(named)
    summary, status, _sentence = run(b"{}\n", "--rejects", str(tmp_path / "link"))
    assert (status, summary["rejected"]) == (1, 1)
    assert named.read_text()


def test_two_lists_do_not_write_over_each_other(run, tmp_path):
    place = str(tmp_path / "list")
    _summary, status, sentence = run(b"{}\n", "--rejects", place, "--warnings", place)
    assert (status, "rejects are listed in this file already" in sentence) == (2, True)
    summary, status, _sentence = run(b"{}\n", "--rejects", "/dev/null", "--warnings", "/dev/null")
    assert (status, summary["rejected"]) == (1, 1)


def test_what_an_interrupted_import_left_comes_in_beside_whoever_was_entered_later(run):
    """The number was claimed and the import died; its rows stand behind a member on file who is locked first."""
    left, later = factories.RowFactory(), factories.RowFactory()
    orphan = factories.new_member(**left)
    store.claim([number_lookup(orphan, new_id(), mac=hashing())], version=NORMAL_FORM_VERSION)
    assert run(lines(later))[1] == 0
    changed, again = later | {"occupation": "店長"}, left | {"occupation": "農業"}
    _summary, status, sentence = run(lines(changed, left, again))
    assert (status, sentence, Member.objects.count()) == (0, "", 2)


def test_a_keyring_that_is_missing_is_a_sentence(run, settings, tmp_path):
    settings.CONSOLE_KEYRING = tmp_path / "none"
    _summary, status, sentence = run(lines(factories.RowFactory()))
    assert (status, "none" in sentence) == (1, True)
    assert not (tmp_path / "members.jsonl.rejects.jsonl").exists()
