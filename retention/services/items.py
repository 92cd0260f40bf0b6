"""The items of a run, looked at again: which are left, whose rows can be had, which are due still."""

import dataclasses
import datetime
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from django.db import DatabaseError, connection, transaction

from access_control.codes import SubjectKind
from access_control.copying import array
from access_control.vault import store
from access_control.vault.categories import Category
from access_control.vault.seal import KeyRef
from members.services.erasure import still_sealed_under
from retention.due import CHUNK, Obstacles, not_due
from retention.models import Parked, Plan, RuleVersion, Start
from retention.services.rules import RULES_LOCK

# How long PostgreSQL waits for a row that somebody works on, when it is asked for the second time.
PATIENCE = datetime.timedelta(seconds=2)
LOCK_NOT_AVAILABLE = "55P03"


@dataclasses.dataclass(frozen=True, slots=True)
class Item:
    """A planned key: its certificate line, its name, whose kind it is, and the event it is counted from."""

    line: uuid.UUID
    ref: KeyRef
    kind: str
    start: str


_SUBJECTS = (
    "SELECT DISTINCT subject FROM retention_planline WHERE plan_id = %s AND subject > %s ORDER BY subject LIMIT %s"
)
_PENDING = """
SELECT l.id, l.subject, l.category, l.generation, l.subject_kind, l.start
  FROM retention_planline l
 WHERE l.plan_id = %s AND l.subject = ANY (%s::uuid[])
   AND NOT EXISTS (SELECT FROM retention_certificateline x WHERE x.id = l.id)
   AND NOT EXISTS (SELECT FROM retention_parked p WHERE p.line_id = l.id)
 ORDER BY l.subject, l.id
"""
_NOBODY = uuid.UUID(int=0)


def pending(plan: Plan) -> Iterator[list[Item]]:
    """What is neither destroyed nor parked yet, by subject, at most ``CHUNK`` subjects at a time."""
    for subjects in subjects_of_plan(plan):
        with connection.cursor() as cursor:
            cursor.execute(_PENDING, [plan.pk, array(subjects)])
            items = [Item(row[0], KeyRef(*row[1:4]), row[4], row[5]) for row in cursor.fetchall()]
        if items:
            yield items


def subjects_of_plan(plan: Plan) -> Iterator[list[uuid.UUID]]:
    """Whom the plan is about, at most ``CHUNK`` at a time."""
    last = _NOBODY
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_SUBJECTS, [plan.pk, last, CHUNK])
            subjects = [row[0] for row in cursor.fetchall()]
        if not subjects:
            return
        yield subjects
        last = subjects[-1]


def lock(items: Sequence[Item], *, patient: bool) -> set[uuid.UUID]:
    """Lock the rows of the subjects, and the rules; returns the subjects that are locked now."""
    found: set[uuid.UUID] = set()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [RULES_LOCK])
        if patient:
            cursor.execute(f"SET LOCAL lock_timeout = {int(PATIENCE.total_seconds() * 1000)}")
        members = sorted({item.ref.subject for item in items if item.kind == SubjectKind.MEMBER})
        cases = sorted({item.ref.subject for item in items if item.kind == SubjectKind.CASE})
        if members:
            found |= _locked(cursor, "members_member", members, patient=patient)
        if cases:
            found |= _lock_cases(cursor, cases, patient=patient)
    return found


def _lock_cases(cursor: Any, cases: Sequence[uuid.UUID], *, patient: bool) -> set[uuid.UUID]:
    """A case goes with the member it names: whoever holds or answers that member has the member's row."""
    cursor.execute("SELECT id, member_id FROM members_case WHERE id = ANY (%s::uuid[])", [array(cases)])
    member_of = dict(cursor.fetchall())
    members = sorted({member for member in member_of.values() if member is not None})
    mine = _locked(cursor, "members_member", members, patient=patient) if members else set()
    free = [case for case in cases if member_of.get(case) is None or member_of[case] in mine]
    return _locked(cursor, "members_case", free, patient=patient) if free else set()


def _locked(cursor: Any, table: str, ids: Sequence[uuid.UUID], *, patient: bool) -> set[uuid.UUID]:
    sql = f"SELECT id FROM {table} WHERE id = ANY (%s::uuid[]) ORDER BY id FOR UPDATE"
    if patient:
        return _one_by_one(cursor, sql, ids)
    cursor.execute(f"{sql} SKIP LOCKED", [array(ids)])
    return {row[0] for row in cursor.fetchall()}


def _one_by_one(cursor: Any, sql: str, subjects: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Rows that come free soon; what does not within ``PATIENCE``, all of them together, is left to a later plan."""
    found: set[uuid.UUID] = set()
    deadline = time.monotonic() + PATIENCE.total_seconds()
    for subject in subjects:
        if time.monotonic() > deadline:
            break
        try:
            with transaction.atomic():
                cursor.execute(sql, [array([subject])])
                found |= {row[0] for row in cursor.fetchall()}
        except DatabaseError as error:
            if getattr(error.__cause__, "sqlstate", "") != LOCK_NOT_AVAILABLE:
                raise
    return found


def ended_elsewhere(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """The items, and those of them whose key another plan has destroyed already: the fence has another line."""
    subjects = sorted({item.ref.subject for item in items})
    line_of = {fence.ref: fence.line for fence in store.fences(subjects)} if subjects else {}
    elsewhere = [item for item in items if line_of.get(item.ref, item.line) != item.line]
    return [item for item in items if line_of.get(item.ref, item.line) == item.line], elsewhere


def still_due(
    plan: Plan, items: Sequence[Item], version: RuleVersion
) -> tuple[list[Item], dict[Parked.Reason, list[Item]]]:
    """Which items are due still, now that their rows are locked, and why the others are not."""
    subjects = sorted({item.ref.subject for item in items})
    moved = not_due([item.line for item in items], plan.as_of, of=subjects, version=version)
    obstacles = Obstacles(subjects)
    in_use = still_sealed_under([item.ref for item in items if item.start == Start.VALUE_SUPERSEDED])
    due: list[Item] = []
    spared: dict[Parked.Reason, list[Item]] = {}
    for item in items:
        if item.line in moved:
            why: str = Parked.Reason.NOT_DUE
        elif item.ref in in_use:
            why = Parked.Reason.STILL_IN_USE
        else:
            why = obstacles.of(item.ref.subject, item.ref.category, item.start)
        if why:
            spared.setdefault(Parked.Reason(why), []).append(item)
        else:
            due.append(item)
    return due, spared


def emptied_by(items: Sequence[Item]) -> list[uuid.UUID]:
    """Members of whom nothing will be left but the books, once these items are destroyed; whether ended or not."""
    subjects = {item.ref.subject for item in items if item.kind == SubjectKind.MEMBER}
    if not subjects:
        return []
    staying = store.subjects_with_more([item.ref for item in items], kept=Category.STATUTORY)
    return sorted(subjects - staying)
