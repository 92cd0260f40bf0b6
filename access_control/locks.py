"""The one place that locks rows, in the one order: person, account, grant, member, case, then what belongs to them.

What can go wrong, and why here it cannot:

*Two acts wait for each other for ever.* Whoever locks goes up the order of :class:`Rank` and, within a rank, up the
ids; a step down raises :class:`LockOrder` whenever it is taken, whether or not a rival is there. Keys in the vault
come last.

*Somebody's access has to end, and openings that follow one another keep it waiting.* An opening keeps person, account
and grants FOR KEY SHARE, which no change of them waits for. Whoever ends access changes and commits first, so that
nothing new begins, and then waits, for a bounded time, for what had begun before (:func:`wait_for_openings`).
"""

import dataclasses
import datetime
import enum
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from django.core.exceptions import EmptyResultSet
from django.db import OperationalError, connection, models, transaction
from django.utils.translation import gettext_lazy as _

M = TypeVar("M", bound=models.Model)

# Longer than any opening takes that is not stuck.
LONGEST_WAIT = datetime.timedelta(seconds=5)
LOCK_NOT_AVAILABLE = "55P03"


class Rank(enum.IntEnum):
    """The order in which rows are locked; a model says its own as ``lock_rank``."""

    PERSON = 1
    ACCOUNT = 2
    GRANT = 3
    MEMBER = 4
    CASE = 5
    BELONGS = 6


class Mode(enum.StrEnum):
    """What others may do meanwhile: change the row but not end it, read it, or nothing but refer to it."""

    KEEP = "KEY SHARE"
    SHARE = "SHARE"
    CHANGE = "NO KEY UPDATE"


class LockOrder(RuntimeError):
    """Code locks against the order; two sessions that do so could wait for each other for ever."""


class StillUnderWay(Exception):
    """Something that began before has not ended within ``LONGEST_WAIT``. ``str()`` says what to do next.

    ``done``: what was asked for is committed all the same; else nothing was changed.
    """

    def __init__(self, sentence: Any = None) -> None:
        super().__init__(sentence)
        self.done = sentence is None
        self.sentence = sentence or _(
            "The access has ended and nothing new is opened under it, but a page that was asked for before has not been"
            " answered yet. Look at the ledger in a minute; if the page is stuck, restart the web server."
        )

    def __str__(self) -> str:
        return str(self.sentence)


@dataclasses.dataclass
class _Taken:
    """What the transaction under way has locked, how strongly, and what it found true of it."""

    rows: dict[tuple[Rank, Any], int] = dataclasses.field(default_factory=dict)
    found: dict[Any, Any] = dataclasses.field(default_factory=dict)


_taken: ContextVar[_Taken | None] = ContextVar("locks", default=None)


@contextmanager
def in_order() -> Iterator[None]:
    """One transaction's locks are taken in order. The outermost block counts."""
    if _taken.get() is not None:
        yield
        return
    token = _taken.set(_Taken())
    try:
        yield
    finally:
        _taken.reset(token)


@contextmanager
def attempt() -> Iterator[None]:
    """A part of a transaction that can be undone: an exception out of it gives its locks back."""
    taken = _taken.get() or _Taken()
    rows, found = dict(taken.rows), dict(taken.found)
    try:
        with transaction.atomic():
            yield
    except BaseException:
        taken.rows, taken.found = rows, found
        raise


def found_true() -> dict[Any, Any]:
    """What was asked and found true under locks that this transaction still has; what is held is not asked twice.

    Outside of :func:`in_order` nothing is known.
    """
    taken = _taken.get()
    return {} if taken is None else taken.found


def keep(queryset: models.QuerySet[M]) -> list[M]:
    """The rows, as they are now: whoever ends them waits for this transaction. For person, account and grants."""
    return _lock(queryset, Mode.KEEP)


def share(queryset: models.QuerySet[M]) -> list[M]:
    """The rows, as they are now: nobody changes them before this transaction ends."""
    return _lock(queryset, Mode.SHARE)


def change(queryset: models.QuerySet[M]) -> list[M]:
    """The rows, as they are now, to be changed: nobody else changes or opens them before this transaction ends."""
    return _lock(queryset, Mode.CHANGE)


def change_one(model: type[M], pk: Any) -> M:
    """The row, as it is now, to be changed. Raises DoesNotExist."""
    rows = change(model._default_manager.filter(pk=pk))
    if not rows:
        raise model.DoesNotExist  # type: ignore[attr-defined]
    return rows[0]


def _lock(queryset: models.QuerySet[M], mode: Mode) -> list[M]:
    """The rows that are there still when their turn comes, by id, locked. The ORM knows only some of the modes."""
    query = queryset.select_related(None).order_by("pk").query
    try:
        sql, parameters = query.sql_with_params()
    except EmptyResultSet:
        return []
    table = connection.ops.quote_name(str(query.get_initial_alias()))
    manager = queryset.model._base_manager
    rows = list(manager.raw(f"{sql} FOR {mode} OF {table}", parameters))
    _note(queryset.model, [row.pk for row in rows], mode)
    return rows


def _note(model: type[models.Model], keys: Sequence[Any], mode: Mode) -> None:
    """Remember what is locked. Raises LockOrder when it comes after something that the order puts behind it."""
    taken = _taken.get()
    if taken is None:
        return
    rank: Rank = getattr(model, "lock_rank", Rank.BELONGS)
    strength = list(Mode).index(mode) + 1
    new = [key for key in keys if taken.rows.get((rank, key), 0) < strength]
    ranked = [place for place in taken.rows if place[0] < Rank.BELONGS]
    if new and rank < Rank.BELONGS and (len(ranked) < len(taken.rows) or (ranked and (rank, new[0]) <= max(ranked))):
        raise LockOrder(f"{model._meta.label} is locked after {max(place[0] for place in taken.rows).name}")
    taken.rows.update({(rank, key): strength for key in new})


def wait_for_openings(rows: Sequence[models.Model]) -> None:
    """Everything that was under way under ``rows``, which are ended and committed, is over when this returns.

    Rows of one model. Raises StillUnderWay.
    """
    if not rows:
        return
    table = rows[0]._meta.db_table
    with bounded(), connection.cursor() as cursor:
        cursor.execute(
            f"SELECT FROM {table} WHERE id = ANY (%s) ORDER BY id FOR UPDATE", [sorted(row.pk for row in rows)]
        )


@contextmanager
def bounded(sentence: Any = None) -> Iterator[None]:
    """Inside, no lock is waited for longer than ``LONGEST_WAIT``. Raises StillUnderWay, which undoes the block."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('lock_timeout')")
            (before,) = cursor.fetchone()
            milliseconds = round(LONGEST_WAIT.total_seconds() * 1000)
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [str(milliseconds)])
            yield
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") != LOCK_NOT_AVAILABLE:
            raise
        raise StillUnderWay(sentence) from error
