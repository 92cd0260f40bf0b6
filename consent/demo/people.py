"""Made-up people for the demo, as rows of the import format. None of them exists.

The same seed, day and count give the same rows byte for byte on every machine, and a longer run begins with the rows of
a shorter one. Rows are drawn in blocks, each with its own stream of chance, so memory stays flat.

What must not belong to anybody: mail domains are reserved (RFC 2606, RFC 6761). Japanese landlines begin with a digit
that is never given out (see ``towns``). Japanese mobiles begin with 060-9, the far end of a range that is opened bit by
bit from July 2026, because every number in 090 and 080 is given out. Korean mobiles begin with 010-0, which is kept
unused so that it does not collide with short codes. Singapore keeps no range free; 8123 is how the usual example
begins. Card tokens, banks, branches, street numbers and flats are invented.
"""

from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import NamedTuple, TypeVar

from consent.demo.names import RARE_NAMES, TRADITIONS, RareName, Sex, Word
from consent.demo.towns import TOWNS, Town

FIRST_DAY = date(2010, 6, 10)  # The policy was established then.
BLOCK = 50  # Relatives are found within a block.
RARE_EVERY = 40  # One row in so many bears a rare name; the first 2,000 rows show all of them.
MEMBER_NUMBER_STEP = 61_803_399  # Has no factor in common with 10 ** 8, so that many numbers differ.
MEMBER_NUMBER_START = 12_345
ROW_MARK_START = 100  # Login IDs and mailboxes end in the row's index plus this, so that none ends in two digits.

FAMILY_SHARE = 0.105  # Of the rows that may be a relative's: about 8 in 100 of all.
FAMILIES_BEFORE_RELATIVES = 10  # So that a block does not begin with one big family.
OLD_CARRIER_MAIL_SHARE = 0.03  # With two dots in a row or a dot before the @, as carriers once allowed.

COUNTRY_CODES = {"jp": "81", "kr": "82", "sg": "65"}
# {0} area or network, {1} exchange, {2} subscriber, {3} country code, {4} area without its leading zero.
NOTATIONS = {
    "jp": ("{0}-{1}-{2}",) * 11
    + ("{0}{1}{2}",) * 3
    + ("{0}({1}){2}",) * 2
    + ("{0}－{1}－{2}", "({0}){1}-{2}", "{0} {1} {2}", "{0}ー{1}ー{2}", "+{3} {4}-{1}-{2}"),
    "kr": ("{0}-{1}-{2}", "{0}-{1}-{2}", "{0}{1}{2}", "{0} {1} {2}", "+{3} {4}-{1}-{2}"),
    "sg": ("{1} {2}", "{1}{2}", "+{3} {1} {2}"),
}
WIDE_DIGITS = str.maketrans("0123456789()", "０１２３４５６７８９（）")

ENTITY_LIMITS = (0.90, 0.96)
ENTITIES = ("jp", "kr", "sg")
TRADITION_LIMITS = {"jp": (0.965, 0.98, 0.99), "kr": (0.85, 0.97), "sg": (0.6, 0.75, 0.87)}
TRADITIONS_OF = {
    "jp": ("japanese", "latin", "hanja", "hangul"),
    "kr": ("hangul", "hanja", "latin"),
    "sg": ("chinese", "malay", "tamil", "latin"),
}

STREETS = ("{0}-{1}-{2}", "{0}-{1}-{2}", "{0}-{1}", "{0}丁目{1}-{2}", "{0}丁目{1}番{2}号", "{0}－{1}－{2}")
BUILDINGS = ("コーポ若葉", "メゾン青空", "グリーンハイツ", "第二みどり荘", "サンコート", "ヴィラ・アルバ", "ひばり荘")
SHOPS = ("K&T ワークス", "O'Neil & Sons 商会", "手芸の店 M&N", "A&Y Trading", "喫茶＆雑貨 こもれび")
# Before 24, before 65, later.
WORKING_AGES = (24, 65)
OCCUPATIONS = {
    "jp": (
        ("学生", "学生", "会社員", "アルバイト"),
        (*["会社員"] * 3, "自営業", "主婦・主夫", "パート", "公務員", "教員", "看護師", "農業", "会社役員"),
        ("年金生活", "年金生活", "自営業", "主婦・主夫", "農業"),
    ),
    "kr": (("학생", "회사원"), ("회사원", "자영업", "공무원", "주부", "교사"), ("은퇴", "자영업")),
    "sg": (("Student",), ("Office worker", "Engineer", "Teacher", "Nurse", "Self-employed"), ("Retired",)),
}
BRANDS = ("VISA", "VISA", "Mastercard", "JCB", "JCB", "AMEX")
BANKS = ("ひばり銀行", "若葉銀行", "東西銀行", "つばめ銀行", "しおさい銀行", "やまなみ銀行")
BRANCHES = ("駅前支店", "中央支店", "東支店", "港支店", "大通支店", "城北支店", "本町支店")
MAIL_DOMAINS = ("example.jp", "example.jp", "example.com", "example.net")
CARRIERS = ("docomo.example", "ezweb.example", "softbank.example", "i.softbank.example")
# Banks write every small kana large.
LARGE_KANA = str.maketrans("ァィゥェォッャュョ", "アイウエオツヤユヨ")

# {0} given name, {1} surname, {2} a number that no other row has. All end in it, so no two are equal.
LOGIN_IDS = ("{0}.{1:.1}{2}", "{0}{2}", "{1}_{0}{2}", "{1}-{0:.1}{2}", "{0:.1}.{1}{2}")
MAILBOXES = ("{0}.{1}{2}", "{1}.{0}{2}", "{1}{2}", "{0:.1}.{1}{2}", "{0}_{2}")
CARRIER_MAILBOXES = ("{0}-{0}.{2}", "{0}.{2}", "i-love-{1}-{2}", "{0}_{1:.1}_{2}")
OLD_CARRIER_MAILBOXES = ("{0}..{1:.1}.{2}", "{0}...{2}", "{0}.{2}.", "{0}-{2}..")

Row = dict[str, object]
Entry = dict[str, str | None]
Choice = TypeVar("Choice")


class Number(NamedTuple):
    """A telephone number in its parts, before somebody types it. ``area`` is empty in Singapore."""

    entity: str
    kind: str
    area: str
    exchange: str
    subscriber: str


class Household(NamedTuple):
    """What members of one family share."""

    entity: str
    tradition: str
    surname: Word
    town: Town
    street: str
    phone: Number


class Person(NamedTuple):
    """Who somebody is; ``kana`` is None where the name has no reading."""

    sex: Sex
    surname: Word
    given: Word
    name: str
    kana: str | None

    @property
    def bank_name(self) -> str:
        """The name as a bank writes an account's holder."""
        return self.kana.translate(LARGE_KANA) if self.kana else self.name.upper()


@dataclass(frozen=True)
class WellKnown:
    """Facts of the one person whom README and tests may name. No other row has her number, login ID, mail or phones."""

    member_number: str = "M00012345"
    login_id: str = "hanako.y80"
    entity: str = "jp"
    joined_on: str = "2018-04-02"
    name: str = "山田 花子"
    kana: str = "ヤマダ ハナコ"
    birth_date: str = "1980-02-03"
    email: str = "hanako.yamada@example.jp"
    phone: str = "03-1234-5678"
    mobile: str = "060-9012-3456"
    postcode: str = "100-0001"
    address: str = "東京都千代田区千代田9-8-7 コーポ若葉203号室"
    card_last_four: str = "4242"


WELL_KNOWN = WellKnown()


def people(count: int, *, seed: int, today: date) -> Iterator[Row]:
    """``count`` rows of the import format; the first is ``WELL_KNOWN``. Dates lie between ``FIRST_DAY`` and ``today``.

    Every key is present, null where the datum is absent. Raises ValueError, at the first row, when ``today`` is before
    she joined.
    """
    if today < date.fromisoformat(WELL_KNOWN.joined_on):
        raise ValueError("the demo begins on the day when its first person joined")
    draw = Random()
    for first in range(0, count, BLOCK):
        # A text seeds the same stream on every version and machine; a negative number would seed that of its opposite.
        draw.seed(f"{seed}:{first}")
        households: list[Household] = []
        for index in range(first, min(first + BLOCK, count)):
            yield _drawn_row(index, households, draw, today) if index else _well_known_row(today)


def _drawn_row(index: int, households: list[Household], draw: Random, today: date) -> Row:
    """The row of one drawn member, who may be a relative of an earlier one; a new household joins ``households``."""
    rare = _rare_name(index)
    crowd = len(households) >= FAMILIES_BEFORE_RELATIVES
    if rare is None and crowd and draw.random() < FAMILY_SHARE:
        household = _pick(households, draw)
    else:
        household = _drawn_household(rare, draw)
        households.append(household)
    joined, last_used, born = _drawn_dates(draw, today)
    person = _drawn_person(household, rare, born.year, draw)
    mobile = household.phone if household.phone.kind == "mobile" else _drawn_mobile(household.entity, draw)
    mark = ROW_MARK_START + index
    return {
        "member_number": f"M{(MEMBER_NUMBER_START + index * MEMBER_NUMBER_STEP) % 10**8:08d}",
        "login_id": _mailbox(LOGIN_IDS, person, mark, draw),
        "entity": household.entity,
        "joined_on": joined.isoformat(),
        "last_used_on": last_used.isoformat() if last_used else None,
        "name": person.name,
        "kana": person.kana,
        "birth_date": born.isoformat(),
        "sex": person.sex if draw.random() < 0.97 else _pick((None, "other"), draw),
        "occupation": _drawn_occupation(household.entity, today.year - born.year, draw),
        "contacts": _drawn_contacts(household, person, mobile, mark, draw),
        "addressees": _drawn_addressees(household, person, mobile, draw),
        "payment_means": _drawn_payment_means(household.entity, person, mobile, draw, today),
    }


def _well_known_row(today: date) -> Row:
    """The row of ``WELL_KNOWN``, last seen on the day before ``today``."""
    known = WELL_KNOWN
    contacts = {"email": known.email, "phone": known.phone, "mobile": known.mobile}
    return {
        "member_number": known.member_number,
        "login_id": known.login_id,
        "entity": known.entity,
        "joined_on": known.joined_on,
        "last_used_on": max(known.joined_on, date.fromordinal(today.toordinal() - 1).isoformat()),
        "name": known.name,
        "kana": known.kana,
        "birth_date": known.birth_date,
        "sex": "female",
        "occupation": "会社員",
        "contacts": [{"kind": kind, "value": value} for kind, value in contacts.items()],
        "addressees": [_addressee(known.name, known.kana, known.postcode, known.address, known.phone)],
        "payment_means": [_card("tok_5e1f00_c0ffee", "VISA", known.card_last_four, f"{today.year + 2}-05")],
    }


def _rare_name(index: int) -> RareName | None:
    """The rare name of a row that must bear one."""
    turn, rest = divmod(index, RARE_EVERY)
    return RARE_NAMES[turn % len(RARE_NAMES)] if rest == RARE_EVERY // 2 else None


def _drawn_household(rare: RareName | None, draw: Random) -> Household:
    """A family, its home and the telephone there: a landline, or a mobile that all of them give."""
    entity = ENTITIES[bisect(ENTITY_LIMITS, draw.random())]
    tradition = TRADITIONS_OF[entity][bisect(TRADITION_LIMITS[entity], draw.random())]
    if rare:
        entity, tradition = "jp", rare.tradition
    surname = _drawn_surname(tradition, draw)
    if rare and rare.surname:
        surname = rare.surname
    town = _pick(TOWNS[entity], draw)
    with_landline = town.area is not None and draw.random() < 0.75
    phone = _drawn_landline(town, "phone", draw) if with_landline else _drawn_mobile(entity, draw)
    return Household(entity, tradition, surname, town, _drawn_street(entity, draw), phone)


def _drawn_surname(tradition: str, draw: Random) -> Word:
    """A surname, by its weight."""
    names = TRADITIONS[tradition]
    return names.surnames[bisect(names.limits, draw.random() * names.limits[-1])]


def _drawn_person(household: Household, rare: RareName | None, birth_year: int, draw: Random) -> Person:
    """A member of the household, with a given name of the time."""
    names = TRADITIONS[household.tradition]
    sex: Sex = "female" if draw.random() < 0.51 else "male"
    if rare and rare.sex:
        sex = rare.sex
    given = _pick(names.given[sex][bisect(names.born_before, birth_year)], draw)
    if rare and rare.given:
        given = rare.given
    surname = household.surname
    # Only the Japanese site asks for a reading.
    kana = f"{surname.kana} {given.kana}" if household.entity == "jp" and surname.kana and given.kana else None
    return Person(sex, surname, given, names.pattern[sex].format(surname=surname.written, given=given.written), kana)


def _drawn_dates(draw: Random, today: date) -> tuple[date, date | None, date]:
    """Joined, last used if ever, born: grown up when joining, most of them young, the last use mostly recent."""
    joined = int(FIRST_DAY.toordinal() + draw.random() * (today.toordinal() - FIRST_DAY.toordinal() + 1))
    born = joined - 18 * 366 - int(draw.random() * draw.random() * 68 * 365)
    # Products, because a power may differ in its last bit from one machine to another.
    unused = int((today.toordinal() - joined) * draw.random() * draw.random() * draw.random())
    last_used = date.fromordinal(today.toordinal() - unused) if draw.random() < 0.7 else None
    return date.fromordinal(joined), last_used, date.fromordinal(born)


def _drawn_occupation(entity: str, age: int, draw: Random) -> str | None:
    """What people of that age do, in the words of the site's language; one in five did not say."""
    return _pick(OCCUPATIONS[entity][bisect(WORKING_AGES, age)], draw) if draw.random() < 0.8 else None


def _drawn_contacts(household: Household, person: Person, mobile: Number, mark: int, draw: Random) -> list[Entry]:
    """How to reach the member: always the telephone of the household, mostly an e-mail address, the rest by chance."""
    contacts: list[Entry] = []
    if draw.random() < 0.93:
        contacts.append(_contact("email", f"{_mailbox(MAILBOXES, person, mark, draw)}@{_pick(MAIL_DOMAINS, draw)}"))
    if household.entity == "jp" and draw.random() < 0.35:
        forms = OLD_CARRIER_MAILBOXES if draw.random() < OLD_CARRIER_MAIL_SHARE else CARRIER_MAILBOXES
        contacts.append(_contact("mobile_email", f"{_mailbox(forms, person, mark, draw)}@{_pick(CARRIERS, draw)}"))
    contacts.append(_contact(household.phone.kind, _typed(household.phone, draw)))
    if mobile != household.phone and draw.random() < 0.75:
        contacts.append(_contact("mobile", _typed(mobile, draw)))
    if household.town.area and draw.random() < 0.06:
        contacts.append(_contact("fax", _typed(_drawn_landline(household.town, "fax", draw), draw)))
    return contacts


def _drawn_addressees(household: Household, person: Person, mobile: Number, draw: Random) -> list[Entry]:
    """Where goods go: home first, then a shop or friends elsewhere in the country."""
    town = household.town
    if draw.random() < 0.05:
        return []
    home = _addressee(person.name, person.kana, town.postcode, town.place + household.street, _typed(mobile, draw))
    addressees = [home]
    while draw.random() < 0.22:
        town = _pick(TOWNS[household.entity], draw)
        address, phone = town.place + _drawn_street(household.entity, draw), _drawn_mobile(household.entity, draw)
        if household.entity == "jp" and draw.random() < 0.15:
            name, kana = _pick(SHOPS, draw), None
        else:
            surname = _drawn_surname(household.tradition, draw)
            friend = _drawn_person(household._replace(surname=surname), None, 1980, draw)
            name, kana = friend.name, friend.kana
        addressees.append(_addressee(name, kana, town.postcode, address, _typed(phone, draw)))
    return addressees


def _drawn_payment_means(entity: str, person: Person, mobile: Number, draw: Random, today: date) -> list[Entry]:
    """How the member pays; none, one or two."""
    means: list[Entry] = []
    if draw.random() < 0.62:
        token = f"tok_{int(draw.random() * 16**6):06x}_{int(draw.random() * 16**6):06x}"
        expiry = f"{today.year - 1 + int(draw.random() * 6)}-{1 + int(draw.random() * 12):02d}"
        means.append(_card(token, _pick(BRANDS, draw), _four_digits(draw), expiry))
    if entity == "jp" and draw.random() < 0.14:
        bank, branch = _pick(BANKS, draw), _pick(BRANCHES, draw)
        last_four, holder = _four_digits(draw), person.bank_name
        means.append({"kind": "bank", "bank": bank, "branch": branch, "last_four": last_four, "holder": holder})
    if draw.random() < 0.1:
        means.append({"kind": "mobile", "phone": _typed(mobile, draw)})
    return means


def _drawn_landline(town: Town, kind: str, draw: Random) -> Number:
    """A number of ten digits in the town's area that nobody can have."""
    assert town.area is not None
    digits = town.lead + _free_digits(9 - len(town.area), draw)
    return Number("jp", kind, town.area, digits[:-4], digits[-4:])


def _drawn_mobile(entity: str, draw: Random) -> Number:
    """A mobile number in the country's range that is free, or else nobody's in particular."""
    if entity == "sg":
        return Number("sg", "mobile", "", "8123", _free_digits(4, draw))
    area, lead = ("060", "9") if entity == "jp" else ("010", "0")
    digits = _free_digits(7, draw)
    return Number(entity, "mobile", area, lead + digits[:3], digits[3:])


def _free_digits(length: int, draw: Random) -> str:
    """Digits that begin with 3 to 9: what begins with 0 to 2 is kept for ``WELL_KNOWN`` and for tests."""
    return str(int((0.3 + 0.7 * draw.random()) * 10**length))


def _four_digits(draw: Random) -> str:
    """The last digits of a card or an account."""
    return f"{int(draw.random() * 10_000):04d}"


def _typed(number: Number, draw: Random) -> str:
    """The number as somebody once typed it."""
    entity, _, area, exchange, subscriber = number
    text = _pick(NOTATIONS[entity], draw).format(area, exchange, subscriber, COUNTRY_CODES[entity], area[1:])
    return text.translate(WIDE_DIGITS) if "－" in text else text


def _drawn_street(entity: str, draw: Random) -> str:
    """What follows the town: invented numbers, and often a flat."""
    number, flat = int(1 + draw.random() * 60), int(101 + draw.random() * 900)
    if entity == "kr":
        return f" {number}, {101 + flat % 12}동 {flat}호"
    if entity == "sg":
        return f" #{flat % 30 + 1:02d}-{flat}"
    street = _pick(STREETS, draw).format(number % 9 + 1, number, flat % 20 + 1)
    if "－" in street:
        street = street.translate(WIDE_DIGITS)
    return f"{street} {_pick(BUILDINGS, draw)}{flat}号室" if draw.random() < 0.45 else street


def _mailbox(forms: tuple[str, ...], person: Person, mark: int, draw: Random) -> str:
    """A login ID, or what stands before the @, made of the person's name and the row's mark."""
    return _pick(forms, draw).format(person.given.latin, person.surname.latin, mark)


def _contact(kind: str, value: str) -> Entry:
    """A contact point of a row."""
    return {"kind": kind, "value": value}


def _addressee(name: str, kana: str | None, postcode: str, address: str, phone: str) -> Entry:
    """An addressee of a row."""
    return {"name": name, "kana": kana, "postcode": postcode, "address": address, "phone": phone}


def _card(token: str, brand: str, last_four: str, expiry: str) -> Entry:
    """A card of a row. Tokens are written in groups of six, so that none is ever taken for a card number."""
    return {"kind": "card", "token": token, "brand": brand, "last_four": last_four, "expiry": expiry}


def _pick(choices: Sequence[Choice], draw: Random) -> Choice:
    """One of the choices, all equally likely. Several times faster than ``Random.choice``."""
    return choices[int(draw.random() * len(choices))]
