"""Number 1: a vault that was restored into the same database is noticed by what the console noted that it told.

The clone of the vault is given the identity of the database that the console noted (``vault_unnoticed``).
"""

import uuid
from pathlib import Path

import psycopg
import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from access_control import restore
from access_control.codes import Reason
from access_control.ledger import acting
from access_control.models import ToldMark
from access_control.restore import Sign
from access_control.vault import consoles, store
from access_control.vault.categories import Category
from access_control.vault.errors import AnotherConsole
from retention.events import Event
from retention.models import LegalHold
from retention.services.holds import place_legal_hold
from tests import factories
from tests.retention.test_restores import accept, backup, command


def vault_unnoticed(as_role):
    """The database identities agree, as after a restore of the vault into the same database."""
    own = consoles.remembered().itself
    with as_role("owner", "default") as cursor:
        cursor.execute("ALTER TABLE access_control_vaultidentity DISABLE TRIGGER append_only")
        cursor.execute("UPDATE access_control_vaultidentity SET database = %s", [own.database])


def work(officer):
    with acting(officer, reason=Reason.DAILY_WORK) as act:
        act.record(Event.PLAN_READ)


def noted():
    return ToldMark.objects.values_list("sequence", flat=True).first()


def test_a_vault_restored_in_place_is_noticed_although_nothing_was_destroyed(
    committed, client, officer, supervisor, as_role, settings
):
    """The hold that it forgot freezes nothing in it."""
    member = factories.member()
    Path(settings.CONSOLE_JOURNAL).mkdir()
    with backup("vault") as restored:
        place_legal_hold(member, ground=LegalHold.Ground.LITIGATION, actor=officer)
        restore.refuse_restored()
        with restored():
            vault_unnoticed(as_role)
            assert not any(key.frozen for key in store.left([member.pk]))
            assert restore.look() == [Sign.VAULT_FORGOT]
            client.force_login(officer)
            assert client.get(reverse("admin:index")).status_code == 503
            assert command("plan_purge")[0] == 1
            for call in (
                consoles.tell,
                lambda: store.fetch([member.pk], [Category.IDENTITY], event=uuid.uuid4()),
                lambda: store.freeze([member.pk], list(Category), hold=False),
            ):
                with pytest.raises(AnotherConsole):
                    call()
            assert restore.look() == [Sign.VAULT_FORGOT]
            accept(officer, supervisor)
            assert restore.look() == []
            assert command("plan_purge")[0] == 0


def test_what_the_vault_rolls_back_is_not_noted(committed, officer):
    work(officer)
    restore.refuse_restored()
    before = noted()
    assert before is not None
    work(officer)
    with transaction.atomic(using="vault"):
        restore.refuse_restored()
        transaction.set_rollback(True, using="vault")
    assert noted() == before
    assert restore.look() == []
    restore.refuse_restored()
    assert noted() > before


def test_who_is_told_between_the_two_questions_closes_nothing(committed, officer, monkeypatch):
    """The vault is asked, then somebody else tells it more and notes that, then the console is asked."""
    work(officer)
    restore.refuse_restored()
    asked = restore.console_beside

    def overtaken(vault):
        monkeypatch.setattr(restore, "console_beside", asked)
        work(officer)
        restore.refuse_restored()
        return asked(vault)

    for look in (restore.look, restore.look_briefly):
        monkeypatch.setattr(restore, "console_beside", overtaken)
        assert look() == []


def test_what_was_noted_only_grows(committed, officer, as_role):
    work(officer)
    restore.refuse_restored()
    before = noted()
    restore.note_told(restore.console_beside(consoles.remembered()), before - 1)
    assert noted() == before
    for role in ("app", "purger"):
        with as_role(role, "default") as cursor, pytest.raises(psycopg.Error, match="only grows"):
            cursor.execute("UPDATE access_control_toldmark SET sequence = sequence - 1")


def test_it_is_noted_every_few_seconds_not_with_every_request(committed, client, officer):
    client.force_login(officer)
    client.get(reverse("admin:index"))
    first = noted()
    assert first is not None
    work(officer)
    with CaptureQueriesContext(connections["default"]) as queries:
        client.get(reverse("admin:index"))
    assert not [query for query in queries if "INSERT INTO access_control_toldmark" in query["sql"]]
    assert noted() == first
