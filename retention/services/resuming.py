"""Going on with a run: whether its journal is whole, as the certificate lines and the vault know it.

The chain of a journal tells when a line was changed, not when the last ones are gone: a file that was cut at the end of
a line, or emptied, or put back from a backup that is too old, is a whole chain. What was destroyed since is on record
twice beside it, so nothing is signed over a journal that does not tell of it.
"""

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from django.db import connection

from access_control.copying import array
from access_control.vault import store
from access_control.vault.seal import KeyRef
from retention.journal import Entry, Journal, JournalError, JournalUnusable, entries
from retention.models import Plan
from retention.services.items import subjects_of_plan

BATCH = 10_000


def open_journal(plan: Plan, *, begun: bool) -> Journal:
    """The journal of a plan's run, ready to be written; if the run has ``begun``, it tells of all that was destroyed.

    Raises JournalError, whose message names the file, its first bad line, and how to go on. The file is left as it is.
    """
    try:
        journal = Journal(plan.pk, begun=begun)
        try:
            if begun or journal.chunk:
                _compare(plan, journal)
        except JournalError:
            journal.close()
            raise
    except JournalUnusable:
        raise
    except JournalError as error:
        raise JournalError(
            f"{error} Put the whole journal back from its newest backup and run it again. If there is none, two persons"
            f" give the run up and call its journal lost, each with: abandon_run {plan.reference} --as USERNAME, then"
            f" declare_journal_lost {plan.reference} --as USERNAME."
        ) from None
    return journal


def _compare(plan: Plan, journal: Journal) -> None:
    """Raises JournalError unless the journal names what was destroyed under the plan, and calls nothing else so."""
    # 16 bytes a line.
    named: set[bytes] = set()
    intents: dict[int, list[list[Any]]] = {}
    number = 0
    for entry in entries(journal.path):
        number = entry.number
        try:
            _follow(plan, entry, intents, named)
        except (KeyError, ValueError, TypeError, IndexError):
            raise JournalError(f"{journal.path}, line {number}: this line does not fit this run.") from None
    for line in _destroyed(plan):
        if line.bytes not in named:
            raise JournalError(
                f"{journal.path}, line {number + 1}: this line is missing. Item {line} is destroyed, and no line up to"
                f" here announces it."
            )


def _follow(plan: Plan, entry: Entry, intents: dict[int, list[list[Any]]], named: set[bytes]) -> None:
    """Raises ValueError for a line that the run of this plan has not written."""
    if entry.kind == "intent":
        if entry.says["plan_hash"] != bytes(plan.payload_hash).hex():
            raise ValueError
        rows = intents[entry.says["chunk"]] = entry.says["keys"]
        named |= {uuid.UUID(row[0]).bytes for row in rows}
    elif entry.kind == "done":
        spared = set(entry.says["spared"])
        rows = [row for row in intents.pop(entry.says["chunk"]) if row[0] not in spared]
        if entry.says["destroyed"] != len(rows) or not _are_destroyed(plan, rows):
            raise ValueError


def _are_destroyed(plan: Plan, rows: Sequence[Sequence[Any]]) -> bool:
    """Whether each of these (line, subject, category, generation) has a certificate line, or is a fence."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM retention_certificateline WHERE plan_id = %s AND id = ANY (%s::uuid[])",
            [plan.pk, array(row[0] for row in rows)],
        )
        certified = {str(row[0]) for row in cursor.fetchall()}
    # As after a crash between the two commits.
    rest = [row for row in rows if row[0] not in certified]
    fences = {fence.line: fence.ref for fence in store.fences(sorted({uuid.UUID(row[1]) for row in rest}))}
    return all(fences.get(uuid.UUID(row[0])) == KeyRef(uuid.UUID(row[1]), row[2], row[3]) for row in rest)


def _destroyed(plan: Plan) -> Iterator[uuid.UUID]:
    """The lines of the plan that are destroyed: certified ones, then those of which only the vault knows yet."""
    with connection.chunked_cursor() as cursor:
        cursor.execute("SELECT id FROM retention_certificateline WHERE plan_id = %s ORDER BY id", [plan.pk])
        while rows := cursor.fetchmany(BATCH):
            yield from (row[0] for row in rows)
    for subjects in subjects_of_plan(plan):
        for fence in store.fences(subjects):
            if fence.plan_hash == bytes(plan.payload_hash):
                yield fence.line
