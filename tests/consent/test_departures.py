"""Departures, moves, revocations and hand-overs against everything that opens: 200 rounds (number 11)."""

import contextlib
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connections

from access_control.codes import Purpose, Reason
from access_control.ledger import acting
from access_control.services import AlreadyLeft, leave, move
from access_control.vault.ring import KeyRing
from consent.gate import Refused
from consent.services.doors import reveal
from members.admin.cases import names_of_granted
from members.models import ContactPoint
from members.services.cases import CaseClosed, add_note, hand_over, read_notes
from members.services.grants import revoke_grants
from members.showing import masked_member
from tests import factories

pytestmark = pytest.mark.races

ROUNDS = 200
WORKERS = 4


def revealing(case, agent, row):
    reveal(case.member, row=row.pk, field="value", purpose=Purpose.COMPLAINT, case=case, actor=agent)


def reading(case, agent, row):
    read_notes(case, actor=agent)


def listing(case, agent, row):
    names_of_granted([case], agent)


def looking(case, agent, row):
    with acting(agent, reason=Reason.DAILY_WORK, case=case.pk) as act:
        masked_member(case.member, act=act)


def noting(case, agent, row):
    add_note(case, text="折り返しは午後", actor=agent)


OPENERS = (revealing, reading, listing, looking, noting)
ENDS = {
    "leave": lambda case, cast: leave(cast.agent.person, on=factories.TODAY, actor=None),
    "move": lambda case, cast: move(cast.agent.person, access_class="direct", actor=None),
    "revoke": lambda case, cast: revoke_grants(case, actor=cast.supervisor),
    "hand over": lambda case, cast: hand_over(case, to=cast.second, actor=cast.supervisor),
}


class Cast:
    """Who takes part in a round."""

    def __init__(self, supervisor, second):
        self.supervisor, self.second = supervisor, second
        self.agent = factories.staff("agent")


def attempts(opener, case, cast, row, over):
    """Open again and again until the round is over, and once more; when each try began, and whether it was let."""
    tried = []
    last = False
    while not last:
        last = over.is_set()
        began = time.monotonic()
        try:
            opener(case, cast.agent, row)
            tried.append((began, True))
        except (Refused, PermissionDenied, CaseClosed):
            tried.append((began, False))
    return tried


def rival(name, case, cast, over):
    """Another end of the same access at the same time; refused is fine, a deadlock is not."""
    try:
        ENDS[name](case, cast)
    except (PermissionDenied, AlreadyLeft):
        return


@pytest.fixture
def opened(monkeypatch):
    """When anything was opened."""
    moments, first = [], threading.Event()
    true_open = KeyRing.open_sealed

    def witnessed(ring, instance, name):
        text = true_open(ring, instance, name)
        moments.append(time.monotonic())
        first.set()
        return text

    monkeypatch.setattr(KeyRing, "open_sealed", witnessed)
    return moments, first


def test_nothing_is_opened_by_whoever_comes_after_the_end_and_nobody_waits_for_ever(committed, opened):
    """Number 11: leave, move, revoke, hand over; each against reveals, notes, masked lists and pages, and a rival."""
    supervisor, second = factories.staff("supervisor"), factories.staff("agent")
    pairs = itertools.cycle(itertools.product(ENDS, ENDS))
    openers = itertools.cycle(itertools.permutations(OPENERS, 3))
    moments, first = opened
    before = 0
    with ThreadPoolExecutor(WORKERS) as pool:
        for _round in range(ROUNDS):
            end, other = next(pairs)
            cast, over = Cast(supervisor, second), threading.Event()
            case = factories.identify(factories.case(factories.member(), cast.agent))
            row = ContactPoint.objects.get(member=case.member, kind="email")
            add_note(case, text="ご本人から連絡", actor=cast.agent)
            moments.clear()
            first.clear()
            openings = [pool.submit(attempts, opener, case, cast, row, over) for opener in next(openers)]
            try:
                # Only then may anybody end it: else nothing might ever be opened in this round.
                assert first.wait(timeout=30)
                rivalry = pool.submit(rival, other, case, cast, over) if other != end else None
                with contextlib.suppress(AlreadyLeft):
                    ENDS[end](case, cast)
                if rivalry is not None:
                    # Whichever was first, it is over when both have returned.
                    rivalry.result(timeout=60)
                ended = time.monotonic()
            finally:
                over.set()
            tries = [one for opening in openings for one in opening.result(timeout=60)]
            late = [moment for moment in moments if moment > ended]
            assert late == [], (end, other)
            before += sum(let for _began, let in tries)
        gate = threading.Barrier(WORKERS)
        for _worker in range(WORKERS):
            pool.submit(lambda: (gate.wait(timeout=30), connections.close_all()))
    assert before > ROUNDS
