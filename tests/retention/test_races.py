"""Whoever comes between planning and destruction wins, or comes too late: 200 rounds against a run under way.

A run in a process of its own destroys one member after another and says at which named point it is; there the rival
acts, in this process. In its own transaction, while it holds what the run would need, the rival sees whether the key is
alive: if it is, it must be alive when everything is over.
"""

import datetime
import itertools
import os

import pytest
from django.db import connections, transaction

from access_control.codes import Reason
from access_control.ledger import acting
from access_control.vault import store
from access_control.vault.categories import Category
from members.models import ContactPoint, Member
from members.services.corrections import apply_correction, ask_correction
from retention import points
from retention.models import LegalHold, Parked, Rule, Start
from retention.points import Point
from retention.services import holds, items, purging
from retention.services.holds import NothingLeft, place_legal_hold
from retention.services.purging import run_plan
from retention.services.rules import Period, built_in, publish_rules
from tests import factories
from tests.databases import become
from tests.faults.killing import nobody_purges
from tests.retention.conftest import approved, decided_long_ago, ended, verify

pytestmark = pytest.mark.races

# From before the lock to after the end.
MOMENTS = (
    Point.BEGUN,
    Point.LOCKED,
    Point.CHECKED,
    Point.ERASED,
    Point.INTENDED,
    Point.DESTROYED,
    Point.RECORDED,
    Point.COMMITTED,
    Point.COMPLETED,
)
_numbers = itertools.count(1)


def member():
    number = next(_numbers)
    return factories.member(member_number=f"X{number:07d}", login_id=f"rival{number}")


def watched_run(plan, rival, *, chunk=1, without_recheck=False, head_start=False):
    """Run the plan in a child, and call ``rival(chunk number, point)`` here at each point.

    ``head_start``: the run waits at its first point until the rival is through there.
    """
    gate, opener = os.pipe()

    def at(point, pipe):
        os.write(pipe, f"{point}\n".encode())
        if point == Point.BEGUN and head_start:
            os.read(gate, 1)

    def work(pipe):
        items.CHUNK = chunk
        if without_recheck:
            purging.still_due = lambda plan, some, version: (list(some), {})
        points.watch = lambda point: at(point, pipe)
        run_plan(plan)

    become("purger")
    connections.close_all()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        status = 70
        try:
            work(writing)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    become("app")
    number = 0
    with os.fdopen(reading) as said:
        for line in said:
            number += line.strip() == Point.LOCKED
            rival(number, Point(line.strip()))
            if line.strip() == Point.BEGUN:
                os.write(opener, b"x")
    _pid, status = os.waitpid(child, 0)
    os.close(gate)
    os.close(opener)
    nobody_purges()
    assert os.waitstatus_to_exitcode(status) == 0


def alive(subject, category, generation):
    return any((key.ref.category, key.ref.generation) == (category, generation) for key in store.left([subject]))


def contest(rivals, plan, **options):
    """Let each rival (key, act, moment) act at its moment; returns how many keys died that an act had found alive."""
    order = sorted(rivals, key=lambda rival: rival[0][0])
    spared, violated = set(), 0

    def rival(number, point):
        for place, (key, act, moment) in enumerate(order, 1):
            due = (number, point) == (place, moment) or (moment == Point.BEGUN and (number, point) == (0, moment))
            if due and act is not None:
                with transaction.atomic():
                    if act() and alive(*key):
                        spared.add(key)

    watched_run(plan, rival, **options)
    violated = sum(not alive(*key) for key in spared)
    return len(spared), violated


def holders(officer, count, start=0):
    """Members whose membership ended, on whom an officer places a hold."""
    found = []
    for place in range(count):
        person = ended(member())

        def act(person=person):
            try:
                place_legal_hold(person, ground="litigation", actor=officer)
            except NothingLeft:
                return False
            return True

        found.append(((person.pk, Category.IDENTITY, 1), act, MOMENTS[(place + start) % len(MOMENTS)]))
    return found


def returners(agent, count, start=0):
    """Members whose membership ended and stands again, by the column that the service changes under its lock."""
    found = []
    for place in range(count):
        person = ended(member())

        def act(person=person):
            return stands_again(person)

        found.append(((person.pk, Category.IDENTITY, 1), act, MOMENTS[(place + start) % len(MOMENTS)]))
    return found


def stands_again(person):
    """Whether the membership had ended; it stands again."""
    with acting(None, reason=Reason.CHANGED_MIND):
        locked = Member.objects.select_for_update(no_key=True).get(pk=person.pk)
        if locked.state != Member.State.ENDED:
            return False
        locked.state, locked.ended_at = Member.State.ACTIVE, None
        locked.save(update_fields=["state", "ended_at"])
        return True


def correctors(agent, count, start=0):
    """Active members with a superseded address, who ask for another correction of the same category."""
    found = []
    for place in range(count):
        person = member()
        case = factories.identify(factories.case(person, agent))
        mail = ContactPoint.objects.get(member=person, kind="email")
        first = ask_correction(case, item="contact.email", row=mail.pk, text="first@example.net", actor=agent)
        apply_correction(first, actor=agent)
        decided_long_ago(first)

        def act(case=case, mail=mail):
            ask_correction(case, item="contact.email", row=mail.pk, text="second@example.net", actor=agent)
            return True

        found.append(((person.pk, Category.CONTACT, 1), act, MOMENTS[(place + start) % len(MOMENTS)]))
    return found


@pytest.mark.parametrize("kind", [holders, returners, correctors], ids=lambda kind: kind.__name__)
def test_who_comes_before_wins(committed, kind):
    """Fifty rounds of each."""
    actor = factories.staff("officer" if kind is holders else "agent")
    spared = 0
    for turn in range(5):
        rivals = kind(actor, 10, start=turn * 2)
        plan = approved()
        assert {key[0] for key, _act, _moment in rivals} <= set(plan.lines.values_list("subject", flat=True))
        # In the first round the rival of the first moment certainly comes before.
        won, violated = contest(rivals, plan, head_start=turn == 0)
        assert violated == 0
        spared += won
        found = verify(plan)
        assert (found.failed_count, found.findings) == (0, [])
    # Both orders happened.
    assert 0 < spared < 50


def with_grace(days):
    """The built-in rules with another grace period."""
    return {
        entity: [
            Period(one.category, one.start, Rule.Ground.PURPOSE, (0, days))
            if one.start == Start.MEMBERSHIP_ENDED
            else one
            for one in periods
        ]
        for entity, periods in built_in().items()
    }


def test_a_due_date_that_moves_wins(committed):
    """Each moment three times: new rules, with a longer grace, come into force while a run is under way."""
    spared, rounds = 0, 3 * len(MOMENTS)
    for turn in range(rounds):
        day = datetime.date(2020, 1, 1) + datetime.timedelta(days=2 * turn)
        publish_rules(with_grace(30), effective_on=day, actor=None)
        people = sorted((ended(member()) for _once in range(2)), key=lambda one: one.pk)
        plan = approved()
        assert set(plan.lines.values_list("subject", flat=True)) == {one.pk for one in people}

        def act(day=day):
            publish_rules(with_grace(3_000), effective_on=day + datetime.timedelta(days=1), actor=None)
            return True

        moment = MOMENTS[turn % len(MOMENTS)]
        keys = [(one.pk, Category.IDENTITY, 1) for one in people]
        found = set()

        def rival(number, point, act=act, moment=moment, keys=keys, found=found):
            if (number, point) == (0 if moment == Point.BEGUN else 1, moment):
                with transaction.atomic():
                    act()
                    found |= {key for key in keys if alive(*key)}

        # In the first round the rival certainly comes before; at DESTROYED and later, too late for the first member.
        watched_run(plan, rival, head_start=turn == 0)
        assert [key for key in found if not alive(*key)] == []
        spared += len(found)
        assert Parked.objects.filter(plan=plan).exclude(reason=Parked.Reason.NOT_DUE).count() == 0
        for one in people:
            stands_again(one)
    assert 0 < spared < 2 * rounds


@pytest.mark.parametrize("kind", [returners, correctors], ids=lambda kind: kind.__name__)
def test_without_the_second_look_the_rounds_would_be_lost(committed, kind):
    rivals = [(key, act, Point.BEGUN) for key, act, _moment in kind(factories.staff("agent"), 10)]
    assert contest(rivals, approved(), without_recheck=True, head_start=True) == (10, 10)


def test_without_the_second_look_new_rules_would_come_too_late(committed):
    publish_rules(with_grace(30), effective_on=datetime.date(2020, 1, 1), actor=None)
    person = ended(member())

    def rival(number, point):
        if (number, point) == (0, Point.BEGUN):
            publish_rules(with_grace(3_000), effective_on=datetime.date(2020, 1, 2), actor=None)

    watched_run(approved(), rival, without_recheck=True, head_start=True)
    assert not alive(person.pk, Category.IDENTITY, 1)


def test_a_hold_is_kept_by_the_vault_alone_and_by_the_second_look_alone(committed, monkeypatch):
    officer = factories.staff("officer")
    rivals = [(key, act, Point.BEGUN) for key, act, _moment in holders(officer, 4)]
    plan = approved()
    assert contest(rivals, plan, without_recheck=True, head_start=True) == (4, 0)
    assert set(Parked.objects.filter(plan=plan).values_list("reason", flat=True)) == {"legal_hold"}
    monkeypatch.setattr(holds.store, "freeze", lambda *args, **options: 0)
    rivals = [(key, act, Point.BEGUN) for key, act, _moment in holders(officer, 4)]
    plan = approved()
    assert contest(rivals, plan, head_start=True) == (4, 0)
    rivals = [(key, act, Point.BEGUN) for key, act, _moment in holders(officer, 4)]
    assert contest(rivals, approved(), without_recheck=True, head_start=True) == (4, 4)
    assert LegalHold.objects.filter(lifted_at=None).count() == 12
