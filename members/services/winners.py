"""What wins over the marketplace's file: a pending correction, and what the console corrected.

A correction of the console wins over a file that was written before it. A later file may still repeat the value that it
superseded, because the marketplace has not heard of it: that is no statement of the member's, and the console's value
stays. Any other value is the member's own. What was superseded is read from the history; once its key is destroyed,
nobody can tell a repetition from a new value, and the console's stays until a file has heard of the correction, that
is, has once held what the console set. From then on whatever else a file says is the member's own.
"""

import copy
import dataclasses
import datetime
import uuid
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from django.db import connection

from access_control.codes import Reason
from access_control.history import history_of
from access_control.ledger import acting
from access_control.vault import seal
from access_control.vault.errors import Destroyed
from access_control.vault.fields import Sealed
from access_control.vault.ring import KeyRing
from members.intake import COUNTRY_OF, NewMember
from members.inventory import ITEMS, Item
from members.models import Correction, Member, Suspension
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
        self._opened: dict[_Where, tuple[list[str], bool]] = {}

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
        known, _all = self._known(item, row)
        return any(item.book.same(old, text, country) for old in known)

    def unsure(self, item: Item, row: uuid.UUID) -> bool:
        """Whether a value of the row that the console superseded, unheard of, can be compared with nothing any more."""
        _known, whole = self._known(item, row)
        return not whole

    def _known(self, item: Item, row: uuid.UUID) -> tuple[list[str], bool]:
        """The superseded values that open, and whether these are all."""
        where = (item.code, row)
        if where not in self._opened:
            superseded = self._superseded.get(where, ())
            known = list(_opened(self._ring, superseded))
            asked = sum(1 for _unheard in _unheard_of(self._applied.get(where, ())))
            self._opened[where] = known, len(known) == asked
        return self._opened[where]


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
        return CONSOLE_NEWER if text and (self.unsure(item, row) or self.repeats(item, row, text)) else ""

    def repeats(self, item: Item, row: uuid.UUID, text: str) -> bool:
        """Whether the file only repeats, with ``text``, what the console corrected."""
        return self._winners.repeats(item, row, text, self._country)

    def unsure(self, item: Item, row: uuid.UUID) -> bool:
        """Whether nobody can tell any more what the file only repeats of the item."""
        return self._winners.unsure(item, row)


def _opened(ring: KeyRing, superseded: Sequence[tuple[str, Any]]) -> Iterator[str]:
    for column, held in superseded:
        try:
            yield ring.open_sealed(held, column)
        except Destroyed:
            # Nobody knows any more what it was.
            continue


def _unheard_of(corrections: Sequence[Correction]) -> Iterator[tuple[Correction, bytes]]:
    """The console's corrections since the member's own last one and since the last of which a file has heard.

    The newest first; each with the head of the superseded value.
    """
    for correction in corrections:
        if correction.channel == Correction.Channel.MY_PAGE or correction.heard_at is not None:
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
        for correction, head in _unheard_of(corrections):
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


def note_heard(taken: Sequence[tuple[OnFile, NewMember, Collection[str]]], ring: KeyRing) -> None:
    """The console's corrections of which the rows of a file have heard are marked so, with the time of the file.

    ``taken``: a member as on file before, the row of the file, and the codes of the items that differed. A row has
    heard of a correction when it was written later, says something of the item, and nothing of it differed; unless a
    second correction has set the first one back, for then it may have heard of neither. Asked while ``ring`` is open.
    """
    told = {
        person.member.pk: (person, new, new.exported_at, differed)
        for person, new, differed in taken
        if new.exported_at is not None and person.member.state == Member.State.ACTIVE
    }
    unheard = Correction.objects.filter(
        member__in=told, state=Correction.State.APPLIED, channel=Correction.Channel.CASE, heard_at=None
    )
    heard: dict[datetime.datetime, list[uuid.UUID]] = defaultdict(list)
    pending = list(unheard.only("member", "item", "row", "field", "decided_at"))
    times = Counter((correction.item, correction.row) for correction in pending)
    repeatedly = {one.member_id for one in pending if times[one.item, one.row] > 1}
    winners = Winners([told[member][0] for member in sorted(repeatedly)], ring) if repeatedly else None
    for correction in pending:
        person, new, written_at, differed = told[correction.member_id]
        late = correction.decided_at is not None and correction.decided_at < written_at
        if not late or correction.item in differed or not new.says(ITEMS[correction.item]):
            continue
        if winners is None or times[correction.item, correction.row] == 1 or not _set_back(correction, person, winners):
            heard[written_at].append(correction.pk)
    if heard:
        with acting(None, reason=Reason.IMPORTED):
            for written_at, corrections in heard.items():
                Correction.objects.filter(pk__in=corrections).update(heard_at=written_at)


def _set_back(correction: Correction, person: OnFile, winners: Winners) -> bool:
    """Whether the row holds again what an earlier correction of the console had superseded.

    Of a value that is destroyed nobody can tell, and it counts as another: else no file would ever be heard again.
    """
    item, winner = ITEMS[correction.item], winners.of(person, None)
    rows = [(person.member, person.clear), *person.contacts, *person.addressees, *person.payment_means]
    return any(
        winner.repeats(item, row.pk, getattr(clear, correction.field))
        for row, clear in rows
        if row.pk == correction.row
    )
