"""Keys that were destroyed and live again: what certificates and journals call destroyed, and of it what lives.

A key never comes back by itself: wherever one of these lives, the vault was restored from a backup. An intent of a
journal counts only with its completion; what a run had merely announced may have been spared, held or returned since.
"""

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from access_control.vault import store
from access_control.vault.seal import KeyRef
from members.models import Case, Member
from retention.journal import (
    Entry,
    JournalError,
    JournalUnusable,
    entries,
    holds_lines,
    journals_at_hand,
    path_of,
    plans_of,
    require_directory,
)
from retention.models import CertificateLine, Parked, Plan, PlanEnd, PlanLine, Run
from retention.services.stopping import journal_is_lost

T = TypeVar("T")
# Keys looked at with one query.
BATCH = 5_000
_NOT_OURS = "Find out who put it there, keep it elsewhere, put the newest copy of the journal there, and try again."


class DestroyedKey(NamedTuple):
    """A key, the certificate line under which it was destroyed, and the hash of the plan in whose name.

    ``journaled``: no certificate line says so, only the journal of this plan.
    """

    line: uuid.UUID
    ref: KeyRef
    plan_hash: bytes
    journaled: uuid.UUID | None = None


def destroyed_keys() -> Iterator[list[DestroyedKey]]:
    """Every key that a certificate line, or else a journal at hand, calls destroyed: in batches, in one order.

    Of a journal that two persons call lost, what is whole. Raises JournalError.
    """
    lines = CertificateLine.objects.order_by("id")
    columns = lines.values_list("id", "subject", "category", "generation", "plan__payload_hash")
    yield from batched(
        DestroyedKey(row[0], KeyRef(*row[1:4]), bytes(row[4])) for row in columns.iterator(chunk_size=BATCH)
    )
    for path in journals_at_hand():
        yield from uncertified_in(path)


def require_every_journal() -> None:
    """Raises JournalError unless there is a journal, or the word of two persons that it is lost, for every run.

    Those of runs that are not on record are missed by nobody. But a directory in which every other one is found is the
    right one, and mounted.
    """
    require_directory()
    at_hand = plans_of([path for path in journals_at_hand() if holds_lines(path)])
    runs = Run.objects.exclude(plan__in=at_hand).select_related("plan").order_by("started_at")
    missing = [run.plan for run in runs if not journal_is_lost(run.plan)]
    if missing:
        first = missing[0]
        raise JournalError(
            f"{len(missing):,} journals of runs on record are missing, the first of them {path_of(first.pk)}. Mount"
            " their disk, or put the newest copies of all journals there, and run it again. Where no copy is left, two"
            f" persons say so for each run: declare_journal_lost {first.reference} --as USERNAME."
        )


def uncertified_in(path: Path) -> Iterator[list[DestroyedKey]]:
    """The keys that a journal calls destroyed and no certificate line does, in batches. Raises JournalError."""
    for batch in batched(_destroyed_in(path)):
        by_ref = {key.ref: key for key in batch}
        certified = CertificateLine.objects.filter(subject__in=sorted({ref.subject for ref in by_ref}))
        for row in certified.values_list("subject", "category", "generation"):
            by_ref.pop(KeyRef(*row), None)
        if by_ref:
            _require_planned(path, list(by_ref.values()))
            yield list(by_ref.values())


def _require_planned(path: Path, keys: Sequence[DestroyedKey]) -> None:
    """Raises JournalError when the journal of a plan on record names a key that the plan does not list."""
    plan = Plan.objects.filter(pk__in=plans_of([path])).first()
    if plan is None:
        return
    wanted = {(key.line, key.ref, key.plan_hash) for key in keys}
    listed = PlanLine.objects.filter(plan=plan, pk__in=[key.line for key in keys])
    rows = listed.values_list("id", "subject", "category", "generation")
    planned = {(row[0], KeyRef(*row[1:]), bytes(plan.payload_hash)) for row in rows}
    if strange := wanted - planned:
        raise JournalError(
            f"{path} calls {len(strange):,} keys destroyed that its plan {plan.reference} does not list. No run has"
            f" written that. {_NOT_OURS}"
        )


def _destroyed_in(path: Path) -> Iterator[DestroyedKey]:
    intended: dict[int, dict[str, Any]] = {}
    plan: uuid.UUID | None = None
    for entry in _entries(path):
        if entry.number == 1:
            if entry.kind != "journal" or entry.says["plan"] != path.stem:
                raise JournalError(f"{path}, line 1: no run has written this line. {_NOT_OURS}")
            plan = uuid.UUID(entry.says["plan"])
        elif entry.kind == "intent":
            intended[entry.says["chunk"]] = entry.says
        elif entry.kind == "done" and (intent := intended.pop(entry.says["chunk"], None)):
            plan_hash, spared = bytes.fromhex(intent["plan_hash"]), set(entry.says["spared"])
            for line, subject, category, generation in intent["keys"]:
                if line not in spared:
                    yield DestroyedKey(
                        uuid.UUID(line), KeyRef(uuid.UUID(subject), category, generation), plan_hash, plan
                    )


def _entries(path: Path) -> Iterator[Entry]:
    try:
        yield from entries(path, torn_end=True)
    except JournalUnusable:
        raise
    except JournalError:
        plans = Plan.objects.filter(pk__in=plans_of([path]))
        if not any(journal_is_lost(plan) for plan in plans):
            raise


def doubtful(keys: Sequence[DestroyedKey]) -> list[DestroyedKey]:
    """Those of the keys that one person's word does not destroy again: only a journal calls them destroyed, and here
    nobody approved its plan, or its run left them as they were, or they belong to a member whose membership stands.
    """
    journaled = [key for key in keys if key.journaled]
    approved = Plan.objects.filter(pk__in={key.journaled for key in journaled}, approval__approved_at__isnull=False)
    plans = set(approved.exclude(end__kind=PlanEnd.Kind.WITHDRAWN).values_list("pk", flat=True))
    left = set(Parked.objects.filter(pk__in=[key.line for key in journaled]).values_list("pk", flat=True))
    active = active_among(journaled)
    return [key for key in journaled if key.journaled not in plans or key.line in left or key.ref.subject in active]


def active_among(keys: Iterable[DestroyedKey]) -> dict[uuid.UUID, uuid.UUID]:
    """Subject → member, for keys of members whose membership stands, and of their cases."""
    subjects = {key.ref.subject for key in keys}
    members = Member.objects.filter(pk__in=subjects, state=Member.State.ACTIVE).values_list("pk", "pk")
    cases = Case.objects.filter(pk__in=subjects, member__state=Member.State.ACTIVE).values_list("pk", "member_id")
    return dict(members) | dict(cases)


def living(keys: Iterable[DestroyedKey]) -> dict[DestroyedKey, bool]:
    """Those of the keys that live, and whether each is frozen."""
    by_ref = {key.ref: key for key in keys}
    left = store.left(sorted({ref.subject for ref in by_ref}))
    return {by_ref[key.ref]: key.frozen for key in left if key.ref in by_ref}


def digest(batches: Iterable[list[DestroyedKey]]) -> bytes:
    """SHA-256 over the keys: two who agree to it speak of the same keys, under the same lines and plans."""
    sha = hashlib.sha256()
    for batch in batches:
        for key in batch:
            sha.update(f"{key.line} {key.ref.subject} {key.ref.category} {key.ref.generation} ".encode())
            sha.update(key.plan_hash)
    return sha.digest()


def batched(rows: Iterable[T]) -> Iterator[list[T]]:
    """The rows in lists of at most ``BATCH``."""
    left = iter(rows)
    while batch := list(islice(left, BATCH)):
        yield batch
