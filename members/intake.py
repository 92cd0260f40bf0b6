"""What a new member's row must hold, whether it comes from a file or a feed. Bad rows are named, never repaired."""

import dataclasses
import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from access_control.characters import strange_character
from members import normal_forms
from members.models import ContactPoint, PaymentMeans

COUNTRY_OF = {"jp": "JP", "kr": "KR", "sg": "SG"}
SEXES = frozenset({"female", "male", "other"})
# The policy was established then; nobody joined under it before.
FIRST_JOINING = datetime.date(2010, 6, 10)
_FORBIDDEN = {
    "card_number": _(
        "This field holds a card number (%(digits)d digits from character %(position)d). It is never stored."
    ),
    "my_number": _(
        "This field holds an Individual Number (%(digits)d digits from character %(position)d). It is never stored."
    ),
}
# Which numbers a field is asked for. What the marketplace numbers is never a person's; twelve digits may be two
# telephones, while the number of a card is no telephone's.
_ANY, _ONLY_A_CARD, _NONE = frozenset(_FORBIDDEN), frozenset({"card_number"}), frozenset[str]()
# The spelling of nearly every date; nothing that text() refuses is spelt so.
_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CONTACT_KINDS = frozenset(ContactPoint.Kind.values)
_MEANS_KINDS = frozenset(PaymentMeans.Kind.values)
# Nobody ordered on the web before; an older year is a slip of the pen, and its record would be due at once.
FIRST_ORDER = datetime.date(1995, 1, 1)
_AMOUNT = re.compile(r"-?[0-9]{1,11}(?:\.[0-9]{1,3})?", re.ASCII)
_CURRENCY = re.compile("[A-Z]{3}")


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
    """Where goods go. Empty text means: not given."""

    name: str
    kana: str
    postcode: str
    address: str
    phone: str


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

    def __repr__(self) -> str:
        return "<NewMember>"

    def differences(self, other: "NewMember") -> list[str]:
        """Names of the fields in which the two differ."""
        return [
            field.name for field in dataclasses.fields(self) if getattr(self, field.name) != getattr(other, field.name)
        ]


_PAYMENT_FIELDS = {
    "card": ("token", "brand", "last_four", "expiry"),
    "bank": ("bank", "branch", "last_four", "holder"),
    "mobile": ("phone",),
}
_ENTRY_FIELDS = {
    "contacts": {"kind", "value"},
    "addressees": {"name", "kana", "postcode", "address", "phone"},
    "payment_means": {"kind", *(name for names in _PAYMENT_FIELDS.values() for name in names)},
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
    }
)


class _Reader:
    """Reads fields of one row and gathers faults instead of stopping at the first."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def fault(self, field: str, code: str, message: Any) -> None:
        self.faults.append(Fault(field, code, message))

    def text(
        self,
        row: Mapping[str, Any],
        name: str,
        path: str,
        *,
        needed: bool,
        most: int = 200,
        forbidden: frozenset[str] = _ANY,
    ) -> str:
        """The trimmed text, "" when absent. Refuses other types, strange characters, excess, forbidden numbers."""
        value = row.get(name)
        if value is None or value == "":
            if needed:
                self.fault(path, "missing", _("This field is missing."))
            return ""
        if not isinstance(value, str):
            self.fault(path, "not_text", _("This field must be text."))
            return ""
        value = value.strip()
        if len(value) > most:
            self.fault(path, "too_long", _("This field is too long."))
        elif strange := strange_character(value):
            self.fault(path, strange.code, strange.message)
        elif seen := [one for one in normal_forms.forbidden_numbers(value) if one.kind in forbidden]:
            place = {"digits": seen[0].digits, "position": seen[0].start + 1}
            self.fault(path, seen[0].kind, _FORBIDDEN[seen[0].kind] % place)
        else:
            if needed and not value:
                self.fault(path, "missing", _("This field is missing."))
            return value
        return ""

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

    def normal(self, path: str, make: Callable[[str], str], text: str) -> str:
        """The normal form of ``text``, "" where there is none."""
        if not text:
            return ""
        try:
            return make(text)
        except normal_forms.NotNormal as error:
            self.fault(path, error.code, error.message)
            return ""

    def rows(self, row: Mapping[str, Any], name: str) -> list[tuple[str, Mapping[str, Any]]]:
        """(path, object) of each entry of a list."""
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
            if not entry.keys() <= _ENTRY_FIELDS[name]:
                self.fault(f"{name}[{position}].?", "unknown_field", _("This field is not in the inventory."))
        return [(f"{name}[{position}]", entry) for position, entry in enumerate(value)]


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


def _fields_of(row: object, known: frozenset[str], reader: _Reader) -> Mapping[str, Any]:
    """The row as an object; a field that nobody declared is a fault. Raises Rejected when it is no object."""
    if not isinstance(row, dict):
        raise Rejected([Fault("", "not_an_object", _("Each line must be a JSON object."))])
    for position, name in enumerate(row, 1):
        if str(name) not in known:
            # A field that nobody declared would be an item that nobody declared (P2); its name may itself be a value.
            reader.fault(f"#{position}", "unknown_field", _("This field is not in the inventory."))
    return row


def parse_transaction(row: object, *, today: datetime.date | None = None) -> NewTransaction:
    """A row as a NewTransaction: the least that the law demands. Raises Rejected with every fault."""
    today = today or timezone.localdate()
    reader = _Reader()
    row = _fields_of(row, _TRANSACTION_FIELDS, reader)
    number = reader.text(row, "member_number", "member_number", needed=True, most=40, forbidden=_NONE)
    reader.normal("member_number", normal_forms.member_number, number)
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
        order=reader.text(row, "order", "order", needed=True, most=80, forbidden=_NONE),
        ordered_on=ordered_on or today,
        goods=reader.text(row, "goods", "goods", needed=True, most=1_000),
        amount=f"{amount} {currency}",
        name=reader.text(row, "name", "name", needed=True),
        address=reader.text(row, "address", "address", needed=False, most=400),
    )
    if reader.faults:
        raise Rejected(reader.faults)
    return new


def parse(row: object, *, entities: frozenset[str], today: datetime.date | None = None) -> NewMember:
    """A row as a NewMember. Raises Rejected with every fault."""
    today = today or timezone.localdate()
    reader = _Reader()
    row = _fields_of(row, _ROW_FIELDS, reader)
    number = reader.text(row, "member_number", "member_number", needed=True, most=40, forbidden=_NONE)
    reader.normal("member_number", normal_forms.member_number, number)
    login_id = reader.text(row, "login_id", "login_id", needed=True, most=80)
    reader.normal("login_id", normal_forms.login_id, login_id)
    entity = reader.choice(row, "entity", "entity", entities, most=2)
    if entity and entity not in entities:
        reader.fault("entity", "unknown_entity", _("No such entity."))
    country = COUNTRY_OF.get(entity, "JP")
    joined_on = reader.date(row, "joined_on", needed=True)
    last_used_on = reader.date(row, "last_used_on", needed=False)
    for field, day in (("joined_on", joined_on), ("last_used_on", last_used_on)):
        if day and day > today:
            reader.fault(field, "in_the_future", _("This date is in the future."))
    if joined_on and joined_on < FIRST_JOINING:
        reader.fault("joined_on", "before_the_policy", _("Nobody joined before 2010-06-10."))
    if joined_on and last_used_on and last_used_on < joined_on:
        reader.fault("last_used_on", "before_joining", _("Last use cannot be before joining."))
    name = reader.text(row, "name", "name", needed=True)
    kana = reader.text(row, "kana", "kana", needed=False)
    birth_date = reader.date(row, "birth_date", needed=False)
    if birth_date and not datetime.date(1868, 1, 1) <= birth_date <= today:
        reader.fault("birth_date", "unbelievable", _("This date of birth cannot be right."))
    sex = reader.choice(row, "sex", "sex", SEXES, needed=False)
    if sex and sex not in SEXES:
        reader.fault("sex", "unknown_value", _("Use female, male or other."))
    new = NewMember(
        number=number,
        login_id=login_id,
        entity=entity,
        joined_on=joined_on or today,
        last_used_on=last_used_on,
        name=name,
        kana=kana,
        birth_date=birth_date.isoformat() if birth_date else "",
        sex=sex,
        occupation=reader.text(row, "occupation", "occupation", needed=False),
        contacts=_contacts(reader, row, country),
        addressees=_addressees(reader, row, country),
        payment_means=_payment_means(reader, row, country),
    )
    if reader.faults:
        raise Rejected(reader.faults)
    return new


def _contacts(reader: _Reader, row: Mapping[str, Any], country: str) -> tuple[NewContact, ...]:
    found = []
    for path, entry in reader.rows(row, "contacts"):
        kind = reader.choice(entry, "kind", f"{path}.kind", _CONTACT_KINDS)
        asked = _ANY if "email" in kind else _ONLY_A_CARD
        value = reader.text(entry, "value", f"{path}.value", needed=True, forbidden=asked)
        form, well_formed = "", True
        if kind and kind not in _CONTACT_KINDS:
            reader.fault(f"{path}.kind", "unknown_kind", _("No such kind of contact."))
        elif value and "email" in kind:
            form = reader.normal(f"{path}.value", normal_forms.mail, value)
        elif value:
            try:
                form, well_formed = normal_forms.phone_on_file(value, country)
            except normal_forms.NotNormal as error:
                reader.fault(f"{path}.value", error.code, error.message)
        found.append(NewContact(kind, value, well_formed, form))
    return tuple(sorted(set(found)))


def _addressees(reader: _Reader, row: Mapping[str, Any], country: str) -> tuple[NewAddressee, ...]:
    found = []
    for path, entry in reader.rows(row, "addressees"):
        values = {
            name: reader.text(
                entry,
                name,
                f"{path}.{name}",
                needed=name in {"name", "address"},
                most=400,
                forbidden=_ONLY_A_CARD if name == "phone" else _ANY,
            )
            for name in ("name", "kana", "postcode", "address", "phone")
        }
        reader.normal(f"{path}.postcode", lambda text: normal_forms.postcode(text, country), values["postcode"])
        found.append(NewAddressee(**values))
    return tuple(sorted(set(found)))


def _payment_means(reader: _Reader, row: Mapping[str, Any], country: str) -> tuple[NewPaymentMeans, ...]:
    found = []
    for path, entry in reader.rows(row, "payment_means"):
        kind = reader.choice(entry, "kind", f"{path}.kind", _MEANS_KINDS)
        if kind and kind not in _MEANS_KINDS:
            reader.fault(f"{path}.kind", "unknown_kind", _("No such means of payment."))
            continue
        if not entry.keys() <= {"kind", *_PAYMENT_FIELDS.get(kind, ())}:
            reader.fault(f"{path}.?", "unknown_field", _("This field is not in the inventory."))
        values = {
            name: reader.text(
                entry, name, f"{path}.{name}", needed=True, forbidden=_ONLY_A_CARD if name == "phone" else _ANY
            )
            for name in _PAYMENT_FIELDS.get(kind, ())
        }
        reader.normal(f"{path}.last_four", normal_forms.last_four, values.get("last_four", ""))
        found.append(NewPaymentMeans(kind, **values))
    return tuple(sorted(set(found)))
