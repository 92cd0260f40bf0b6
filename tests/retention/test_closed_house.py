"""Number 1: two persons can always be had who open a console that a restore or a failover has closed."""

import errno
import hashlib
import json
import uuid
from pathlib import Path

import pytest
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone

from access_control import restore
from access_control.access_models import SignInLink
from access_control.access_services import agree, ask_link
from access_control.models import Staff
from access_control.restore import Sign
from access_control.services import leave
from access_control.vault import consoles
from retention.journal import JournalError, holds_lines, journals_at_hand, newest_marks, path_of, plans_of
from retention.restores import Loss
from retention.services.restores import _may_have_sent
from tests import factories
from tests.access_control.test_access import NEW
from tests.retention.test_broken_journals import write_line
from tests.retention.test_restores import accept, backup, command

FIRST = {"administrator": ["E91", "管理 花", "kr", "admin9"], "officer": ["E92", "保護 守", "sg", "officer9"]}


def create_first_accounts(**persons):
    """(exit status, the links by username, or what was said)."""
    status, said = command("create_first_accounts", json=True, url="http://testserver", **(FIRST | persons))
    return status, (json.loads(said)["links"] if status == 0 else said)


def test_number_1_the_two_accounts_of_an_installation_open_the_house_again(committed, officer, administrator):
    with backup() as restored, restored():
        assert restore.look() == [Sign.CONSOLE_MOVED]
        assert accept(officer, administrator)[1]["accepted"] is True
        assert restore.look() == []


def test_number_1_whoever_asked_and_has_left_blocks_no_acceptance(committed, officer, supervisor, administrator):
    """Their request is nobody's any more: the next one asks, and another one agrees."""
    with backup() as restored, restored():
        accept(officer)
        leave(officer.person, on=timezone.localdate(), actor=None)
        assert [one["accepted"] for one in accept(supervisor, administrator)] == [False, True]


def test_number_1_a_closed_house_in_which_nobody_is_left_is_opened_by_its_host(committed, officer, administrator):
    """Access is ended, two persons are entered, set their passwords by their links, and accept."""
    with backup() as restored, restored():
        for account in (officer, administrator):
            assert command("end_access", account.person.employee_number)[0] == 0
        status, links = create_first_accounts()
        assert (status, set(links)) == (0, {"admin9", "officer9"})
        for link in links.values():
            assert Client().get(link).status_code == 200
            assert Client().post(link, {"password": NEW, "again": NEW}).status_code == 302
        assert Client().get("/").status_code == 503
        admin9, officer9 = (Staff.objects.get(username=name) for name in ("admin9", "officer9"))
        assert [one["accepted"] for one in accept(admin9, officer9, password=NEW)] == [False, True]
        assert restore.look() == []


def test_number_1_a_link_of_the_backup_sets_no_password_in_a_closed_house(committed, officer, administrator):
    """Whoever agreed to it saw it: it would make two of one person."""
    agent = factories.staff("agent")
    given = agree(ask_link(agent, actor=administrator), actor=officer)
    link = f"/first-password/{given.token}/"
    with backup() as restored:
        assert Client().get(link).status_code == 200
        consoles.tell()
        with restored():
            assert restore.look() == [Sign.CONSOLE_MOVED]
            assert Client().get(link).status_code == 410
            assert Client().post(link, {"password": NEW, "again": NEW}).status_code == 410
            assert not Staff.objects.get(pk=agent.pk).check_password(NEW)
            accept(officer, administrator)
            assert Client().get(link).status_code == 410


def test_number_1_a_made_up_journal_does_not_use_up_all_epochs(committed, officer):
    """The epoch that it names would be the last; the sentence names the file."""
    plan = uuid.uuid4()
    mark = [2**31 - 2, 1, str(uuid.uuid4())]
    body = {"n": 1, "kind": "journal", "before": hashlib.sha256(b"").hexdigest(), "ledger": mark, "plan": str(plan)}
    write_line(path_of(plan), json.dumps(body)[:-1])
    assert restore.look() == [Sign.JOURNAL_AHEAD]
    accept(officer)
    status, said = command("accept_restore", account=factories.staff("supervisor"))
    assert (status, str(path_of(plan)) in said, "Move the file away" in said) == (1, True, True)
    path_of(plan).unlink()
    assert restore.look() == []


def test_number_1_a_console_that_only_moved_keeps_its_notices_whatever_an_earlier_restore_lost():
    lost = dict.fromkeys(Loss, 0)
    assert not _may_have_sent([Sign.CONSOLE_MOVED], lost | {Loss.JOURNALS: 1, Loss.PLANS: 2, Loss.DESTROYED_KEYS: 9})
    assert _may_have_sent([Sign.CONSOLE_MOVED], lost | {Loss.FETCHES: 1})
    assert _may_have_sent([Sign.CONSOLE_MOVED], lost | {Loss.LEDGER_EVENTS: 1})


def test_number_1_journals_that_cannot_be_read_stop_no_page_and_an_empty_one_is_none(monkeypatch):
    path = path_of(uuid.uuid4())
    path.parent.mkdir(parents=True)
    path.touch()
    assert plans_of([path, path.with_suffix(".txt")]) == [uuid.UUID(path.stem)]
    assert not holds_lines(path)

    def refused(*_args):
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(Path, "iterdir", refused)
    assert newest_marks() == {}
    with pytest.raises(JournalError):
        journals_at_hand()


def test_number_1_what_the_host_ends_is_told_to_the_vault_unless_the_console_is_a_restored_one(committed, officer):
    agent, other = factories.staff("agent"), factories.staff("agent")
    before = consoles.remembered().sequence or 0
    assert command("end_access", agent.person.employee_number)[0] == 0
    told = consoles.remembered().sequence
    assert told > before
    with backup() as restored, restored():
        assert command("end_access", other.person.employee_number)[0] == 0
        assert consoles.remembered().sequence == told


def test_first_links_that_lapsed_are_made_anew_for_the_same_persons(committed):
    status, first = create_first_accounts()
    assert status == 0
    assert create_first_accounts()[0] == 1
    assert Client().post(first["officer9"], {"password": NEW, "again": NEW}).status_code == 302
    SignInLink.objects.filter(ended_at=None).update(expires_at=Now())
    status, again = create_first_accounts()
    # Whoever has a password keeps it.
    assert (status, set(again)) == (0, {"admin9"})
    assert Staff.objects.count() == 2
    assert Client().get(first["admin9"]).status_code == 410
    assert Client().post(again["admin9"], {"password": NEW, "again": NEW}).status_code == 302


def test_another_person_under_a_number_that_is_given_is_refused_in_english(committed):
    """Also by a console whose language is Japanese; and nobody is entered."""
    create_first_accounts()
    SignInLink.objects.filter(ended_at=None).update(expires_at=Now())
    status, said = create_first_accounts(officer=["E92", "別 人", "sg", "officer9"])
    assert status == 2
    assert said.isascii()
    assert "already exists" in said
    assert "Nobody was entered" in said
    assert not SignInLink.objects.filter(ended_at=None, expires_at__gt=Now()).exists()
