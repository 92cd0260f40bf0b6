"""The Python face of the vault's SQL functions for keys, fences and lookups."""

import dataclasses
import datetime
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import connections

from access_control.vault.calls import ALIAS, call
from access_control.vault.consoles import told
from access_control.vault.errors import KeyringError
from access_control.vault.keyring import PUT_BACK
from access_control.vault.seal import KeyRef


@dataclasses.dataclass(frozen=True)
class StoredKey:
    """A row of the vault as a fetch returns it: a wrapped key, or a fence (``wrapped`` is None)."""

    ref: KeyRef
    wrapped: bytes | None
    keyring: int
    destroyed_at: datetime.datetime | None
    certificate_line: uuid.UUID | None


@dataclasses.dataclass(frozen=True)
class KeyStatus:
    """Whether a key lives, without the key."""

    ref: KeyRef
    alive: bool
    frozen: bool
    destroyed_at: datetime.datetime | None
    certificate_line: uuid.UUID | None


def holds_keys() -> bool:
    """Whether any key, living or destroyed, stands in the vault. False before the vault was migrated."""
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("SELECT to_regprocedure('vault_holds_keys()') IS NOT NULL")
        if not cursor.fetchone()[0]:
            return False
        cursor.execute("SELECT vault_holds_keys()")
        return bool(cursor.fetchone()[0])


def refuse_another_keyring(checks: dict[int, bytes]) -> None:
    """Raises KeyringError unless these are the check values (key id → 32 bytes) of the keyring used so far.

    A key id that is new is entered. Else some keys would open under one keyring and some under another.
    """
    with call("SELECT vault_keyring_is_another(%s::integer[], %s)", list(checks), list(checks.values())) as cursor:
        if cursor.fetchone()[0]:
            raise KeyringError(f"This keyring is not the one that the vault was sealed with. {PUT_BACK}")


def installation() -> tuple[uuid.UUID, int]:
    """(installation id, restore epoch of the vault)."""
    with call("SELECT id, restore_epoch FROM vault_installation()") as cursor:
        found_id, epoch = cursor.fetchone()
        return found_id, epoch


def fetch(
    subjects: Sequence[uuid.UUID], categories: Sequence[int], *, event: uuid.UUID, approval: uuid.UUID | None = None
) -> list[StoredKey]:
    """Every key and fence of ``subjects`` × ``categories``, all generations. The vault has recorded it for ``event``.

    Raises CeilingReached when the hour's ceiling is used up and no approval is named, AnotherConsole.
    """
    with call(
        "SELECT * FROM vault_fetch(%s, %s::smallint[], %s, %s, %s::bigint[], %s::uuid[])",
        list(subjects),
        list(categories),
        event,
        approval,
        *told(),
    ) as cursor:
        return [StoredKey(KeyRef(*row[:3]), row[3] and bytes(row[3]), *row[4:]) for row in cursor.fetchall()]


def create(keys: Sequence[tuple[KeyRef, bytes]], *, keyring_id: int) -> set[KeyRef]:
    """Store wrapped keys; returns those that are new (a living key is left as it is).

    Raises FenceStands, and KeyringError when no keyring with the key ``keyring_id`` was announced.
    """
    refs = [ref for ref, _ in keys]
    with call(
        "SELECT * FROM vault_create(%b, %b::smallint[], %b::bigint[], %b, %s)",
        [ref.subject for ref in refs],
        [ref.category for ref in refs],
        [ref.generation for ref in refs],
        [wrapped for _, wrapped in keys],
        keyring_id,
    ) as cursor:
        if cursor.rowcount == len(refs):
            return set(refs)
        return {KeyRef(*row) for row in cursor.fetchall()}


class Ended(NamedTuple):
    """Keys that were destroyed at once: their certificate lines, when, and the keyring key that had wrapped them."""

    lines: list[uuid.UUID]
    destroyed_at: datetime.datetime
    keyring: int


def destroy(items: Sequence[tuple[KeyRef, uuid.UUID]], *, plan_hash: bytes) -> list[Ended]:
    """End the keys of ``items`` (key, certificate line) and their lookups; returns what was ended now.

    Only the purger role may. Frozen keys and fences are passed over. Raises CeilingReached, AnotherConsole.
    """
    with call(
        "SELECT * FROM vault_destroy(%b, %b::smallint[], %b::bigint[], %b, %s, %s::bigint[], %s::uuid[])",
        *_columns(items),
        plan_hash,
        *told(),
    ) as cursor:
        return [Ended(*row) for row in cursor.fetchall()]


def destroy_again(items: Sequence[tuple[KeyRef, uuid.UUID]], *, plan_hash: bytes) -> list[Ended]:
    """Like :func:`destroy`, for keys that came back with a restored vault, which may remember another console.

    Raises CeilingReached.
    """
    with call(
        "SELECT * FROM vault_destroy_again(%b, %b::smallint[], %b::bigint[], %b, %s)", *_columns(items), plan_hash
    ) as cursor:
        return [Ended(*row) for row in cursor.fetchall()]


def _columns(items: Sequence[tuple[KeyRef, uuid.UUID]]) -> list[list[Any]]:
    refs = [ref for ref, _ in items]
    return [
        [ref.subject for ref in refs],
        [ref.category for ref in refs],
        [ref.generation for ref in refs],
        [line for _, line in items],
    ]


def destructions_left() -> int:
    """How many more keys the vault destroys this hour. Only the purger role may ask."""
    with call("SELECT vault_destructions_left()") as cursor:
        return int(cursor.fetchone()[0])


def freeze(
    subjects: Sequence[uuid.UUID],
    categories: Sequence[int],
    *,
    hold: bool,
    for_hold: uuid.UUID | None = None,
    tell: bool = True,
) -> int:
    """Set or lift ``frozen`` on the living keys; returns how many changed. A frozen key cannot be destroyed.

    The vault remembers the legal hold for which it froze, until it thaws. Without ``tell`` it hears nothing of the
    console, for a restored vault may remember another one. Raises AnotherConsole.
    """
    with call(
        "SELECT vault_freeze(%s, %s::smallint[], %s, %s, %s::bigint[], %s::uuid[])",
        list(subjects),
        list(categories),
        hold,
        for_hold,
        *(told() if tell else (None, None)),
    ) as cursor:
        return int(cursor.fetchone()[0])


class FrozenSubject(NamedTuple):
    """A subject with frozen keys, and the holds for which the vault froze them, oldest first."""

    subject: uuid.UUID
    keys: int
    holds: list[uuid.UUID]
    since: datetime.datetime | None


def frozen(subjects: Sequence[uuid.UUID] | None = None) -> list[FrozenSubject]:
    """Which of ``subjects`` (None: of all) have frozen keys."""
    with call("SELECT * FROM vault_frozen(%s)", None if subjects is None else list(subjects)) as cursor:
        return [FrozenSubject(*row) for row in cursor.fetchall()]


def status(subjects: Sequence[uuid.UUID]) -> list[KeyStatus]:
    """What stands in the vault for ``subjects``, without any key."""
    with call("SELECT * FROM vault_status(%s)", list(subjects)) as cursor:
        return [KeyStatus(KeyRef(*row[:3]), *row[3:]) for row in cursor.fetchall()]


class LivingKey(NamedTuple):
    """A key that is there, without the key. ``frozen``: it cannot be destroyed."""

    ref: KeyRef
    frozen: bool


def left(subjects: Sequence[uuid.UUID]) -> list[LivingKey]:
    """The living keys of ``subjects``, by subject, category and generation."""
    with call("SELECT * FROM vault_left(%b)", list(subjects)) as cursor:
        return [LivingKey(KeyRef(*row[:3]), row[3]) for row in cursor.fetchall()]


def lock_living(subjects: Sequence[uuid.UUID]) -> list[LivingKey]:
    """The living keys of ``subjects``, once the destructions of them that are under way are over.

    Asked, with the subject's row locked, by whoever decides something that a destruction would undo. A destruction
    commits only while it has that row itself, so what lives now is destroyed by nobody who had not seen the decision.
    """
    with call("SELECT * FROM vault_lock_living(%b)", list(subjects)) as cursor:
        return [LivingKey(KeyRef(*row[:3]), row[3]) for row in cursor.fetchall()]


def wait_for_destructions() -> None:
    """Returns once no destruction is under way, whosever keys it is about."""
    with call("SELECT vault_wait_for_destructions()"):
        pass


def newest_dead(categories: Sequence[int], *, above: uuid.UUID, most: int) -> list[uuid.UUID]:
    """Subjects of whom the newest key of one of ``categories`` is a fence: at most ``most`` with ids ``above`` this."""
    with call("SELECT * FROM vault_newest_dead(%s::smallint[], %s, %s)", list(categories), above, most) as cursor:
        return [row[0] for row in cursor.fetchall()]


class Fence(NamedTuple):
    """What stands where a key was: the certificate line, the key's name, when and by which plan it was destroyed."""

    line: uuid.UUID
    ref: KeyRef
    destroyed_at: datetime.datetime
    plan_hash: bytes
    keyring: int


def fences(subjects: Sequence[uuid.UUID]) -> list[Fence]:
    """The fences of ``subjects``: everything of them that was destroyed."""
    with call("SELECT * FROM vault_fences(%b)", list(subjects)) as cursor:
        return [Fence(row[0], KeyRef(*row[1:4]), row[4], bytes(row[5]), row[6]) for row in cursor.fetchall()]


def subjects_with_more(refs: Sequence[KeyRef], *, kept: int) -> set[uuid.UUID]:
    """The subjects of ``refs`` of whom another key lives, leaving aside keys of the category ``kept``."""
    subjects, categories, generations = (list(column) for column in zip(*refs, strict=True))
    with call(
        "SELECT * FROM vault_subjects_with_more(%b, %b::smallint[], %b::bigint[], %s::smallint)",
        subjects,
        categories,
        generations,
        kept,
    ) as cursor:
        return {row[0] for row in cursor.fetchall()}


def destroyed_by_plan() -> dict[bytes, int]:
    """How many keys the vault destroyed in the name of each plan (its hash, 32 bytes)."""
    with call("SELECT plan_hash, destroyed FROM vault_destroyed_by_plan()") as cursor:
        return {bytes(plan_hash): destroyed for plan_hash, destroyed in cursor.fetchall()}


def stray_lookups(subjects: Sequence[uuid.UUID]) -> list[tuple[uuid.UUID, int]]:
    """(subject, category) of lookups that rest on a category of which no key lives: somebody put them there."""
    with call("SELECT subject, category FROM vault_stray_lookups(%b)", list(subjects)) as cursor:
        return list(cursor.fetchall())


class Lookup(NamedTuple):
    """One way to find a subject: field code, keyed hash, whose, and the categories it rests on.

    The vault has its own table of the categories, by the field, and goes by that.
    """

    field: int
    mac: bytes
    subject: uuid.UUID
    category: int
    joined: int | None = None


def claim(lookups: Sequence[Lookup], *, version: int) -> dict[bytes, uuid.UUID]:
    """Enter unique lookups, first come first served; returns keyed hash → the subject that owns it.

    A destroyed member's number has no owner any more, and gets none while its tombstone lasts.
    """
    with call(
        "SELECT * FROM vault_claim(%b::smallint[], %s::smallint, %b, %b, %b::smallint[])",
        [lookup.field for lookup in lookups],
        version,
        [lookup.mac for lookup in lookups],
        [lookup.subject for lookup in lookups],
        [lookup.category for lookup in lookups],
    ) as cursor:
        return {bytes(mac): subject for mac, subject in cursor.fetchall()}


def add_lookups(lookups: Sequence[Lookup], *, version: int) -> None:
    """Enter lookups that may be shared (a family's telephone). Those already there stay."""
    with call(
        "SELECT vault_lookups_add(%b::smallint[], %s::smallint, %b, %b, %b::smallint[], %b::smallint[])",
        [lookup.field for lookup in lookups],
        version,
        [lookup.mac for lookup in lookups],
        [lookup.subject for lookup in lookups],
        [lookup.category for lookup in lookups],
        [lookup.joined for lookup in lookups],
    ):
        pass


def outdated_subjects(*, newest: int, after: uuid.UUID, most: int) -> list[uuid.UUID]:
    """The next subjects behind ``after`` that have lookups of a version before ``newest``: at most 1,000, by id."""
    with call("SELECT * FROM vault_lookups_outdated(%s::smallint, %s, %s)", newest, after, most) as cursor:
        return [row[0] for row in cursor.fetchall()]


def renew_lookups(lookups: Sequence[Lookup], *, version: int, subjects: Sequence[uuid.UUID]) -> None:
    """``lookups``, of ``version``, are all that ``subjects`` have from now on, but for what names another subject.

    Raises FenceStands.
    """
    with call(
        "SELECT vault_lookups_renew(%b::smallint[], %s::smallint, %b, %b, %b::smallint[], %b::smallint[], %b)",
        [lookup.field for lookup in lookups],
        version,
        [lookup.mac for lookup in lookups],
        [lookup.subject for lookup in lookups],
        [lookup.category for lookup in lookups],
        [lookup.joined for lookup in lookups],
        list(subjects),
    ):
        pass


def remove_lookups(subject: uuid.UUID, lookups: Sequence[tuple[int, bytes]]) -> None:
    """Take lookups (field, keyed hash) of ``subject`` out."""
    with call(
        "SELECT vault_lookups_remove(%s::smallint[], %s, %s)",
        [field for field, _ in lookups],
        [mac for _, mac in lookups],
        subject,
    ):
        pass


def find(probes: Sequence[tuple[int, bytes]], *, most: int) -> list[uuid.UUID]:
    """Subjects with any of the lookups (field, keyed hash): at most ``most`` and never more than 100."""
    with call(
        "SELECT subject FROM vault_find(%s::smallint[], %s, %s)",
        [field for field, _ in probes],
        [mac for _, mac in probes],
        most,
    ) as cursor:
        return [row[0] for row in cursor.fetchall()]


def owners(probes: Sequence[tuple[int, bytes]]) -> dict[bytes, uuid.UUID]:
    """Keyed hash → the subject that owns the lookup (field, keyed hash); claims nothing, and there is no limit.

    Only a member number or a login ID has an owner; of what may be shared, the vault tells nothing here.
    """
    with call(
        "SELECT * FROM vault_owners(%s::smallint[], %s)",
        [field for field, _ in probes],
        [mac for _, mac in probes],
    ) as cursor:
        return {bytes(mac): subject for mac, subject in cursor.fetchall()}


# How many numbers the vault answers for at a time.
MOST_TOMBSTONES = 1_000


def tombstones(macs: Sequence[bytes]) -> dict[bytes, datetime.datetime]:
    """Member number's keyed hash → when its member was destroyed, for those of ``macs`` whose member was."""
    found: dict[bytes, datetime.datetime] = {}
    for start in range(0, len(macs), MOST_TOMBSTONES):
        with call("SELECT * FROM vault_tombstones(%b)", list(macs[start : start + MOST_TOMBSTONES])) as cursor:
            found |= {bytes(mac): destroyed_at for mac, destroyed_at in cursor.fetchall()}
    return found


def forget_tombstones() -> int:
    """Remove the stones whose time is over; returns how many. Only the purger role may."""
    with call("SELECT vault_forget_tombstones()") as cursor:
        return int(cursor.fetchone()[0])


def fetch_records(since: datetime.datetime) -> list[tuple[int, datetime.datetime, str, uuid.UUID, int]]:
    """(id, at, role, event, subject count) of every fetch since, as the vault itself wrote them."""
    with call("SELECT id, at, role, event, subject_count FROM vault_fetch_records(%s)", since) as cursor:
        return list(cursor.fetchall())
