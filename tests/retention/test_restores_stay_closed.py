"""Number 1: nothing that happens in a restored house opens it, and the vault itself refuses a console that is behind.

Every restore here is one into the same database (``unnoticed``): only what the vault was told tells.
"""

import threading
import uuid

import pytest
from django.db import connections
from django.urls import reverse
from django.utils import timezone

from access_control import restore
from access_control.codes import Reason
from access_control.ledger import acting
from access_control.models import AcceptedRestore
from access_control.restore import Sign
from access_control.services import leave
from access_control.vault import consoles, store
from access_control.vault.categories import Category
from access_control.vault.errors import AnotherConsole
from access_control.vault.ring import keys_for
from retention import restores
from retention.events import Event
from retention.restores import Loss
from tests import factories
from tests.databases import become
from tests.retention.test_restores import backup, command, unnoticed


@pytest.fixture
def restored_in_place(committed, agent, officer, supervisor, as_role):
    """The console of before, beside a vault that was told that somebody left since."""
    with backup() as restored:
        leave(agent.person, on=timezone.localdate(), actor=officer)
        restore.refuse_restored()
        with restored() as earlier:
            unnoticed(as_role, earlier)
            yield earlier


def sign_in_wrongly(client, *accounts):
    """The open sign-in page writes events: the ledger grows past what the vault was told."""
    for account in accounts:
        client.post(reverse("admin:login"), {"username": account.username, "password": "no"})


def number_of_marks():
    return len(consoles.marks(below=2**63 - 1, most=10_000))


def open_identity_of(member, actor):
    event = uuid.uuid4()
    with acting(actor, reason=Reason.DAILY_WORK) as act:
        act.record(Event.PLAN_READ, event_id=event)
        with keys_for([member.pk], [Category.IDENTITY], event=event):
            pass


def test_a_refused_command_does_not_open_the_house(restored_in_place, client, agent, officer, supervisor):
    assert restore.look() == [Sign.LEDGER_SHORT]
    sign_in_wrongly(client, officer, supervisor, agent, officer, supervisor, agent)
    assert restore.look() == [Sign.ANOTHER_EVENT]
    marks = number_of_marks()
    for name, role in (("run_purge", "purger"), ("plan_purge", "app")):
        assert command(name, role=role)[0] == 1
        assert restore.look() == [Sign.ANOTHER_EVENT]
    assert number_of_marks() == marks
    assert not AcceptedRestore.objects.exists()


def test_a_refused_command_tells_the_vault_nothing(restored_in_place, monkeypatch):
    told = []
    monkeypatch.setattr(consoles, "tell", lambda: told.append("told"))
    assert command("plan_purge")[0] == 1
    assert told == []


def test_a_refused_command_leaves_the_list_of_losses(committed, client, officer, as_role):
    member = factories.member()
    with backup() as restored:
        open_identity_of(member, officer)
        factories.member(member_number="X0000002", login_id="new2")
        restore.refuse_restored()
        with restored() as earlier:
            unnoticed(as_role, earlier)
            sign_in_wrongly(client, officer)
            command("plan_purge")
            lost = restores.losses(restore.console_beside(consoles.remembered()), held=0)
            assert (lost[Loss.FETCHES], lost[Loss.WITHOUT_ROWS]) == (1, 1)


def test_marks_that_a_restored_console_left_hide_no_loss(committed, officer, as_role):
    """What is lost is counted from the oldest event that the console misses, whatever it holds above that."""
    member = factories.member()
    with backup() as restored:
        open_identity_of(member, officer)
        restore.refuse_restored()
        with restored() as earlier:
            unnoticed(as_role, earlier)
            for _once in range(5):
                with acting(officer, reason=Reason.DAILY_WORK) as act:
                    act.record(Event.PLAN_READ)
            said = restore.testimony(None)
            with as_role("owner", "vault") as cursor:
                cursor.execute(
                    "INSERT INTO vault_consolemark (identity_id, at, sequence, event)"
                    " SELECT max(id), clock_timestamp(), %s, %s FROM vault_consoleidentity",
                    [said.sequence, said.event],
                )
            lost = restores.losses(restore.console_beside(consoles.remembered()), held=0)
            assert lost[Loss.FETCHES] == 1


@pytest.mark.parametrize("grown", [False, True], ids=["behind", "grown past what was told"])
def test_the_vault_opens_freezes_and_destroys_nothing_for_a_console_that_is_behind(
    committed, client, hanako, officer, as_role, grown
):
    open_identity_of(hanako, officer)
    with backup() as restored:
        open_identity_of(hanako, officer)
        restore.refuse_restored()
        with restored() as earlier:
            unnoticed(as_role, earlier)
            if grown:
                sign_in_wrongly(client, *[officer] * 5)
            marks = number_of_marks()
            with pytest.raises(AnotherConsole):
                consoles.tell()
            with pytest.raises(AnotherConsole):
                store.fetch([hanako.pk], [Category.IDENTITY], event=uuid.uuid4())
            for hold in (True, False):
                with pytest.raises(AnotherConsole):
                    store.freeze([hanako.pk], list(Category), hold=hold)
            become("purger")
            try:
                with pytest.raises(AnotherConsole):
                    store.destroy([(store.left([hanako.pk])[0].ref, uuid.uuid4())], plan_hash=b"\x01" * 32)
            finally:
                become("app")
            assert number_of_marks() == marks
            assert not any(key.frozen for key in store.left([hanako.pk]))


def test_an_empty_ledger_is_behind_too(committed, hanako, officer, monkeypatch):
    open_identity_of(hanako, officer)
    restore.refuse_restored()
    empty = restore.testimony(None)._replace(sequence=None, event=None, held=None)
    monkeypatch.setattr(consoles, "testimony", lambda mark: empty)
    with pytest.raises(AnotherConsole):
        consoles.tell()


def test_who_tells_late_what_was_committed_early_closes_nothing(committed, officer, monkeypatch):
    """Another session tells more between the two questions of this one and its telling."""
    with acting(officer, reason=Reason.DAILY_WORK) as act:
        act.record(Event.PLAN_READ)
    early = consoles.told()
    with acting(officer, reason=Reason.DAILY_WORK) as act:
        act.record(Event.PLAN_READ)
    consoles.tell()
    newest = consoles.remembered().sequence
    monkeypatch.setattr(consoles, "told", lambda: early)
    consoles.tell()
    monkeypatch.undo()
    assert consoles.remembered().sequence == newest
    assert restore.look() == []


def test_who_asked_before_anything_was_told_closes_nothing(committed, officer, monkeypatch):
    """The first mark is made by somebody else, between the question of this session and its telling."""
    with acting(officer, reason=Reason.DAILY_WORK) as act:
        act.record(Event.PLAN_READ)
    nothing_told = consoles.remembered()._replace(sequence=None)
    monkeypatch.setattr(consoles, "remembered", lambda: nothing_told)
    early = consoles.told()
    monkeypatch.undo()
    consoles.tell()
    monkeypatch.setattr(consoles, "told", lambda: early)
    consoles.tell()
    assert restore.look() == []


def test_many_who_act_and_tell_at_once_are_all_heard(committed, officer):
    refused, start = [], threading.Barrier(4)

    def work():
        try:
            start.wait(30)
            for _once in range(15):
                with acting(officer, reason=Reason.DAILY_WORK) as act:
                    act.record(Event.PLAN_READ)
                    # Inside, as an opening does: the event under way is not told.
                    consoles.tell()
                consoles.tell()
                refused.extend(restore.look_briefly())
        except Exception as error:  # noqa: BLE001 - whatever it is, the test fails with it
            refused.append(error)
        finally:
            connections.close_all()

    workers = [threading.Thread(target=work) for _once in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert refused == []
    assert restore.look() == []
