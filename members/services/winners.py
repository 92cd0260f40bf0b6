"""What wins over the marketplace's file: a pending correction, and what the console corrected.

A correction of the console wins over a file that was written before it. A later file may still repeat the value that it
superseded, because the marketplace has not heard of it: that is no statement of the member's, and the console's value
stays. Any other value is the member's own. What was superseded is read from the history, as long as its key lives.
"""

import copy
import dataclasses
import datetime
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from django.db import connection

from access_control.history import history_of
from access_control.vault import seal
from access_control.vault.errors import Destroyed
from access_control.vault.fields import Sealed
from access_control.vault.ring import KeyRing
from members.intake import COUNTRY_OF
from members.inventory import Item
from members.models import Correction, Suspension
from members.services.on_file import OnFile

SUSPENDED, CONSOLE_NEWER, FILE_OLDER = "suspended", "console_newer", "file_older"

# An item of a row: of a member a row has each item once.
_Where = tuple[str, uuid.UUID]


class Winners:
    """What wins over the rows of a batch. Asked with a few queries for all of it, while ``ring`` is open."""

    def __init__(self, people: Sequence[OnFile], ring: KeyRing) -> None:
        self._ring = ring
        members = [person.member.pk for person in people]
        self._suspended = set(Suspension.objects.filter(member__in=members, ended_at=None).values_list("item", "row"))
        # The newest first.
        self._applied: dict[_Where, list[Correction]] = defaultdict(list)
        applied = Correction.objects.filter(member__in=members, state=Correction.State.APPLIED)
        for correction in applied.order_by("-decided_at", "-pk").defer("proposed"):
            self._applied[correction.item, correction.row].append(correction)
        self._superseded = _superseded_rows(people, self._applied)

    def of(self, person: OnFile, written_at: datetime.datetime | None) -> "Winner":
        """What wins over the member's row of a file."""
        return Winner(self, written_at, COUNTRY_OF.get(person.member.entity_id, "JP"))

    def over(self, item: Item, row: uuid.UUID, written_at: datetime.datetime | None) -> str:
        """Why no file of that time changes the item of the row, or ""."""
        if (item.code, row) in self._suspended:
            return SUSPENDED
        for correction in self._applied.get((item.code, row), ()):
            if correction.channel == Correction.Channel.MY_PAGE:
                if written_at is not None and correction.asked_at > written_at:
                    return FILE_OLDER
            elif written_at is None or (correction.decided_at is not None and correction.decided_at >= written_at):
                return CONSOLE_NEWER
        return ""

    def repeats(self, item: Item, row: uuid.UUID, text: str, country: str) -> bool:
        """Whether ``text`` is a value of the row that the console superseded, and the member did not state since."""
        superseded = _opened(self._ring, self._superseded.get((item.code, row), ()))
        return any(item.book.same(old, text, country) for old in superseded)


@dataclasses.dataclass(frozen=True, repr=False)
class Winner:
    """What wins over one member's row of a file that was written at a time, or does not say when."""

    _winners: Winners
    _written_at: datetime.datetime | None
    _country: str

    def over(self, item: Item, row: uuid.UUID, text: str = "") -> str:
        """Why the item of the row does not become ``text``, or nothing; "" when it does."""
        if code := self._winners.over(item, row, self._written_at):
            return code
        return CONSOLE_NEWER if text and self.repeats(item, row, text) else ""

    def repeats(self, item: Item, row: uuid.UUID, text: str) -> bool:
        """Whether the file only repeats, with ``text``, what the console corrected."""
        return self._winners.repeats(item, row, text, self._country)


def _opened(ring: KeyRing, superseded: Sequence[tuple[str, Any]]) -> Iterator[str]:
    for column, held in superseded:
        try:
            yield ring.open_sealed(held, column)
        except Destroyed:
            # Nobody knows any more what it was.
            continue


def _of_the_console(corrections: Sequence[Correction]) -> Iterator[tuple[Correction, bytes]]:
    """The corrections since the member's own last one, the newest first; with the head of the superseded value."""
    for correction in corrections:
        if correction.channel == Correction.Channel.MY_PAGE:
            return
        category, generation = correction.superseded_category, correction.superseded_generation
        if category is not None and generation is not None:
            yield correction, seal.head(category, generation)


def _superseded_rows(
    people: Sequence[OnFile], applied: dict[_Where, list[Correction]]
) -> dict[_Where, list[tuple[str, Any]]]:
    """Column and row, sealed, as it was before each correction of the console: one query for each column."""
    live = {row.pk: row for person in people for row in _rows_of(person)}
    wanted: dict[tuple[type[Any], str], dict[tuple[uuid.UUID, bytes], str]] = defaultdict(dict)
    for corrections in applied.values():
        for correction, head in _of_the_console(corrections):
            if (row := live.get(correction.row)) is not None:
                wanted[type(row), correction.field][row.pk, head] = correction.item
    found: dict[_Where, list[tuple[str, Any]]] = defaultdict(list)
    for (model, column), item_of in wanted.items():
        for pk, head, blob in _from_history(model, column, item_of):
            then = copy.copy(live[pk])
            setattr(then, column, Sealed(blob))
            found[item_of[pk, head], pk].append((column, then))
    return found


def _rows_of(person: OnFile) -> Iterator[Any]:
    yield person.member
    for row, _clear in [*person.contacts, *person.addressees, *person.payment_means]:
        yield row


def _from_history(
    model: type[Any], column: str, places: Collection[tuple[uuid.UUID, bytes]]
) -> list[tuple[uuid.UUID, bytes, bytes]]:
    """Row, head and blob of what the column held under each generation; one generation holds one value of it."""
    history, field = history_of(model), model._meta.get_field(column)
    assert history is not None
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT DISTINCT ON (w.id, w.head) w.id, w.head, h."{field.column}"
              FROM unnest(%s::uuid[], %s::bytea[]) AS w (id, head)
              JOIN {history._meta.db_table} h
                ON h.id = w.id AND substring(h."{field.column}", 1, {seal.HEAD_BYTES}) = w.head
            """,
            [[pk for pk, _head in places], [head for _pk, head in places]],
        )
        return [(pk, bytes(head), bytes(blob)) for pk, head, blob in cursor.fetchall()]
