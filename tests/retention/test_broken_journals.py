"""Number 1: a journal that is broken or torn is named in a sentence, and no restore is stuck behind a torn line."""

import hashlib
import json
import uuid

import pytest
from django.urls import reverse

from access_control import restore
from access_control.restore import Sign
from access_control.vault import store
from retention.journal import JournalError, entries, newest_marks, path_of
from tests import factories
from tests.databases import clones_are_meant
from tests.retention.conftest import approved, ended, run, verify
from tests.retention.test_restores import accept, backup, command, destroyed_again

FIRST = {"n": 1, "before": hashlib.sha256(b"").hexdigest(), "ledger": None}
PLAN_HASH = "07" * 32
KEY = [str(uuid.uuid4()), str(uuid.uuid4()), 1, 1]
# What no run writes, each under a hash that is right.
MALFORMED = {
    "no JSON": "garbage",
    "a list": '[1,{"n":1',
    "deep": '{"a":' + "[" * 100_000,
    "nothing": "{" + '"n":1',
    **{
        name: json.dumps({**FIRST, **says})[:-1]
        for name, says in {
            "a mark that is short": {"kind": "journal", "plan": str(uuid.uuid4()), "ledger": [1]},
            "a mark of words": {"kind": "journal", "plan": str(uuid.uuid4()), "ledger": ["a", "b", str(uuid.uuid4())]},
            "a mark beyond all numbers": {
                "kind": "journal",
                "plan": str(uuid.uuid4()),
                "ledger": [10**30, 1, str(uuid.uuid4())],
            },
            "no kind": {},
            "a kind that is a list": {"kind": []},
            "no plan": {"kind": "journal"},
            "an intent without keys": {"kind": "intent", "chunk": 1, "plan_hash": PLAN_HASH},
            "a chunk that is a list": {"kind": "intent", "chunk": [], "plan_hash": PLAN_HASH, "keys": [KEY]},
            "a key that is a number": {"kind": "intent", "chunk": 1, "plan_hash": PLAN_HASH, "keys": [7]},
            "an id that is a number": {"kind": "intent", "chunk": 1, "plan_hash": PLAN_HASH, "keys": [[1, 2, 3, 4]]},
            "a plan hash that is short": {"kind": "intent", "chunk": 1, "plan_hash": "07", "keys": [KEY]},
            "a completion without items": {"kind": "done", "chunk": 1, "destroyed": 1},
            "spared that is no list": {"kind": "done", "chunk": 1, "destroyed": 1, "spared": 7},
        }.items()
    },
}


def write_line(path, body):
    """One line that says this, under its own hash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{body},"hash":"{hashlib.sha256(body.encode()).hexdigest()}"}}\n')


def tear(plan):
    """The machine died while a line was written."""
    with path_of(plan.pk).open("ab") as file:
        file.write(b'{"n":99,"kind":"int\x00\xff')


def test_a_malformed_line_with_its_hash_is_a_journal_error_and_no_mark(settings, tmp_path):
    settings.CONSOLE_JOURNAL = tmp_path
    for name, body in MALFORMED.items():
        path = path_of(uuid.uuid4())
        write_line(path, body)
        assert newest_marks() == {}, name
        with pytest.raises(JournalError, match="line 1"):
            list(entries(path))
        path.unlink()


def test_a_malformed_journal_ends_commands_with_a_sentence_and_closes_no_page(committed, client, officer):
    ended(factories.member())
    plan = approved()
    run(plan)
    path = path_of(uuid.uuid4())
    for body in (MALFORMED["no JSON"], MALFORMED["an id that is a number"]):
        write_line(path, body)
        for name, role, account in (("accept_restore", "app", officer), ("destroy_again", "purger", None)):
            status, said = command(name, role=role, account=account)
            assert status == 1
            assert f"{path}, line 1" in said
        assert command("run_purge", role="purger")[0] == 0
        assert command("check")[0] == 0
        client.force_login(officer)
        restore._cleared.clear()
        assert client.get(reverse("admin:index")).status_code == 200
    path.unlink()
    write_line(path_of(plan.pk), MALFORMED["no plan"])
    assert "journal_broken" in {finding.split()[0] for finding in verify(plan).findings}


def test_a_torn_line_does_not_block_the_way_out_of_a_restored_vault(committed, officer, supervisor):
    member = ended(factories.member())
    plan = approved()
    with backup("vault") as restored:
        run(plan)
        tear(plan)
        with restored():
            assert Sign.VAULT_FORGOT in restore.look()
            status, said = command("accept_restore", account=officer)
            assert status == 1
            assert "5 keys that were destroyed live again" in said
            assert destroyed_again() == {"destroyed_again": 5, "held": 0}
            assert store.left([member.pk]) == []
            accept(officer, supervisor)
            assert restore.look() == []


def test_a_torn_line_does_not_block_the_way_out_when_only_the_journal_tells(committed, officer, supervisor):
    member = ended(factories.member())
    plan = approved()
    with backup() as console, backup("vault") as vault:
        run(plan)
        tear(plan)
        with console() as earlier, vault() as earlier_vault:
            clones_are_meant(earlier, earlier_vault)
            assert restore.look() == [Sign.JOURNAL_AHEAD]
            # Journals alone are the word of nobody: two persons order it.
            for account in (officer, supervisor):
                assert "live again" in command("accept_restore", account=account)[1]
            assert destroyed_again() == {"destroyed_again": 5, "held": 0}
            assert store.left([member.pk]) == []
            accept(officer, supervisor)
            assert restore.look() == []


def test_verification_still_names_what_stands_behind_a_finished_journal(committed):
    ended(factories.member())
    plan = approved()
    run(plan)
    tear(plan)
    assert "journal_broken" in {finding.split()[0] for finding in verify(plan).findings}
