"""Import: members sealed, findable, with history, deemed consent and ledger, beside stock ``bulk_create_with_history``.

The mark is for the import as users run it: from JSON lines to the last commit, with parsing and every check of the
form. Its peer reads the same lines with our parser, which is handed to it for nothing, and writes the same rows in
clear: member, contact points, addressees and payment means with history by ``bulk_create_with_history``, and consent
events, accepted versions, ledger events and search keys by ``bulk_create``. It makes no key and seals nothing.

Two lines more, for information. One leaves parsing out on both sides. The other sets the whole import against a peer
that is handed parsed members and writes the four tables of data with their history and nothing else.

In each round everybody imports the same number of people, one after the other, and they take turns in who is first.
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
from tests.benchmarks.measuring import Line, compare, rate
from tests.benchmarks.peers import PeerMember, import_data, import_lines, import_rows

NAME = "import"
SIZE = 2_000
WARM_UP = 500
ENTITIES = frozenset({"jp", "kr", "sg"})
LINES = (
    Line("import, from JSON lines", "lines", "same rows in clear, same parser", "peer_lines", mark=5.0),
    Line("import, parsed beforehand", "rows", "same rows in clear", "peer_rows"),
    Line("import, from JSON lines", "lines", "data rows in clear only, parsed beforehand", "peer_data"),
)


def measure(*, size, rounds):
    """Comparisons of ``size`` members in each of ``rounds`` rounds, after a small one that warms every side up."""
    actor = factories.staff("supervisor")
    rows = people(2 * (WARM_UP + rounds * size), seed=1, today=timezone.localdate())
    _round(rows, WARM_UP, actor, turn=0)
    return compare((_round(rows, size, actor, turn=turn) for turn in range(rounds)), LINES, unit="members/s")


def _round(rows, size, actor, *, turn):
    """{name: members a second} of each way to import."""
    first, second = (list(itertools.islice(rows, size)) for _ in range(2))
    lines = [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in first]
    file = io.BytesIO(b"".join(lines))
    parsed = [parse(row, entities=ENTITIES) for row in second]
    before = Member.objects.count(), PeerMember.objects.count()
    works = {
        "lines": lambda: import_members(numbered_lines(file), actor=actor, rejects=_NoRejects()),
        "rows": lambda: [join_many(parsed[n : n + CHUNK], actor=actor) for n in range(0, size, CHUNK)],
        "peer_lines": lambda: import_lines(lines, entities=ENTITIES, actor=actor),
        "peer_rows": lambda: import_rows(parsed, actor=actor),
        "peer_data": lambda: import_data(parsed, actor=actor),
    }
    order = list(works)
    start = turn % len(order)
    rates = {name: rate(works[name], size) for name in order[start:] + order[:start]}
    assert (Member.objects.count(), PeerMember.objects.count()) == (before[0] + 2 * size, before[1] + 3 * size)
    return rates


class _NoRejects(Rejects):
    """Made-up rows are good ones."""

    def __init__(self):
        self._file = None

    def add(self, line, faults):
        """A row that was rejected would not have been measured."""
        raise AssertionError([fault.code for fault in faults])
