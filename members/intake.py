"""What a new member's row must hold, whether it comes from a file or a feed. Bad rows are named, never repaired."""

import dataclasses
import datetime
import re
from collections.abc import Mapping
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from members import inventory, rule_books
from members.inventory import Item
from members.models import ContactPoint, PaymentMeans
from members.row_reader import FIRST_JOINING, Fault, Rejected, RowReader, fields_of, moment

__all__ = [
    "COUNTRY_OF",
    "Fault",
    "NewAddressee",
    "NewContact",
    "NewMember",
    "NewPaymentMeans",
    "NewTransaction",
    "Rejected",
    "moment",
    "parse",
    "parse_transaction",
]

COUNTRY_OF = {"jp": "JP", "kr": "KR", "sg": "SG"}
_CONTACT_KINDS = frozenset(ContactPoint.Kind.values)
_MEANS_KINDS = frozenset(PaymentMeans.Kind.values)
# First part of an item's code → the list of a row that holds such items.
_LIST_OF = {"contact": "contacts", "addressee": "addressees", "payment": "payment_means"}
# Nobody ordered on the web before; an older year is a slip of the pen, and its record would be due at once.
FIRST_ORDER = datetime.date(1995, 1, 1)
_AMOUNT = re.compile(r"-?[0-9]{1,11}(?:\.[0-9]{1,3})?", re.ASCII)
_CURRENCY = re.compile("[A-Z]{3}")


@dataclasses.dataclass(frozen=True, order=True)
class NewContact:
    """A contact point: kind and text as given; ``well_formed`` is False for old data that is no valid number.

    ``form`` is the normal form of the text when it was read from a row; "": it was not made yet.
    """

    kind: str
    value: str
    well_formed: bool = dataclasses.field(default=True, compare=False)
    form: str = dataclasses.field(default="", compare=False)


@dataclasses.dataclass(frozen=True, order=True)
class NewAddressee:
    """Where goods go. Empty text means: not given.

    ``well_formed`` is False for a postcode of another country, or a telephone that is none; they are kept.
    """

    name: str
    kana: str
    postcode: str
    address: str
    phone: str
    well_formed: bool = dataclasses.field(default=True, compare=False)


@dataclasses.dataclass(frozen=True, order=True)
class NewPaymentMeans:
    """How the member pays. Which fields are filled depends on the kind."""

    kind: str
    token: str = ""
    brand: str = ""
    expiry: str = ""
    last_four: str = ""
    bank: str = ""
    branch: str = ""
    holder: str = ""
    phone: str = ""


@dataclasses.dataclass(frozen=True)
class NewMember:
    """A member in clear, for as long as it takes to seal. Never logged: ``repr`` shows nothing."""

    number: str
    login_id: str
    entity: str
    joined_on: datetime.date
    last_used_on: datetime.date | None
    name: str
    kana: str
    birth_date: str
    sex: str
    occupation: str
    contacts: tuple[NewContact, ...]
    addressees: tuple[NewAddressee, ...]
    payment_means: tuple[NewPaymentMeans, ...]
    # When the marketplace wrote the row; None: it does not say.
    exported_at: datetime.datetime | None = None
    # What of the row was left out, by field, and why.
    left_out: tuple[Fault, ...] = dataclasses.field(default=(), compare=False)
    # Fields that the row does not hold: it says nothing of them. An empty text or list says that there is none.
    unsaid: frozenset[str] = dataclasses.field(default=frozenset(), compare=False)

    def says(self, item: Item) -> bool:
        """Whether the row says all there is of an item."""
        kind, _dot, name = item.code.partition(".")
        field = _LIST_OF.get(kind, name)
        return field not in self.unsaid and field not in self.incomplete

    @property
    def incomplete(self) -> set[str]:
        """Lists of which an entry, or a part of one, was left out: what they lack is not gone."""
        return {fault.field.partition("[")[0] for fault in self.left_out if "[" in fault.field}

    def __repr__(self) -> str:
        return "<NewMember>"


_MEANS_ITEMS: dict[str, dict[str, Item]] = {
    "card": {
        "token": inventory.CARD_TOKEN,
        "brand": inventory.CARD_BRAND,
        "last_four": inventory.CARD_LAST_FOUR,
        "expiry": inventory.CARD_EXPIRY,
    },
    "bank": {
        "bank": inventory.BANK,
        "branch": inventory.BRANCH,
        "last_four": inventory.ACCOUNT_LAST_FOUR,
        "holder": inventory.HOLDER,
    },
    "mobile": {"phone": inventory.PAYMENT_MOBILE},
}
_ENTRY_FIELDS = {
    "contacts": {"kind", "value"},
    "addressees": {"name", "kana", "postcode", "address", "phone"},
    "payment_means": {"kind", *(name for items in _MEANS_ITEMS.values() for name in items)},
}
_ROW_FIELDS = frozenset(
    {
        "member_number",
        "login_id",
        "entity",
        "joined_on",
        "last_used_on",
        "name",
        "kana",
        "birth_date",
        "sex",
        "occupation",
        "contacts",
        "addressees",
        "payment_means",
        "exported_at",
    }
)


@dataclasses.dataclass(frozen=True)
class NewTransaction:
    """An order in clear, for as long as it takes to seal. Never logged: ``repr`` shows nothing."""

    number: str
    order: str
    ordered_on: datetime.date
    goods: str
    amount: str
    name: str
    address: str

    def __repr__(self) -> str:
        return "<NewTransaction>"


_TRANSACTION_FIELDS = frozenset(
    {"member_number", "order", "ordered_on", "goods", "amount", "currency", "name", "address"}
)


def parse_transaction(row: object, *, today: datetime.date | None = None) -> NewTransaction:
    """A row as a NewTransaction: the least that the law demands. Raises Rejected with every fault."""
    today = today or timezone.localdate()
    reader = RowReader()
    row = fields_of(row, _TRANSACTION_FIELDS, reader)
    number = reader.item(row, "member_number", "member_number", inventory.MEMBER_NUMBER, needed=True).text
    ordered_on = reader.date(row, "ordered_on", needed=True)
    if ordered_on and ordered_on > today:
        reader.fault("ordered_on", "in_the_future", _("This date is in the future."))
    if ordered_on and ordered_on < FIRST_ORDER:
        reader.fault("ordered_on", "unbelievable", _("This date cannot be right."))
    amount = reader.text(row, "amount", "amount", needed=True, most=20)
    if amount and not _AMOUNT.fullmatch(amount):
        reader.fault("amount", "not_an_amount", _("This field must be an amount like 12800 or 128.50, as text."))
    currency = reader.text(row, "currency", "currency", needed=True, most=3)
    if currency and not _CURRENCY.fullmatch(currency):
        reader.fault("currency", "not_a_currency", _("This field must be a currency code like JPY."))
    new = NewTransaction(
        number=number,
        order=reader.item(row, "order", "order", inventory.TRANSACTION_ORDER, needed=True).text,
        ordered_on=ordered_on or today,
        goods=reader.item(row, "goods", "goods", inventory.TRANSACTION_GOODS, needed=True).text,
        amount=f"{amount} {currency}",
        name=reader.item(row, "name", "name", inventory.TRANSACTION_NAME, needed=True).text,
        address=reader.item(row, "address", "address", inventory.TRANSACTION_ADDRESS).text,
    )
    if reader.faults:
        raise Rejected(reader.faults)
    return new


def parse(row: object, *, entities: frozenset[str], today: datetime.date | None = None) -> NewMember:
    """A row as a NewMember. Raises Rejected with every fault."""
    today = today or timezone.localdate()
    reader = RowReader()
    row = fields_of(row, _ROW_FIELDS, reader)
    entity = reader.choice(row, "entity", "entity", entities, most=2)
    if entity and entity not in entities:
        reader.fault("entity", "unknown_entity", _("No such entity."))
    reader.country = COUNTRY_OF.get(entity, "JP")
    joined_on, last_used_on = _dates(reader, row, today)
    new = NewMember(
        entity=entity,
        joined_on=joined_on or today,
        last_used_on=last_used_on,
        contacts=_contacts(reader, row),
        addressees=_addressees(reader, row),
        payment_means=_payment_means(reader, row),
        exported_at=reader.moment(row, "exported_at"),
        left_out=tuple(reader.left_out),
        unsaid=frozenset(
            {field for field, column, _item, _needed in _MEMBER_ITEMS if row.get(column) is None}
            | {name for name in _ENTRY_FIELDS if row.get(name) is None}
        ),
        **{
            field: reader.item(row, column, column, item, needed=needed).text
            for field, column, item, needed in _MEMBER_ITEMS
        },
    )
    if reader.faults:
        raise Rejected(reader.faults)
    return new


# Field of NewMember, field of the row, item, whether it must be there.
_MEMBER_ITEMS = (
    ("number", "member_number", inventory.MEMBER_NUMBER, True),
    ("login_id", "login_id", inventory.LOGIN_ID, True),
    ("name", "name", inventory.NAME, True),
    ("kana", "kana", inventory.KANA, False),
    ("birth_date", "birth_date", inventory.BIRTH_DATE, False),
    ("sex", "sex", inventory.SEX, False),
    ("occupation", "occupation", inventory.OCCUPATION, False),
)


def _dates(
    reader: RowReader, row: Mapping[str, Any], today: datetime.date
) -> tuple[datetime.date | None, datetime.date | None]:
    """When the member joined and last used the site."""
    joined_on = reader.date(row, "joined_on", needed=True)
    last_used_on = reader.date(row, "last_used_on", needed=False)
    for field, day in (("joined_on", joined_on), ("last_used_on", last_used_on)):
        if day and day > today:
            reader.fault(field, "in_the_future", _("This date is in the future."))
    if joined_on and joined_on < FIRST_JOINING:
        reader.fault("joined_on", "before_the_policy", _("Nobody joined before 2010-06-10."))
    if joined_on and last_used_on and last_used_on < joined_on:
        reader.fault("last_used_on", "before_joining", _("Last use cannot be before joining."))
    return joined_on, last_used_on


def _contacts(reader: RowReader, row: Mapping[str, Any]) -> tuple[NewContact, ...]:
    """The contacts of a row, two in one field apart. One that is none is left out and named; the member comes in."""
    found = []
    for path, entry in reader.rows(row, "contacts", _ENTRY_FIELDS["contacts"]):
        kind, where = reader.choice(entry, "kind", f"{path}.kind", _CONTACT_KINDS), f"{path}.value"
        book = inventory.CONTACT[kind].book if kind in inventory.CONTACT else rule_books.TEXT
        text = reader.text(entry, "value", where, needed=False, lenient=True, book=book)
        if not text and not reader.names(where):
            reader.left_out.append(Fault(where, "missing", _("This field is missing.")))
        if kind and kind not in _CONTACT_KINDS:
            reader.fault(f"{path}.kind", "unknown_kind", _("No such kind of contact."))
        elif kind and text:
            for piece in rule_books.pieces(book, text, reader.country):
                value, form, well_formed = reader.read(piece, where, book, lenient=True)
                if value:
                    found.append(NewContact(kind, value, well_formed, form))
    return tuple(sorted(set(found)))


def _addressees(reader: RowReader, row: Mapping[str, Any]) -> tuple[NewAddressee, ...]:
    found = []
    for path, entry in reader.rows(row, "addressees", _ENTRY_FIELDS["addressees"]):
        read = {
            name: reader.item(entry, name, f"{path}.{name}", item, needed=needed, lenient=not needed)
            for name, item, needed in _ADDRESSEE_ITEMS
        }
        well_formed = all(value.well_formed for value in read.values())
        found.append(NewAddressee(**{name: value.text for name, value in read.items()}, well_formed=well_formed))
    return tuple(sorted(set(found)))


_ADDRESSEE_ITEMS = (
    ("name", inventory.ADDRESSEE_NAME, True),
    ("kana", inventory.ADDRESSEE_KANA, False),
    ("postcode", inventory.ADDRESSEE_POSTCODE, False),
    ("address", inventory.ADDRESSEE_ADDRESS, True),
    ("phone", inventory.ADDRESSEE_PHONE, False),
)


def _payment_means(reader: RowReader, row: Mapping[str, Any]) -> tuple[NewPaymentMeans, ...]:
    found = []
    for path, entry in reader.rows(row, "payment_means", _ENTRY_FIELDS["payment_means"]):
        kind = reader.choice(entry, "kind", f"{path}.kind", _MEANS_KINDS)
        if kind and kind not in _MEANS_KINDS:
            reader.fault(f"{path}.kind", "unknown_kind", _("No such means of payment."))
            continue
        items = _MEANS_ITEMS.get(kind, {})
        if not entry.keys() <= {"kind", *items}:
            reader.fault(f"{path}.?", "unknown_field", _("This field is not in the inventory."))
        texts = {
            name: reader.item(entry, name, f"{path}.{name}", item, needed=True, lenient=name == "phone").text
            for name, item in items.items()
        }
        # A mobile payment is nothing but its telephone: what is none was named and is left out.
        if kind != PaymentMeans.Kind.MOBILE or texts["phone"]:
            found.append(NewPaymentMeans(kind, **texts))
    return tuple(sorted(set(found)))
