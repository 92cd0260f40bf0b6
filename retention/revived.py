"""Keys that were destroyed and live again: what certificates and journals call destroyed, and of it what lives.

A key never comes back by itself: wherever one of these lives, the vault was restored from a backup. An intent of a
journal counts only with its completion; what a run had merely announced may have been spared, held or returned since.
"""

import hashlib
import uuid
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from access_control.vault import store
from access_control.vault.seal import KeyRef
from retention.journal import (
    Entry,
    JournalError,
    JournalUnusable,
    entries,
    journals_at_hand,
    path_of,
    plans_of,
    require_directory,
)
from retention.models import CertificateLine, Plan, Run
from retention.services.stopping import journal_is_lost

T = TypeVar("T")
# Keys looked at with one query.
BATCH = 5_000


class DestroyedKey(NamedTuple):
    """A key, the certificate line under which it was destroyed, and the hash of the plan in whose name."""

    line: uuid.UUID
    ref: KeyRef
    plan_hash: bytes


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
    at_hand = plans_of(journals_at_hand())
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
            yield list(by_ref.values())


def _destroyed_in(path: Path) -> Iterator[DestroyedKey]:
    intended: dict[int, dict[str, Any]] = {}
    for entry in _entries(path):
        if entry.kind == "intent":
            intended[entry.says["chunk"]] = entry.says
        elif entry.kind == "done":
            intent, spared = intended.pop(entry.says["chunk"], None), set(entry.says["spared"])
            if intent is None:
                continue
            plan_hash = bytes.fromhex(intent["plan_hash"])
            for line, subject, category, generation in intent["keys"]:
                if line not in spared:
                    ref = KeyRef(uuid.UUID(subject), int(category), int(generation))
                    yield DestroyedKey(uuid.UUID(line), ref, plan_hash)


def _entries(path: Path) -> Iterator[Entry]:
    try:
        yield from entries(path, torn_end=True)
    except JournalUnusable:
        raise
    except JournalError:
        plans = Plan.objects.filter(pk__in=plans_of([path]))
        if not any(journal_is_lost(plan) for plan in plans):
            raise


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
