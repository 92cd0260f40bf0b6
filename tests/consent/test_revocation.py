"""Revoking while readers reveal: true once it returns. Real commits, real threads."""

import threading
import time

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connections

from access_control import policies
from access_control.codes import Purpose
from access_control.models import LedgerEvent
from access_control.vault.ring import KeyRing
from consent.gate import Refused
from consent.services.doors import reveal
from members.models import ContactPoint, MemberGrant
from members.services.grants import revoke_grants
from tests import factories
from tests.databases import somebody_waits

pytestmark = pytest.mark.races

READERS = 20


@pytest.fixture
def scene(committed):
    agent, supervisor, member = factories.staff("agent"), factories.staff("supervisor"), factories.member()
    case = factories.identify(factories.case(member, agent))
    row = ContactPoint.objects.get(member=member, kind="email")
    return agent, supervisor, case, row


def run_readers(scene, monkeypatch):
    """Twenty readers reveal in a loop; a supervisor revokes in the middle.

    Returns (reveals that began after the revocation had returned and showed a value, openings after it returned,
    values shown before).
    """
    agent, supervisor, case, row = scene
    revoked_at = []
    opened, shown_late, shown_before, failures = [], [], [], []
    stop = threading.Event()
    warm = threading.Semaphore(0)
    true_open = KeyRing.open_sealed

    def witnessed(ring, instance, name):
        text = true_open(ring, instance, name)
        opened.append(time.monotonic())
        return text

    monkeypatch.setattr(KeyRing, "open_sealed", witnessed)

    def read():
        try:
            first = True
            while not stop.is_set():
                began = time.monotonic()
                try:
                    reveal(case.member, row=row.pk, field="value", purpose=Purpose.COMPLAINT, case=case, actor=agent)
                except (Refused, PermissionDenied):
                    continue
                if revoked_at and began > revoked_at[0]:
                    shown_late.append(began)
                else:
                    shown_before.append(began)
                if first:
                    first = False
                    warm.release()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test must say so
            failures.append(error)
            warm.release()
        finally:
            connections.close_all()

    readers = [threading.Thread(target=read) for _once in range(READERS)]
    for reader in readers:
        reader.start()
    for _once in readers:
        assert warm.acquire(timeout=60)
    assert revoke_grants(case, actor=supervisor) == 3
    revoked_at.append(time.monotonic())
    refusals = LedgerEvent.objects.filter(event="item:reveal_refused")
    deadline = time.monotonic() + 60
    # Long enough that every reader has been refused after the revocation.
    while refusals.count() < READERS * 2 and time.monotonic() < deadline:
        pass
    stop.set()
    for reader in readers:
        reader.join(timeout=60)
    assert not failures
    return shown_late, [moment for moment in opened if moment > revoked_at[0]], shown_before


def test_nothing_is_shown_or_opened_after_a_revocation_returned(scene, monkeypatch):
    late, opened_after, before = run_readers(scene, monkeypatch)
    assert before
    assert late == []
    assert opened_after == []


def test_without_the_second_check_a_reveal_in_flight_opens_after_the_revocation(scene, monkeypatch):
    """The guard is what holds: taken out, a reveal that was checked before the revocation still opens after it."""
    agent, supervisor, case, row = scene
    held = policies.hold

    def revoke_then(check):
        def at_the_second_check(actor, action, **rest):
            if action != "members.reveal_member":
                return held(actor, action, **rest)

            # The revocation falls exactly between the two transactions, in a connection of its own.
            def revoke():
                revoke_grants(case, actor=supervisor)
                connections.close_all()

            other = threading.Thread(target=revoke)
            other.start()
            other.join(timeout=30)
            assert not other.is_alive()
            return check(actor, action, **rest)

        return at_the_second_check

    arguments = {"row": row.pk, "field": "value", "purpose": Purpose.COMPLAINT, "case": case, "actor": agent}
    monkeypatch.setattr(policies, "hold", revoke_then(held))
    with pytest.raises(PermissionDenied):
        reveal(case.member, **arguments)
    assert not MemberGrant.objects.live().filter(case=case).exists()

    factories.reopen_grants(case)
    monkeypatch.setattr(policies, "hold", revoke_then(lambda actor, action, **rest: None))
    assert reveal(case.member, **arguments).text == "hanako.yamada@example.jp"


def test_a_revocation_waits_for_a_reveal_in_flight(scene, monkeypatch):
    """While a reveal holds its share locks, the revocation does not return."""
    agent, supervisor, case, row = scene
    opening, finish, revoked = threading.Event(), threading.Event(), threading.Event()
    true_open = KeyRing.open_sealed

    def slow(ring, instance, name):
        opening.set()
        assert finish.wait(timeout=30)
        return true_open(ring, instance, name)

    monkeypatch.setattr(KeyRing, "open_sealed", slow)
    texts = []

    def read():
        shown = reveal(case.member, row=row.pk, field="value", purpose=Purpose.COMPLAINT, case=case, actor=agent)
        texts.append(shown.text)
        connections.close_all()

    def revoke():
        revoke_grants(case, actor=supervisor)
        revoked.set()
        connections.close_all()

    reader, revoker = threading.Thread(target=read), threading.Thread(target=revoke)
    reader.start()
    assert opening.wait(timeout=30)
    revoker.start()
    assert somebody_waits()
    assert not revoked.is_set()
    finish.set()
    reader.join(timeout=30)
    revoker.join(timeout=30)
    assert texts == ["hanako.yamada@example.jp"]
    assert revoked.is_set()


def test_ledger_and_vault_have_committed_their_records_before_a_value_is_opened(scene, monkeypatch, as_role):
    """Asked in sessions of another role, which see only what is committed, at the moment of opening."""
    agent, _supervisor, case, row = scene
    true_open = KeyRing.open_sealed
    seen = []

    def witnessed(ring, instance, name):
        with as_role("reader") as ledger, as_role("owner", "vault") as vault:
            ledger.execute("SELECT id FROM access_control_ledgerevent WHERE event = 'item:revealed'")
            events = [event for (event,) in ledger.fetchall()]
            vault.execute("SELECT event FROM vault_fetchrecord WHERE event = ANY (%s)", [events])
            seen.append((len(events), [event for (event,) in vault.fetchall()] == events))
        return true_open(ring, instance, name)

    monkeypatch.setattr(KeyRing, "open_sealed", witnessed)
    reveal(case.member, row=row.pk, field="value", purpose=Purpose.COMPLAINT, case=case, actor=agent)
    assert seen == [(1, True)]
