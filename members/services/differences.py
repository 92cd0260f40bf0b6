"""What a file says otherwise than the rows on file, told by the rule books; nothing is read or written here.

Rows have no number in a file. A row on file and an entry of the file are one where they say the same; versions of one
where they agree in what makes the thing (:data:`SAME_THING`); else one is gone and another is new.
"""

import dataclasses
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _

from members import inventory
from members.intake import COUNTRY_OF, Fault, NewMember
from members.inventory import Item
from members.models import Addressee, ContactPoint, Member, PaymentMeans
from members.services.on_file import ADDRESSEE_COLUMNS, PAYMENT_COLUMNS, OnFile
from members.services.winners import CONSOLE_NEWER, FILE_OLDER, SUSPENDED, Winner

# Columns of the member's own row that a member may change.
_OWN_ITEMS = {
    "birth_date": inventory.BIRTH_DATE,
    "sex": inventory.SEX,
    "occupation": inventory.OCCUPATION,
}
COLUMNS: dict[type[Any], tuple[str, ...]] = {
    Member: tuple(_OWN_ITEMS),
    ContactPoint: ("value",),
    Addressee: ADDRESSEE_COLUMNS,
    PaymentMeans: PAYMENT_COLUMNS,
}
_LISTS = {"contacts": ContactPoint, "addressees": Addressee, "payment_means": PaymentMeans}
# In whom two rows agree that are versions of one: the same addressee moved, the same card expired.
SAME_THING: dict[type[Any], Callable[[Any, Any], bool]] = {
    ContactPoint: lambda one, other: True,
    Addressee: lambda one, other: one.name == other.name or one.address == other.address,
    PaymentMeans: lambda one, other: (
        (one.token, one.bank) == (other.token, other.bank) and (bool(one.token) or one.last_four == other.last_four)
    ),
}
KEPT = {
    SUSPENDED: _("A correction of this item is pending in the console; the value on file was kept."),
    CONSOLE_NEWER: _("The console corrected this item, which the file does not know; the value on file was kept."),
    FILE_OLDER: _("A file that was written later was taken already; the data on file was kept."),
    "membership_ended": _("The membership has ended; the data on file was kept."),
}


@dataclasses.dataclass
class RowPlan:
    """One live row: what it holds, and what it shall hold. ``after`` is None: it goes."""

    row: Any
    before: Any
    after: Any

    def changed_items(self) -> Iterator[tuple[str, Item]]:
        """Column and item of each value that becomes another."""
        for column in COLUMNS[type(self.row)]:
            old = getattr(self.before, column)
            if old != (getattr(self.after, column) if self.after is not None else ""):
                yield column, self.row._meta.get_field(column).item_for(self.row)


@dataclasses.dataclass
class PersonPlan:
    """What becomes of one member's data."""

    person: OnFile
    rows: list[RowPlan]
    added: list[tuple[type[Any], Any]]
    kept: list[Fault]

    @property
    def subject(self) -> uuid.UUID:
        """The member."""
        return self.person.member.pk

    def changes(self) -> list[tuple[RowPlan, str, Item]]:
        """Every value on file that becomes another."""
        return [(plan, column, item) for plan in self.rows for column, item in plan.changed_items()]

    def after(self) -> NewMember:
        """The member's data as it will be on file."""
        own: NewMember = next(plan.after for plan in self.rows if plan.row is self.person.member)
        lists: dict[str, Any] = {
            name: tuple(
                sorted(
                    [plan.after for plan in self.rows if type(plan.row) is model and plan.after is not None]
                    + [entry for added_to, entry in self.added if added_to is model]
                )
            )
            for name, model in _LISTS.items()
        }
        return dataclasses.replace(own, **lists)


def differences(stored: NewMember, new: NewMember) -> tuple[str, ...]:
    """Names of the fields of ``new`` that say something else than what is on file, last use aside.

    A field that the row does not hold says nothing; a list of which something was left out says only what it adds.
    """
    if stored == new:
        return ()
    country = COUNTRY_OF.get(stored.entity, "JP")
    clear = [name for name in ("entity", "joined_on") if getattr(stored, name) != getattr(new, name)]
    texts = [
        name
        for name, item in _IMMUTABLE.items() | _OWN_ITEMS.items()
        if name not in new.unsaid and not item.book.same(getattr(stored, name), getattr(new, name), country)
    ]
    lists = [
        name
        for name, model in _LISTS.items()
        if name not in new.unsaid
        and (one := getattr(stored, name)) != (other := getattr(new, name))
        and not _same_list(model, one, other, country, whole=name not in new.incomplete)
    ]
    found = {*clear, *texts, *lists}
    return tuple(field.name for field in dataclasses.fields(NewMember) if field.name in found)


_IMMUTABLE = {
    "number": inventory.MEMBER_NUMBER,
    "login_id": inventory.LOGIN_ID,
    "name": inventory.NAME,
    "kana": inventory.KANA,
}
# Name, ID and the like cannot be corrected (P5.A); nor can the past.
UNCHANGEABLE = frozenset({*_IMMUTABLE, "entity", "joined_on"})


def _items(model: type[Any], entry: Any) -> dict[str, Item]:
    """Column → item of an entry of a list; the items of contacts and of payment means depend on its kind."""
    fields = {column: model._meta.get_field(column) for column in COLUMNS[model]}
    return {column: field.item_for(entry) for column, field in fields.items()}


def _same_entry(model: type[Any], one: Any, other: Any, country: str) -> bool:
    if getattr(one, "kind", "") != getattr(other, "kind", ""):
        return False
    return all(
        item.book.same(getattr(one, column), getattr(other, column), country)
        for column, item in _items(model, one).items()
    )


def _same_list(model: type[Any], stored: Sequence[Any], new: Sequence[Any], country: str, *, whole: bool) -> bool:
    gone, come = _unmatched(model, stored, new, country)
    return not (gone and whole) and not (come and (whole or model is ContactPoint))


def _unmatched(
    model: type[Any], stored: Sequence[Any], new: Sequence[Any], country: str
) -> tuple[list[int], list[int]]:
    """Positions of entries on file, and of entries of the file, that have no like on the other side."""
    left = list(range(len(stored)))
    fresh = []
    for position, entry in enumerate(new):
        like = next((at for at in left if _same_entry(model, stored[at], entry, country)), None)
        if like is not None:
            left.remove(like)
        elif not any(_same_entry(model, known, entry, country) for known in stored):
            # Said twice in other spellings, it is on file already.
            fresh.append(position)
    return left, fresh


def plan_of(person: OnFile, new: NewMember, winner: Winner) -> PersonPlan:
    """What the file changes of a member's data, and what is kept because something wins over the file."""
    country = COUNTRY_OF.get(person.member.entity_id, "JP")
    plan = PersonPlan(person, [], [], [])
    if person.member.state != Member.State.ACTIVE:
        plan.rows.append(RowPlan(person.member, person.clear, person.clear))
        plan.kept = [
            Fault(name, "membership_ended", KEPT["membership_ended"]) for name in differences(person.clear, new)
        ]
        return plan
    own = RowPlan(person.member, person.clear, person.clear)
    plan.rows.append(own)
    for name, item in _OWN_ITEMS.items():
        text = getattr(new, name)
        if name not in new.unsaid and not item.book.same(getattr(person.clear, name), text, country):
            _set(plan, own, {name: (item, text)}, winner)
    for name, model in _LISTS.items():
        if name in new.unsaid:
            plan.rows += [RowPlan(row, clear, clear) for row, clear in getattr(person, name)]
        else:
            whole = name not in new.incomplete
            _plan_list(plan, model, getattr(person, name), getattr(new, name), winner, country, whole=whole)
    return plan


def _set(plan: PersonPlan, row_plan: RowPlan, values: dict[str, tuple[Item, str]], winner: Winner) -> None:
    """The row gets new texts, but for those that something wins over."""
    texts = {}
    for column, (item, text) in values.items():
        if code := winner.over(item, row_plan.row.pk, text):
            plan.kept.append(Fault(item.code, code, KEPT[code]))
        else:
            texts[column] = text
    if texts:
        row_plan.after = dataclasses.replace(row_plan.after, **texts)


def _plan_list(
    plan: PersonPlan,
    model: type[Any],
    stored: Sequence[tuple[Any, Any]],
    new: Sequence[Any],
    winner: Winner,
    country: str,
    *,
    whole: bool,
) -> None:
    """Entries of the file against rows on file: the same, another version of one, new, or gone.

    Unless ``whole``, something of the list was left out: nothing on file is gone or another version, and only contacts,
    each of them one value, are new.
    """
    rows = [RowPlan(row, clear, clear) for row, clear in stored]
    plan.rows += rows
    if tuple(sorted(clear for _row, clear in stored)) == new:
        return
    left, fresh = _unmatched(model, [row.before for row in rows], new, country)
    if whole or model is ContactPoint:
        for position, row in _repeated(model, rows, new, fresh, winner, country):
            fresh.remove(position)
            left = [at for at in left if rows[at] is not row]
            _set(plan, row, _differing(model, row, new[position], country), winner)
        for at in [at for at in left if _is_told_elsewhere(model, rows[at], new, winner, country)]:
            left.remove(at)
            plan.kept += [
                Fault(item.code, CONSOLE_NEWER, KEPT[CONSOLE_NEWER]) for item in given(model, rows[at].before).values()
            ]
    if not whole:
        if model is ContactPoint:
            _add_contacts(plan, [rows[at] for at in left], [new[position] for position in fresh], winner)
        return
    for kind in sorted(
        {getattr(rows[at].before, "kind", "") for at in left} | {getattr(new[at], "kind", "") for at in fresh}
    ):
        gone = [rows[at] for at in left if getattr(rows[at].before, "kind", "") == kind]
        come = [new[at] for at in fresh if getattr(new[at], "kind", "") == kind]
        named = any(getattr(entry, "kind", "") == kind for entry in new)
        _plan_kind(plan, model, gone, come, winner, country, named=named)


def _add_contacts(plan: PersonPlan, missing: Sequence[RowPlan], come: Sequence[Any], winner: Winner) -> None:
    """Contacts are new, unless one may be a missing row as the file knows it."""
    unsure = {row.before.kind for row in missing if _is_unsure(ContactPoint, row, winner)}
    for entry in come:
        if entry.kind in unsure:
            (item,) = given(ContactPoint, entry).values()
            plan.kept.append(Fault(item.code, CONSOLE_NEWER, KEPT[CONSOLE_NEWER]))
        else:
            plan.added.append((ContactPoint, entry))


def _as_the_file_knows(model: type[Any], row: RowPlan, entry: Any, winner: Winner) -> Any:
    """What the row holds, but for the values that the console corrected and ``entry`` only repeats."""
    repeated = {
        column: getattr(entry, column)
        for column, item in _items(model, entry).items()
        if winner.repeats(item, row.row.pk, getattr(entry, column))
    }
    return dataclasses.replace(row.before, **repeated) if repeated else row.before


def _repeated(
    model: type[Any], rows: Sequence[RowPlan], new: Sequence[Any], fresh: Sequence[int], winner: Winner, country: str
) -> list[tuple[int, RowPlan]]:
    """Positions of entries that say nothing but what the console corrected, each with the row that was corrected."""
    found = []
    for position in fresh:
        entry = new[position]
        corrected = (
            row for row in rows if _same_entry(model, _as_the_file_knows(model, row, entry, winner), entry, country)
        )
        if (row := next(corrected, None)) is not None:
            found.append((position, row))
    return found


def _is_told_elsewhere(model: type[Any], row: RowPlan, new: Sequence[Any], winner: Winner, country: str) -> bool:
    """Whether the file has the row as it was before the console gave another row what stood in this one."""
    return any(
        known is not row.before and _same_entry(model, known, entry, country)
        for entry in new
        for known in [_as_the_file_knows(model, row, entry, winner)]
    )


def _differing(model: type[Any], row: RowPlan, entry: Any, country: str) -> dict[str, tuple[Item, str]]:
    """Column → item and text of what ``entry`` says otherwise than the row."""
    return {
        column: (item, getattr(entry, column))
        for column, item in _items(model, entry).items()
        if not item.book.same(getattr(row.before, column), getattr(entry, column), country)
    }


def _plan_kind(
    plan: PersonPlan,
    model: type[Any],
    gone: list[RowPlan],
    come: list[Any],
    winner: Winner,
    country: str,
    *,
    named: bool,
) -> None:
    """Rows of one kind that the file no longer has, and entries that it has instead; ``named``: it has some at all."""
    protected = {id(row): code for row in gone if (code := _protects(model, row, winner))}
    # One of the entries may be the row as the file knows it; nobody can tell which, or whether any.
    unsure = {id(row) for row in gone if named and _is_unsure(model, row, winner)}
    protected |= dict.fromkeys(unsure - protected.keys(), CONSOLE_NEWER)
    if protected and len(come) > 1 and model is ContactPoint:
        # Which of them the member has now cannot be told from which of them is the stale one.
        plan.kept += [
            Fault(item.code, protected[id(row)], KEPT[protected[id(row)]])
            for row in gone
            if id(row) in protected
            for item in given(model, row.before).values()
        ]
        return
    pairs = _paired(model, gone, come, winner, country)
    if model is ContactPoint:
        # Each holds one value: what the file has instead of a protected one is another version of it.
        alone = [row for row in gone if id(row) in protected.keys() - unsure]
        pairs += zip(alone, come, strict=False)
    gone = [row for row in gone if all(row is not paired for paired, _entry in pairs)]
    come = [entry for entry in come if all(entry is not paired for _row, paired in pairs)]
    for row, entry in pairs:
        _set(plan, row, _differing(model, row, entry, country), winner)
        if row.after is not row.before and hasattr(entry, "well_formed"):
            row.after = dataclasses.replace(row.after, well_formed=entry.well_formed)
    for row in gone:
        if why := protected.get(id(row)):
            plan.kept += [Fault(item.code, why, KEPT[why]) for item in given(model, row.before).values()]
        else:
            row.after = None
    if not unsure & {id(row) for row in gone}:
        plan.added += [(model, entry) for entry in come]


def _paired(
    model: type[Any], gone: Sequence[RowPlan], come: Sequence[Any], winner: Winner, country: str
) -> list[tuple[RowPlan, Any]]:
    """Rows beside entries that are another version of them: whatever is most alike first, whichever comes first.

    Two addressees may share a name or an address; what the console corrected of one says nothing of the other.
    """
    alike = []
    for at, row in enumerate(gone):
        for place, entry in enumerate(come):
            known = _as_the_file_knows(model, row, entry, winner)
            if SAME_THING[model](known, entry):
                columns = _items(model, entry).items()
                apart = sum(
                    not item.book.same(getattr(known, column), getattr(entry, column), country)
                    for column, item in columns
                )
                alike.append((apart, at, place))
    rows, places, pairs = set[int](), set[int](), []
    for _apart, at, place in sorted(alike):
        if at not in rows and place not in places:
            rows.add(at)
            places.add(place)
            pairs.append((gone[at], come[place]))
    return pairs


def given(model: type[Any], entry: Any) -> dict[str, Item]:
    """Column → item of the values that an entry holds."""
    return {column: item for column, item in _items(model, entry).items() if getattr(entry, column)}


def _protects(model: type[Any], row: RowPlan, winner: Winner) -> str:
    """Why the row may not go, or ""."""
    codes = (winner.over(item, row.row.pk) for item in _items(model, row.before).values())
    return next((code for code in codes if code), "")


def _is_unsure(model: type[Any], row: RowPlan, winner: Winner) -> bool:
    """Whether the row holds a correction of the console that the file may not know, and what it knows is destroyed."""
    return any(winner.unsure(item, row.row.pk) for item in given(model, row.before).values())
