"""What is due: one query from facts to keys, asked by the plan, by the run under lock, by the pages and the controls.

Nothing is stored that could grow stale: a due date is derived from its event each time it is asked for, so that a
membership that stands again, a case, a correction or new rules move it at once.

What can go wrong, and why here it cannot: a key that still holds a live value could be taken for superseded. A
generation counts as superseded only when an applied correction names it or a later one, since every correction seals
all survivors of the category again, above; and the run looks into the live rows before it destroys one.
"""

import dataclasses
import datetime
import uuid
import zoneinfo
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

from django.db import connection
from django.db.models import Min

from access_control.codes import SubjectKind
from access_control.copying import array
from access_control.vault import store
from access_control.vault.categories import Category
from members.inventory import ITEMS
from retention.models import PlanExclusion, RuleVersion, Start
from retention.periods import over_on_sql

TOKYO = zoneinfo.ZoneInfo("Asia/Tokyo")
# Subjects looked at, and destroyed, at a time.
CHUNK = 2_000


def _branch(subject: str, kind: str, generations: tuple[str, str], started: str, source: str, condition: str) -> str:
    lowest, highest = generations
    due_on = over_on_sql(started)
    return f"""
SELECT {subject} AS subject, '{kind}' AS kind, r.category, {lowest} AS lowest, {highest} AS highest, r.start,
       {started} AS started_on, {due_on} AS due_on, r.id AS rule
  FROM {source}
 WHERE r.version_id = %(version)s AND {condition} AND {due_on} <= %(as_of)s
   AND (%(subjects)s::uuid[] IS NULL OR {subject} = ANY (%(subjects)s::uuid[]))"""


_TOKYO = "({} AT TIME ZONE 'Asia/Tokyo')::date"
# A fiscal year is called by the calendar year in which it starts. Its end is the event from which its period counts.
_YEAR_END = "make_date(t.fiscal_year + 1, e.fiscal_year_starts, 1) - 1"
_CASE_KEY = "('x' || left(replace(c.id::text, '-', ''), 16))::bit(64)::bigint"
_ANY = ("0::bigint", "9223372036854775807::bigint")

# Subject × category × range of generations → the day it is due, for everything due by ``as_of``.
_DUE = " UNION ALL ".join(
    (
        _branch(
            "m.id",
            SubjectKind.MEMBER,
            _ANY,
            _TOKYO.format("m.ended_at"),
            "members_member m JOIN retention_rule r ON r.entity_id = m.entity_id AND r.start = 'membership_ended'",
            "m.state = 'ended' AND m.ended_at < %(end)s",
        ),
        _branch(
            "c.member_id",
            SubjectKind.MEMBER,
            ("0::bigint", "c.superseded_generation"),
            _TOKYO.format("c.decided_at"),
            "members_correction c JOIN members_member m ON m.id = c.member_id JOIN retention_rule r"
            " ON r.entity_id = m.entity_id AND r.start = 'value_superseded' AND r.category = c.superseded_category",
            "c.superseded_generation IS NOT NULL AND c.decided_at < %(end)s AND m.state <> 'destroyed'"
            " AND NOT EXISTS (SELECT FROM retention_certificateline x WHERE (x.subject, x.category, x.generation)"
            " = (c.member_id, c.superseded_category, c.superseded_generation))",
        ),
        _branch(
            "t.member_id",
            SubjectKind.MEMBER,
            ("t.fiscal_year::bigint", "t.fiscal_year::bigint"),
            _YEAR_END,
            "(SELECT DISTINCT member_id, fiscal_year FROM members_transaction"
            "  WHERE fiscal_year < %(year)s"
            "    AND (%(subjects)s::uuid[] IS NULL OR member_id = ANY (%(subjects)s::uuid[]))) t"
            " JOIN members_member m ON m.id = t.member_id JOIN access_control_entity e ON e.code = m.entity_id"
            " JOIN retention_rule r ON r.entity_id = m.entity_id AND r.start = 'transaction'",
            "true",
        ),
        _branch(
            "c.member_id",
            SubjectKind.MEMBER,
            (_CASE_KEY, _CASE_KEY),
            _TOKYO.format("c.closed_at"),
            "members_case c JOIN members_member m ON m.id = c.member_id"
            " JOIN retention_rule r ON r.entity_id = m.entity_id AND r.start = 'case_closed'",
            "c.state = 'closed' AND c.closed_at < %(end)s AND m.state <> 'destroyed' AND NOT EXISTS (SELECT FROM"
            " retention_certificateline x WHERE (x.subject, x.category, x.generation) ="
            f" (c.member_id, {int(Category.CORRESPONDENCE)}, {_CASE_KEY}))",
        ),
        _branch(
            "c.id",
            SubjectKind.CASE,
            (_CASE_KEY, _CASE_KEY),
            _TOKYO.format("c.closed_at"),
            "members_case c JOIN access_control_staff s ON s.id = c.owner_id"
            " JOIN access_control_person p ON p.id = s.person_id"
            " JOIN retention_rule r ON r.entity_id = p.entity_id AND r.start = 'case_closed'",
            "c.state = 'closed' AND c.closed_at < %(end)s AND EXISTS (SELECT FROM members_casenote n"
            " WHERE n.subject_id = c.id AND n.text IS NOT NULL)",
        ),
    )
)


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A row of the query: generations ``lowest`` to ``highest`` of a category are due, if there are keys."""

    subject: uuid.UUID
    kind: str
    category: int
    lowest: int
    highest: int
    start: str
    started_on: datetime.date
    due_on: datetime.date
    rule: uuid.UUID


@dataclasses.dataclass(frozen=True, slots=True)
class DueKey:
    """A living key that is due, since when, and the rule that says so. ``frozen``: the vault would refuse."""

    subject: uuid.UUID
    kind: str
    category: int
    generation: int
    start: str
    started_on: datetime.date
    due_on: datetime.date
    rule: uuid.UUID
    frozen: bool


def _parameters(as_of: datetime.date, version: RuleVersion, subjects: Sequence[uuid.UUID] | None) -> dict[str, Any]:
    return {
        "version": version.pk,
        "as_of": as_of,
        # Nothing that happens later than the day can be due on it: lets the indexes stop there.
        "end": datetime.datetime.combine(
            as_of, datetime.time.max, tzinfo=datetime.timezone(datetime.timedelta(hours=9))
        ),
        "year": _no_books_from(as_of, version),
        "subjects": None if subjects is None else array(subjects),
    }


def _no_books_from(as_of: datetime.date, version: RuleVersion) -> int:
    """The first fiscal year of which nothing can be due yet under any rule: lets the index of years stop there."""
    shortest = version.rules.filter(start=Start.TRANSACTION).aggregate(months=Min("keep_months"))["months"] or 0
    return (as_of.year * 12 + as_of.month - 1 - int(shortest)) // 12


def _candidates(as_of: datetime.date, version: RuleVersion) -> Iterator[Candidate]:
    with connection.chunked_cursor() as cursor:
        cursor.execute(f"{_DUE} ORDER BY 1", _parameters(as_of, version, None))
        while rows := cursor.fetchmany(10_000):
            yield from (Candidate(*row) for row in rows)


def due_chunks(as_of: datetime.date, *, version: RuleVersion) -> Iterator[list[DueKey]]:
    """Everything due by ``as_of`` (Tokyo), in chunks of at most ``CHUNK`` subjects, by subject. Flat memory."""
    chunk: list[Candidate] = []
    subjects = 0
    for _subject, candidates in groupby(_candidates(as_of, version), attrgetter("subject")):
        chunk += candidates
        subjects += 1
        if subjects == CHUNK:
            yield _living(chunk)
            chunk, subjects = [], 0
    if chunk:
        yield _living(chunk)


def due_now(subjects: Sequence[uuid.UUID], as_of: datetime.date, *, version: RuleVersion) -> list[DueKey]:
    """What of these subjects is due by ``as_of``: the same question, asked again."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE, _parameters(as_of, version, subjects))
        return _living([Candidate(*row) for row in cursor.fetchall()])


def not_due(
    lines: Sequence[uuid.UUID], as_of: datetime.date, *, of: Sequence[uuid.UUID], version: RuleVersion
) -> set[uuid.UUID]:
    """Which of these plan lines, all ``of`` these subjects, are not due any more: the same question, asked again."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH asked AS (SELECT * FROM retention_planline WHERE id = ANY (%(lines)s::uuid[])), due AS ({_DUE})"
            " SELECT a.id FROM asked a WHERE NOT EXISTS (SELECT FROM due d WHERE d.subject = a.subject"
            "   AND d.category = a.category AND a.generation BETWEEN d.lowest AND d.highest)",
            _parameters(as_of, version, of) | {"lines": array(lines)},
        )
        return {row[0] for row in cursor.fetchall()}


def _living(candidates: Sequence[Candidate]) -> list[DueKey]:
    """The living keys that the candidates name, each once, by the rule that makes it due first."""
    wanted: dict[tuple[uuid.UUID, int], list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        wanted[candidate.subject, candidate.category].append(candidate)
    found = []
    for key in store.left(sorted({candidate.subject for candidate in candidates})):
        ref = key.ref
        naming = [
            candidate
            for candidate in wanted.get((ref.subject, ref.category), ())
            if candidate.lowest <= ref.generation <= candidate.highest
        ]
        if naming:
            first = min(naming, key=lambda candidate: (candidate.due_on, candidate.start))
            found.append(
                DueKey(
                    ref.subject,
                    first.kind,
                    ref.category,
                    ref.generation,
                    first.start,
                    first.started_on,
                    first.due_on,
                    first.rule,
                    key.frozen,
                )
            )
    return found


# Of somebody who is being answered, nothing is taken away but what the answer does not need.
_WAITS_FOR_CASES = frozenset({Start.MEMBERSHIP_ENDED.value, Start.CASE_CLOSED.value})


_OBSTACLES = """
SELECT member_id, 'hold', '' FROM retention_legalhold WHERE lifted_at IS NULL AND member_id = ANY (%(subjects)s::uuid[])
UNION ALL
SELECT member_id, 'case', '' FROM members_case WHERE state = 'open' AND member_id = ANY (%(subjects)s::uuid[])
UNION ALL
SELECT c.id, 'hold', '' FROM members_case c JOIN retention_legalhold h ON h.member_id = c.member_id
 WHERE h.lifted_at IS NULL AND c.id = ANY (%(subjects)s::uuid[])
UNION ALL
SELECT c.id, 'case', '' FROM members_case c JOIN members_case o ON o.member_id = c.member_id
 WHERE o.state = 'open' AND c.id = ANY (%(subjects)s::uuid[])
UNION ALL
SELECT member_id, 'suspension', item FROM members_suspension
 WHERE ended_at IS NULL AND member_id = ANY (%(subjects)s::uuid[])
"""


class Obstacles:
    """What keeps due data of some subjects from being destroyed, as it stands now: one query."""

    def __init__(self, subjects: Sequence[uuid.UUID]) -> None:
        found: dict[str, set[Any]] = {"hold": set(), "case": set(), "suspension": set()}
        with connection.cursor() as cursor:
            cursor.execute(_OBSTACLES, {"subjects": array(subjects)})
            for member, kind, item in cursor.fetchall():
                found[kind].add((member, int(ITEMS[item].category)) if kind == "suspension" else member)
        self._held, self._busy, self._suspended = found["hold"], found["case"], found["suspension"]

    def of(self, subject: uuid.UUID, category: int, start: str) -> str:
        """The code of what stands in the way of destroying a key that is due; "" when nothing does."""
        if subject in self._held:
            return PlanExclusion.Reason.LEGAL_HOLD
        if (subject, category) in self._suspended:
            return PlanExclusion.Reason.CORRECTION_PENDING
        if subject in self._busy and start in _WAITS_FOR_CASES:
            return PlanExclusion.Reason.OPEN_CASE
        return ""
