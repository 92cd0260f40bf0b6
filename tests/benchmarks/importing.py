"""Import: members sealed, findable, with history, deemed consent and ledger, beside stock ``bulk_create_with_history``.

Ours is measured as users run it: from JSON lines to the last commit, with parsing and every check of the form. A second
line of the table leaves parsing out. The peer is handed parsed members for nothing, and writes the rows of member,
contact points, addressees and payment means with their history, in clear. It writes no consent, ledger or lookups.
In each round the three import the same number of people one after the other, and take turns in who is first.
"""

import io
import itertools
import json

from django.utils import timezone

from consent.demo.people import people
from consent.importing import CHUNK, import_members
from consent.services.joining import join_many
from members.intake import parse
from members.lines import Rejects, numbered_lines
from members.models import Member
from tests import factories
from tests.benchmarks.measuring import compare, rate
from tests.benchmarks.peers import PeerMember, import_in_clear

NAME = "import"
MARK = 5.0
SIZE = 4_000
WARM_UP = 500
ENTITIES = frozenset({"jp", "kr", "sg"})


def measure(*, size, rounds):
    """Comparisons of ``size`` members in each of ``rounds`` rounds, after a small one that warms every side up."""
    actor = factories.staff("supervisor")
    rows = people(2 * (WARM_UP + rounds * size), seed=1, today=timezone.localdate())
    _round(rows, WARM_UP, actor, turn=0)
    return compare(
        (_round(rows, size, actor, turn=turn) for turn in range(rounds)),
        peer="bulk_create_with_history, equal rows in clear",
        unit="members/s",
        imported=("import_members, from JSON lines", MARK),
        joined=("join_many, parsed beforehand", None),
    )


def _round(rows, size, actor, *, turn):
    """{name: members a second} of the import, of the import without parsing, and of the peer."""
    first, second = (list(itertools.islice(rows, size)) for _ in range(2))
    lines = b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in first)
    parsed = [parse(row, entities=ENTITIES) for row in second]
    before = Member.objects.count(), PeerMember.objects.count()
    works = {
        "imported": lambda: import_members(numbered_lines(io.BytesIO(lines)), actor=actor, rejects=_NoRejects()),
        "joined": lambda: [join_many(parsed[n : n + CHUNK], actor=actor) for n in range(0, size, CHUNK)],
        "peer": lambda: import_in_clear(parsed, actor=actor),
    }
    order = list(works)
    order = order[turn % 3 :] + order[: turn % 3]
    rates = {name: rate(works[name], size) for name in order}
    assert (Member.objects.count(), PeerMember.objects.count()) == (before[0] + 2 * size, before[1] + size)
    return rates


class _NoRejects(Rejects):
    """Made-up rows are good ones."""

    def __init__(self):
        self._file = None

    def add(self, line, faults):
        """A row that was rejected would not have been measured."""
        raise AssertionError([fault.code for fault in faults])
