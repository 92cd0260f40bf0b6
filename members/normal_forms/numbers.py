"""Postcodes, last four digits, and the two numbers that must never be written down here: of a card, and My Number."""

import dataclasses
import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from operator import mul

from django.utils.translation import gettext_lazy as _

from members.normal_forms.characters import DASHES, DOTS, hyphened, plain
from members.normal_forms.not_normal import NotNormal

# By country: how many digits, and what people write before them.
_POSTCODES = {"JP": (7, "〒?"), "KR": (5, r"(?:\(?우\)?)?"), "SG": (6, r"(?:singapore|s)?")}

# As other countries write theirs: digits alone, in the groups that some have (US, BR, JP, PL, PT), or among letters.
_FOREIGN = re.compile(
    "[0-9]{3,7}|[0-9]{5}-?[0-9]{3,4}|[0-9]{3}-[0-9]{2,4}|[0-9]{2}-[0-9]{3}|[0-9]{4}-[0-9]{3}"
    "|(?=[A-Z-]*[0-9])(?=[0-9-]*[A-Z])[A-Z0-9](?:-?[A-Z0-9]){2,9}"
)

# What an issuer's number begins with, and how many digits it then has (ISO/IEC 7812 and the schemes' published ranges;
# 94 is Korea's domestic range). The narrower this is, the fewer order numbers are taken for a card.
_CARD = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"
    r"|5[1-5][0-9]{14}|(?:222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}|94[0-9]{14}"
    r"|3[47][0-9]{13}"
    r"|3(?:0[0-59]|[689][0-9])(?:[0-9]{11}|[0-9]{13,16})|35(?:2[89]|[3-8][0-9])[0-9]{12,15}"
    r"|(?:6011|62[0-9]{2}|64[4-9][0-9]|65[0-9]{2}|81[0-9]{2})[0-9]{12,15}"
    r"|(?:50[0-9]{2}|5[6-8][0-9]{2}|6304|67[0-9]{2})[0-9]{9,15}"
)
CARD_LENGTHS = range(13, 20)
SHORTEST_BARE_CARD = 14  # thirteen digits in one piece are an article's code (JAN) far more often than an old card
MY_NUMBER_LENGTH = 12
LONGEST_TELEPHONE = 15  # digits after a plus (E.164)
# How cards are printed, and how people read a number out.
_PRINTED = frozenset(
    {(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 2), (4, 4, 4, 3), (6, 13)}
    | {(4, 4, 4, 4, rest) for rest in (1, 2, 3)}
)
_READ_OUT = frozenset(
    {(1,) * length for length in CARD_LENGTHS} | {(2,) * (length // 2) + (1,) * (length % 2) for length in CARD_LENGTHS}
)
_MY_NUMBER_GROUPS = frozenset({(4, 4, 4), (1,) * MY_NUMBER_LENGTH, (2,) * 6})

# What the words beside a number say of it, in the spelling that ``plain`` and ``casefold`` leave.
_BEFORE, _AFTER = 30, 15  # letters that are looked at
_CARD_WORDS = re.compile(
    "カード|クレジット|クレカ|card|credit|visa|master|マスター|jcb|amex|アメックス|diners|ダイナース|銀聯|unionpay"
    "|有効期限|セキュリティ.?コード|expir|cvv|cvc|카드|신용"
)
_MY_NUMBER_WORDS = re.compile("マイナンバ|マイナカード|個人番号|通知カード|my ?number|individual number")
_OTHER_WORDS = re.compile(
    "注文|受注|発注|オーダー|order|伝票|送り?状|追跡|問.{0,2}合|荷物|配送|配達|宅配|便名|tracking|parcel|shipment|受付"
    "|管理番号|整理番号|会員番号|商品|品番|型番|(?<![a-z])(?:jan|ean|isbn)(?![a-z])|バーコード|imei|シリアル|serial|製造|請求|invoice|予約"
    "|주문|송장|배송"
)

# Groups of digits with at most three characters between two of them that are neither letter nor digit (some dashes
# count as letters).
_RUN = re.compile(rf"\d+(?:[\W_{re.escape(DASHES)}]{{1,3}}\d+)*")
_DIGITS = re.compile(r"\d+")
_ENOUGH_DIGITS = re.compile(rf"(?:\d\D*){{{MY_NUMBER_LENGTH - 1}}}\d")

# Kinds of separator that people write within one number; the others divide lists as well. Brackets are one kind.
_WRITTEN = frozenset({" ", "line", "-", "."})
# Of a card's own groups people divide some so and others so; what stands in brackets is one of them.
_MIXED = _WRITTEN | {"("}
_BRACKETS = frozenset({"Ps", "Pe", "Pi", "Pf"})

CARD_NUMBER, MY_NUMBER = "card_number", "my_number"


@dataclasses.dataclass(frozen=True)
class SeenNumber:
    """A number that must not be stored, by its place in the text: never the number itself."""

    kind: str  # CARD_NUMBER or MY_NUMBER
    start: int
    end: int
    digits: int


def postcode(text: str, country: str = "JP") -> str:
    """The postcode in digits: seven for JP, five for KR, six for SG; for other countries capitals and digits.

    〒, dashes, spaces and width make no difference. Raises `NotNormal`.
    """
    written = "".join(hyphened(plain(text)).split()).replace("-", "").casefold()
    length, sign = _POSTCODES.get(country.upper(), (0, ""))
    if length:
        match = re.fullmatch(rf"{sign}\(?([0-9]{{{length}}})\)?", written)
    else:
        match = re.fullmatch("([0-9a-z]{3,10})", written)
    if not match:
        raise NotNormal(
            "postcode_unreadable",
            _("Enter the whole postcode: 123-4567 in Japan, 12345 in Korea, 123456 in Singapore."),
        )
    return match.group(1).upper()


def postcode_on_file(text: str, country: str = "JP") -> tuple[str, bool]:
    """The form of a postcode that is on file, and whether it is one of ``country``: people move abroad.

    That of another country gives its capitals and digits. Raises `NotNormal` for what is no postcode anywhere.
    """
    try:
        return postcode(text, country), True
    except NotNormal:
        written = "".join(hyphened(plain(text)).split()).upper().lstrip("〒")
        if not _FOREIGN.fullmatch(written):
            raise
        return written.replace("-", ""), False


def last_four(text: str) -> str:
    """Exactly four digits, of any width. Raises `NotNormal`."""
    digits = plain(text)
    if not re.fullmatch("[0-9]{4}", digits):
        raise NotNormal("last_four_unreadable", _("Enter the last four digits only, for example 1234."))
    return digits


def forbidden_numbers(text: str) -> list[SeenNumber]:
    """The numbers of ``text`` that must not be stored, in their order.

    A card number has an issuer's range, a length and a check digit (Luhn), and stands in one piece or in the
    groups of a card; in other groups, or with thirteen digits in one piece, a word beside it must say so. A
    number in one piece or divided in several ways that is called something else (an order's, a parcel's) is
    none. An Individual Number (個人番号) has twelve digits with its own check digit, and stands in groups of four
    or beside a word that says so; one that a parcel's label could bear (hyphens and the carriers' check digit),
    or between whose groups stands what divides a list, needs the word; so does either after a plus, where it
    may be a telephone. Digits of any width belong together across whatever is neither letter nor digit, up to
    three characters, where a run of white space or of one sign is one; a number begins and ends where a group
    of digits does.
    """
    # Nearly every field of an import ends at one of these two. One letter folds to two digits at most (⑫ to 12).
    if 2 * len(text) < MY_NUMBER_LENGTH or not _ENOUGH_DIGITS.search(plain(text)):
        return []
    written, places = _with_places(text)
    found: list[SeenNumber] = []
    for run in _RUN.finditer(written):
        groups = tuple(_DIGITS.finditer(written, run.start(), run.end()))
        lengths = tuple(len(group.group()) for group in groups)
        digits = "".join(str(unicodedata.decimal(digit)) for group in groups for digit in group.group())
        ends = list(itertools.accumulate(lengths, initial=0))
        seen_to = -1
        for first, last in _windows(lengths):
            if groups[first].start() <= seen_to or not (kind := _could_be(digits[ends[first] : ends[last + 1]])):
                continue
            part = _Part(written, groups, first, last, digits[ends[first] : ends[last + 1]])
            if part.is_my_number() if kind == MY_NUMBER else part.is_card():
                found.append(SeenNumber(kind, places[part.start], places[part.end - 1] + 1, len(part.digits)))
                seen_to = part.end
    return found


def holds_card_number(text: str) -> bool:
    """Whether `forbidden_numbers` sees a payment card's number in ``text``."""
    return any(seen.kind == CARD_NUMBER for seen in forbidden_numbers(text))


def holds_my_number(text: str) -> bool:
    """Whether `forbidden_numbers` sees an Individual Number in ``text``."""
    return any(seen.kind == MY_NUMBER for seen in forbidden_numbers(text))


def forbidden_number(text: str) -> str:
    """What must not be stored and stands in ``text``: the kind of the first such number, or "" for none."""
    return next((seen.kind for seen in forbidden_numbers(text)), "")


def _could_be(digits: str) -> str:
    """CARD_NUMBER or MY_NUMBER by length, range and check digit alone; "" when they are neither."""
    if len(digits) == MY_NUMBER_LENGTH:
        return MY_NUMBER if _passes_my_number(digits) else ""
    return CARD_NUMBER if len(digits) in CARD_LENGTHS and _CARD.fullmatch(digits) and _passes_luhn(digits) else ""


@dataclasses.dataclass(frozen=True)
class _Part:
    """Neighbouring groups of a run of digits in a text, from the first to the last, and the words beside them."""

    written: str
    groups: tuple[re.Match[str], ...]
    first: int
    last: int
    digits: str  # in ASCII

    @property
    def start(self) -> int:
        """Where it begins."""
        return self.groups[self.first].start()

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.groups[self.last].end()

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many digits each group has."""
        return tuple(len(group.group()) for group in self.groups[self.first : self.last + 1])

    def is_card(self) -> bool:
        """Whether digits that could be a card's are written as one, or are said to be one."""
        lengths, separators = self.lengths, self._separators()
        usual = lengths in _PRINTED or lengths in _READ_OUT
        if self._says(_CARD_WORDS):
            return usual or (len(separators) < 2 and not self._may_be_a_telephone(lengths))
        if self._may_be_a_telephone():
            return False
        if len(separators) > 1:
            whole = not self._cuts_another(separators) and not self._says(_OTHER_WORDS)
            return lengths in _PRINTED and separators <= _MIXED and whole
        if len(lengths) == 1:
            return lengths[0] >= SHORTEST_BARE_CARD and not self._says(_OTHER_WORDS)
        return lengths in _PRINTED or (lengths in _READ_OUT and separators <= _WRITTEN)

    def is_my_number(self) -> bool:
        """Whether digits that could be an Individual Number are written as one, or are said to be one."""
        lengths, separators = self.lengths, self._separators()
        usual = lengths in _MY_NUMBER_GROUPS
        if self._says(_MY_NUMBER_WORDS):
            return usual or (len(separators) < 2 and not self._may_be_a_telephone(lengths))
        if not usual or len(separators) > 1 or not separators <= _WRITTEN:
            return False
        if self._may_be_a_telephone() or self._says(_OTHER_WORDS):
            return False
        # Parcels in Japan: the twelfth digit is the remainder of the eleven by seven, and hyphens stand between fours.
        return not ("-" in separators and int(self.digits[:-1]) % 7 == int(self.digits[-1]))

    def _may_be_a_telephone(self, lengths: tuple[int, ...] = ()) -> bool:
        """Whether it follows a plus, as numbers with a country code do; in one piece it may be anything."""
        after_plus = self.written[self.start - 1 : self.start] == "+"
        return after_plus and len(self.digits) <= LONGEST_TELEPHONE and len(lengths) != 1

    def _says(self, words: re.Pattern[str]) -> bool:
        beside = (
            self.written[max(0, self.start - _BEFORE) : self.start] + " " + self.written[self.end : self.end + _AFTER]
        )
        return words.search(beside.casefold()) is not None

    def _separators(self) -> set[str]:
        """The kinds of separator between the groups: a number that people write down has one, a list of numbers two."""
        between = self.written[self.start : self.end]
        return {_kind_of(separator) for separator in re.findall(r"\D+", between)}

    def _cuts_another(self, separators: set[str]) -> bool:
        """Whether a group beside it is joined to it as its own are, by more than a space: then it ends elsewhere."""
        beside = [
            self.written[one.end() : other.start()]
            for one, other in itertools.pairwise(self.groups[max(0, self.first - 1) : self.last + 2])
            if one.start() < self.start or other.end() > self.end
        ]
        return any(_kind_of(separator) in separators - {" ", "line"} for separator in beside)


def _kind_of(separator: str) -> str:
    """What stands between two groups, so that white space beside it and its drawing make no difference."""
    bare = "".join(separator.split())
    if not bare:
        return "line" if "\n" in separator else " "
    if bare[0] in DASHES:
        return "-"
    if bare[0] in DOTS:
        return "."
    return "(" if unicodedata.category(bare[0]) in _BRACKETS else bare


def _with_places(text: str) -> tuple[str, list[int]]:
    """``text`` as `plain` leaves its letters, and for each letter where it came from; a sign (…) stays one.

    A run of white space is one letter, a line break where there is one; so is a run of the same sign.
    """
    letters: list[str] = [""]
    places: list[int] = [0]
    for place, letter in enumerate(text):
        made = plain(letter) or (letter if letter.isspace() else "")
        for one in made if any(map(str.isalnum, made)) else made[:1]:
            if one.isspace() and letters[-1].isspace():
                letters[-1] = "\n" if "\n" in (one, letters[-1]) else letters[-1]
            elif (one.isalnum() and one not in DASHES) or one != letters[-1]:
                letters.append(one)
                places.append(place)
    return "".join(letters), places[1:]


def _windows(lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of every row of neighbouring groups that could be a number, the longest of each start first."""
    for first in range(len(lengths)):
        total, ends = 0, []
        for last in range(first, len(lengths)):
            total += lengths[last]
            if total > CARD_LENGTHS[-1]:
                break
            if total >= MY_NUMBER_LENGTH:
                ends.append(last)
        yield from ((first, last) for last in reversed(ends))


def _passes_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    return sum(map(int, digits[-1::-2] + digits[-2::-2].translate(_DOUBLED))) % 10 == 0


# A digit → the digits of its double, added up.
_DOUBLED = str.maketrans("0123456789", "0246813579")


def _passes_my_number(digits: str) -> bool:
    """Whether the twelfth digit is the check digit of the eleven (平成26年総務省令第85号第5条)."""
    remainder = sum(map(mul, _WEIGHTS, map(int, digits))) % 11
    return int(digits[-1]) == (0 if remainder <= 1 else 11 - remainder)


_WEIGHTS = (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)
