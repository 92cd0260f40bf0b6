"""Which console the vault serves: what it is told of it at each call, and what it remembers of it."""

import datetime
import uuid
from collections.abc import Callable
from typing import NamedTuple

from access_control.vault.calls import call


class DatabaseIdentity(NamedTuple):
    """Which database this is: its oid, its server's system identifier, its timeline, and how often it was restored."""

    database: int
    system: int
    timeline: int
    restore_epoch: int


class Testimony(NamedTuple):
    """What the vault is told of the console: which database it is, and the newest ledger event committed there."""

    identity: DatabaseIdentity
    sequence: int | None
    event: uuid.UUID | None
    # The event that the console holds under the vault's newest mark.
    held: uuid.UUID | None
    # How far the console noted that the vault was told.
    noted: int | None


def _nothing_to_tell(_mark: int | None) -> Testimony | None:
    return None


# Asked, with the vault's newest mark, before everything that opens, freezes or destroys. Whoever keeps the ledger hands
# it in (access_control.apps).
testimony: Callable[[int | None], Testimony | None] = _nothing_to_tell


def told() -> tuple[list[int | None] | None, list[uuid.UUID | None] | None]:
    """The testimony as the vault's functions take it.

    The vault is asked first: what it was told by then is committed, and seen by everybody who asks the console later.
    """
    mark = remembered().sequence
    said = testimony(mark)
    if said is None:
        return None, None
    return [*said.identity, said.sequence, mark, said.noted], [said.event, said.held]


class Remembered(NamedTuple):
    """What the vault remembers of the console that it serves, and which database the vault itself is."""

    console: DatabaseIdentity | None
    sequence: int | None
    event: uuid.UUID | None
    told_at: datetime.datetime | None
    # The hash of the plan in whose name keys were destroyed last.
    destroyed_plan: bytes | None
    itself: DatabaseIdentity


def remembered() -> Remembered:
    """One short query."""
    with call("SELECT * FROM vault_console()") as cursor:
        row = cursor.fetchone()
    console = None if row[0] is None else DatabaseIdentity(*row[:4])
    plan = None if row[7] is None else bytes(row[7])
    return Remembered(console, row[4], row[5], row[6], plan, DatabaseIdentity(*row[8:]))


def tell() -> int | None:
    """The vault remembers what is committed in the console now: up to which event. Raises AnotherConsole."""
    said, events = told()
    with call("SELECT vault_tell(%s::bigint[], %s::uuid[])", said, events):
        return said[4] if said else None


def note_console(identity: DatabaseIdentity, *, again: bool = False) -> None:
    """From now on the vault serves this console. ``again``: the vault itself was restored."""
    with call("SELECT vault_note_console(%s::bigint[], %s)", [*identity], again):
        pass


def marks(*, below: int, most: int) -> list[tuple[int, uuid.UUID, datetime.datetime]]:
    """(sequence, event, when) of what the vault was told of the console it serves, newest first."""
    with call("SELECT * FROM vault_marks(%s, %s)", below, most) as cursor:
        return list(cursor.fetchall())


def events_fetched(since: datetime.datetime) -> list[tuple[uuid.UUID, list[uuid.UUID]]]:
    """(event, subjects) of every fetch since, as the vault itself wrote them."""
    with call("SELECT event, subjects FROM vault_events_fetched(%s)", since) as cursor:
        return list(cursor.fetchall())


def subjects_made(since: datetime.datetime) -> list[uuid.UUID]:
    """Whose keys, any of them, were made since."""
    with call("SELECT subject FROM vault_subjects_made(%s)", since) as cursor:
        return [row[0] for row in cursor.fetchall()]
