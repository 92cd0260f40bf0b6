"""Reading one row of a file field by field: types, lengths, forbidden numbers, and the rule book of each item."""

import dataclasses
import datetime
import re
from collections.abc import Mapping, Sequence, Set
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from access_control.sentences import filled
from members import rule_books
from members.inventory import Item
from members.normal_forms import NotNormal
from members.normal_forms.numbers import CARD_NUMBER, MY_NUMBER
from members.rule_books import Read, RuleBook

# The policy was established then; nobody joined under it before.
FIRST_JOINING = datetime.date(2010, 6, 10)
_FORBIDDEN = {
    CARD_NUMBER: _(
        "This field holds a card number (%(digits)d digits from character %(position)d). It is never stored."
    ),
    MY_NUMBER: _(
        "This field holds an Individual Number (%(digits)d digits from character %(position)d). It is never stored."
    ),
}
# The spelling of nearly every date; nothing that text() refuses is spelt so.
_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclasses.dataclass(frozen=True)
class Fault:
    """One thing wrong with a row: where, a stable code, and a sentence. Never the value."""

    field: str
    code: str
    message: Any


class Rejected(Exception):
    """A row that does not go in, with every fault found."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(", ".join(f"{fault.field}: {fault.code}" for fault in faults))
        self.faults = list(faults)


NOTHING = Read("")


class RowReader:
    """Reads fields of one row and gathers faults instead of stopping at the first.

    ``left_out`` names what is no such item and yet no reason to refuse the member: a contact, a part of an addressee.
    """

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.left_out: list[Fault] = []
        self.country = "JP"

    def fault(self, field: str, code: str, message: Any) -> None:
        """One thing wrong with the row."""
        self.faults.append(Fault(field, code, message))

    def text(
        self,
        row: Mapping[str, Any],
        name: str,
        path: str,
        *,
        needed: bool,
        most: int = rule_books.LONGEST,
        lenient: bool = False,
        book: RuleBook = rule_books.TEXT,
    ) -> str:
        """The tidy text, "" when absent. Refuses other types, strange characters, excess, and what ``book`` forbids.

        ``lenient``: what is too long is left out.
        """
        value = row.get(name)
        if value is None or value == "":
            if needed:
                self.fault(path, "missing", _("This field is missing."))
            return ""
        if not isinstance(value, str):
            self.fault(path, "not_text", _("This field must be text."))
            return ""
        try:
            value = rule_books.tidy(value, most)
        except NotNormal as error:
            if error.code == "too_long" and lenient:
                self.left_out.append(Fault(path, error.code, error.message))
            elif error.code != "empty":
                self.fault(path, error.code, error.message)
            elif needed:
                self.fault(path, "missing", _("This field is missing."))
            return ""
        if seen := book.forbidden_in(value):
            place = {"digits": seen[0].digits, "position": seen[0].start + 1}
            self.fault(path, seen[0].kind, filled(_FORBIDDEN[seen[0].kind], place))
            return ""
        return value

    def item(
        self, row: Mapping[str, Any], name: str, path: str, item: Item, *, needed: bool = False, lenient: bool = False
    ) -> Read:
        """The text as the item's rule book has it. What is no such item is a fault, or is left out when ``lenient``."""
        book = item.book
        text = self.text(row, name, path, needed=needed, most=book.longest, lenient=lenient, book=book)
        return self.read(text, path, book, lenient=lenient) if text else NOTHING

    def read(self, text: str, path: str, book: RuleBook, *, lenient: bool) -> Read:
        """A tidy text as the rule book has it."""
        try:
            return book.read_tidy(text, self.country)
        except NotNormal as error:
            (self.left_out if lenient else self.faults).append(Fault(path, error.code, error.message))
            return NOTHING

    def names(self, path: str) -> bool:
        """Whether this field was named already."""
        return any(fault.field == path for fault in (*self.faults, *self.left_out))

    def choice(
        self,
        row: Mapping[str, Any],
        name: str,
        path: str,
        choices: frozenset[str],
        *,
        needed: bool = True,
        most: int = 200,
    ) -> str:
        """A text that should be one of ``choices``; the caller says what is wrong with another."""
        value = row.get(name)
        if isinstance(value, str) and value in choices:
            return value
        return self.text(row, name, path, needed=needed, most=most)

    def date(self, row: Mapping[str, Any], name: str, *, needed: bool) -> datetime.date | None:
        """An ISO date."""
        value = row.get(name)
        if not isinstance(value, str) or not _DATE.fullmatch(value):
            value = self.text(row, name, name, needed=needed)
        text: str = value
        if not text:
            return None
        try:
            return datetime.date.fromisoformat(text)
        except ValueError:
            self.fault(name, "not_a_date", _("This field must be a date like 2020-01-31."))
            return None

    def moment(self, row: Mapping[str, Any], name: str) -> datetime.datetime | None:
        """An ISO time with its offset from UTC."""
        text = self.text(row, name, name, needed=False)
        try:
            return moment(text) if text else None
        except ValueError:
            self.fault(
                name, "not_a_time", _("This field must be a time with its zone, like 2020-01-31T23:00:00+09:00.")
            )
            return None

    def rows(self, row: Mapping[str, Any], name: str, known: Set[str]) -> list[tuple[str, Mapping[str, Any]]]:
        """(path, object) of each entry of a list; a field that is not ``known`` is a fault."""
        value = row.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            self.fault(name, "not_a_list", _("This field must be a list of objects."))
            return []
        if len(value) > 100:
            self.fault(name, "too_many", _("This list has more than 100 entries."))
            return []
        for position, entry in enumerate(value):
            if not entry.keys() <= known:
                self.fault(f"{name}[{position}].?", "unknown_field", _("This field is not in the inventory."))
        return [(f"{name}[{position}]", entry) for position, entry in enumerate(value)]


def moment(text: str) -> datetime.datetime:
    """A time with its offset from UTC, as ISO 8601 has it. Raises ValueError, also for a time to come."""
    found = datetime.datetime.fromisoformat(text)
    if found.tzinfo is None or found.year < FIRST_JOINING.year or found > timezone.now():
        raise ValueError("no past time with its zone")
    return found


def fields_of(row: object, known: frozenset[str], reader: RowReader) -> Mapping[str, Any]:
    """The row as an object; a field that nobody declared is a fault. Raises Rejected when it is no object."""
    if not isinstance(row, dict):
        raise Rejected([Fault("", "not_an_object", _("Each line must be a JSON object."))])
    for position, name in enumerate(row, 1):
        if str(name) not in known:
            # A field that nobody declared would be an item that nobody declared (P2); its name may itself be a value.
            reader.fault(f"#{position}", "unknown_field", _("This field is not in the inventory."))
    return row
