"""Number 2: a run whose console connection dies is overtaken by nobody.

The session that holds the locks is ended at everything the run does, while the process lives. Rivals act at once.
Either they find the data gone and are refused, or they decide and the data lives; they never decide about what dies
later.
"""

import contextlib
import datetime
import itertools
import threading
import time

import pytest
from django.db import connections, transaction

from access_control.vault import store
from access_control.vault.categories import Category
from access_control.vault.errors import Destroyed
from members.models import ContactPoint, Transaction
from members.services import locking
from members.services.cases import open_case
from members.services.corrections import apply_correction, ask_correction
from members.services.locking import DataDestroyed
from retention.points import Point
from retention.services import purging
from retention.services.holds import NothingLeft, place_legal_hold
from retention.services.memberships import return_to_membership
from retention.services.rules import publish_rules
from tests import factories
from tests.databases import become
from tests.faults.killing import run_and_cut, run_and_kill
from tests.retention.conftest import approved, decided_long_ago, ended, verify
from tests.retention.test_races import alive, with_grace

_numbers = itertools.count(1)


def member():
    number = next(_numbers)
    return factories.member(member_number=f"O{number:07d}", login_id=f"overtaken{number}")


def held(staff):
    person = ended(member())
    return (person.pk, Category.IDENTITY, 1), lambda: place_legal_hold(person, ground="misuse", actor=staff["officer"])


def asked_about(staff):
    person = ended(member())
    act = lambda: open_case(person, kind="inquiry", channel="phone", actor=staff["agent"])  # noqa: E731
    return (person.pk, Category.IDENTITY, 1), act


def returned(staff):
    """Calls, says who they are, and comes back within the grace of the rules that are in force."""
    person = ended(member(), ago=datetime.timedelta(days=31))

    def act():
        arrived = person.ended_at + datetime.timedelta(days=1)
        case = open_case(person, kind="return", channel="phone", actor=staff["agent"], arrived_at=arrived)
        return_to_membership(factories.identify(case), actor=staff["agent"])

    return (person.pk, Category.IDENTITY, 1), act


def corrected(staff):
    """Asks for another correction while an old value of the category is due."""
    person = member()
    case = factories.identify(factories.case(person, staff["agent"]))
    mail = ContactPoint.objects.get(member=person, kind="email")
    first = ask_correction(case, item="contact.email", row=mail.pk, text="first@example.net", actor=staff["agent"])
    apply_correction(first, actor=staff["agent"])
    decided_long_ago(first)
    key = (person.pk, Category.CONTACT, 1)

    def act():
        ask_correction(case, item="contact.email", row=mail.pk, text="second@example.net", actor=staff["agent"])
        if not alive(*key):
            # The wish is about the value on file; the old one is gone, and the wish changes nothing about that.
            raise DataDestroyed

    return key, act


RIVALS = (held, asked_about, returned, corrected)


def contest(rivals, *, at, change=lambda: None):
    """The rivals act when the console connection dies; returns (what the run did, who decided, who lost by it)."""
    plan = approved()
    assert {key[0] for key, _act in rivals} <= set(plan.lines.values_list("subject", flat=True))
    decided, threads = set(), []

    def decide(key, act):
        with contextlib.suppress(NothingLeft, DataDestroyed, AssertionError), transaction.atomic():
            act()
            decided.add(key)
        connections.close_all()

    def meanwhile():
        threads.extend(threading.Thread(target=decide, args=rival) for rival in rivals)
        for thread in threads:
            thread.start()
        wait_until_over_or_waiting(threads)

    acts = run_and_cut(plan, at=at, meanwhile=meanwhile, change=change)
    for thread in threads:
        thread.join(60)
    again, status = run_and_kill(plan)
    assert status == 0, again[-20:]
    found = verify(plan)
    assert (found.failed_count, found.findings) == (0, [])
    return acts, decided, {key for key in decided if not alive(*key)}


def wait_until_over_or_waiting(threads, patience=30):
    """Returns when each thread has ended, or as many sessions as are left wait for a lock."""
    deadline = time.monotonic() + patience
    names = [connections[alias].settings_dict["NAME"] for alias in ("default", "vault")]
    while time.monotonic() < deadline:
        left = sum(thread.is_alive() for thread in threads)
        with connections["default"].cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = ANY (%s) AND cardinality(pg_blocking_pids(pid)) > 0",
                [names],
            )
            if cursor.fetchone()[0] >= left:
                return
    raise TimeoutError("a rival neither ends nor waits")


@pytest.fixture
def cast(committed):
    """Who decides; rules with a grace of thirty days."""
    return {"officer": factories.staff("officer"), "agent": factories.staff("agent")}


def test_whoever_decides_while_the_console_connection_dies_keeps_the_data_or_finds_it_gone(cast):
    """Number 2: at every named point, and at a sample of the statements between them."""
    acts, decided, lost = contest([make(cast) for make in RIVALS], at="point begun")
    assert (len(decided), lost) == (4, set())
    assert acts[-1] == "failed"
    undisturbed, status = run_and_kill(approved_again(cast))
    assert status == 0
    moments = [*dict.fromkeys(act for act in undisturbed if act.startswith("point ")), "answered"]
    assert {f"point {point}" for point in Point} <= set(moments)
    both = set()
    for at in [*moments, *range(5, len(undisturbed), 11)]:
        acts, decided, lost = contest([make(cast) for make in RIVALS], at=at)
        assert lost == set(), (at, acts[-20:])
        assert decided or "cut" not in acts or gone_by(at, acts), (at, acts[-20:])
        both.add(bool(decided))
    # Both orders happened: some came before, and some too late.
    assert both == {True, False}


def gone_by(at, acts):
    """Whether the keys had been ended when the connection died: whoever comes then comes too late."""
    return "point ended" in acts[: acts.index("cut")]


def approved_again(cast):
    for make in RIVALS:
        make(cast)
    return approved()


def decide_without_waiting(monkeypatch):
    """As if whoever decides did not ask the vault under lock."""
    monkeypatch.setattr(locking.store, "lock_living", store.left)


def end_keys_unseen():
    """As if the purger did not ask whether its locks are still there, and what the vault is told were told before."""
    told = store.told()
    store.told = lambda: told
    purging._end_keys = lambda plan, items: store.destroy(
        [(item.ref, item.line) for item in items], plan_hash=bytes(plan.payload_hash)
    )


def test_without_the_vault_s_lock_the_rivals_are_lost(cast, monkeypatch):
    """Number 2: the console has answered, the vault has not committed, and nobody waits for it."""
    decide_without_waiting(monkeypatch)
    monkeypatch.setattr(store, "freeze", lambda *args, **options: 0)
    rivals = [make(cast) for make in (held, asked_about, corrected)]
    _acts, decided, lost = contest(rivals, at="answered")
    assert len(decided) == 3
    assert decided == lost


def test_without_the_purger_s_question_the_rivals_are_lost(cast):
    """Number 2: whoever decided before the vault locked anything has nothing to wait for; the purger must ask."""
    rivals = [make(cast) for make in (asked_about, returned, corrected)]
    _acts, decided, lost = contest(rivals, at="point intended", change=end_keys_unseen)
    assert len(decided) == 3
    assert decided == lost


@pytest.mark.parametrize("at", ["point checked", "point intended", "point ended", "answered", "point destroyed"])
def test_new_rules_are_not_overtaken_either(cast, at):
    """Number 2: once rules with a longer grace are published, nothing dies that they keep."""
    person = ended(member())
    key = (person.pk, Category.IDENTITY, 1)

    def publish():
        publish_rules(with_grace(3_000), effective_on=datetime.date(2026, 1, 2), actor=None)
        if not alive(*key):
            raise DataDestroyed

    _acts, decided, lost = contest([(key, publish)], at=at)
    assert lost == set()
    # Until the console has answered, the run fails; from then on, whoever publishes waits for it.
    assert bool(decided) == (at in {"point checked", "point intended", "point ended"})


def test_without_the_wait_new_rules_are_overtaken(cast, monkeypatch):
    """Number 2."""
    monkeypatch.setattr(store, "wait_for_destructions", lambda: None)
    person = ended(member())
    key = (person.pk, Category.IDENTITY, 1)
    publish = lambda: publish_rules(with_grace(3_000), effective_on=datetime.date(2026, 1, 2), actor=None)  # noqa: E731
    _acts, decided, lost = contest([(key, publish)], at="answered")
    assert decided == lost == {key}


def test_an_order_of_a_year_that_is_being_destroyed_is_refused(cast, monkeypatch):
    """Number 2: it is never accepted under a key that is gone a moment later."""

    def rival():
        number = next(_numbers)
        person = factories.member(member_number=f"O{number:07d}", login_id=f"overtaken{number}")
        factories.transaction(f"O{number:07d}", ordered_on="2017-05-02")
        key = (person.pk, Category.STATUTORY, 2017)
        return key, lambda: factories.transaction(f"O{number:07d}", ordered_on="2017-06-02")

    for at in ("answered", "point destroyed"):
        _acts, decided, _lost = contest([rival()], at=at)
        assert decided == set(), at
        assert not Transaction.objects.exists()
    # Without the lock the orders on file are opened first; the vault has it wait, and the key is gone.
    monkeypatch.setattr(store, "lock_living", store.left)
    key, act = rival()
    too_late = []

    def without_the_lock():
        with pytest.raises(Destroyed):
            act()
        too_late.append(key)
        raise DataDestroyed

    _acts, decided, lost = contest([(key, without_the_lock)], at="answered")
    assert (decided, lost, too_late) == (set(), set(), [key])


def test_the_purger_s_sessions_are_not_ended_for_being_idle(cast):
    """Number 2: whatever an operator has set for the role."""
    limits = ("idle_in_transaction_session_timeout", "idle_session_timeout", "transaction_timeout")
    shown = (
        "SELECT name, setting FROM pg_settings WHERE name = ANY (%s)",
        [list(limits)],
    )
    become("purger")
    try:
        for alias in ("default", "vault"):
            with connections[alias].cursor() as cursor:
                cursor.execute(
                    "SELECT set_config(name, '600s', false) FROM pg_settings WHERE name = ANY (%s)", shown[1]
                )
        with purging.single_flight():
            for alias in ("default", "vault"):
                with connections[alias].cursor() as cursor:
                    cursor.execute(*shown)
                    found = dict(cursor.fetchall())
                assert set(limits[:2]) <= set(found)
                assert set(found.values()) == {"0"}
    finally:
        become("app")
