"""Postcodes, last four digits, and the two numbers that must never be written down here: of a card, and My Number."""

import re
import unicodedata
from collections.abc import Iterator

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
    r"|5[1-5][0-9]{14}|2[2-7][0-9]{14}|94[0-9]{14}"
    r"|3[47][0-9]{13}"
    r"|3[0689](?:[0-9]{12}|[0-9]{14,17})|35[0-9]{14,17}"
    r"|6[0-9]{15,18}|81[0-9]{14,17}"
    r"|(?:50[0-9]{2}|5[6-8][0-9]{2}|6304|67[0-9]{2})[0-9]{9,15}"
)
CARD_LENGTHS = range(13, 20)
MY_NUMBER_LENGTH = 12

# Groups of digits with at most three separators between two of them. What follows a plus is a telephone number.
_SEPARATOR = rf"[\s{re.escape(DASHES + DOTS)}]{{1,3}}"
_RUN = re.compile(rf"(\+?)(\d+(?:{_SEPARATOR}\d+)*)")
_LONG_RUN = re.compile(rf"(?:\d{_SEPARATOR.replace('{1,3}', '{0,3}')}){{{MY_NUMBER_LENGTH - 1}}}\d")


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


def holds_card_number(text: str) -> bool:
    """Whether a number somewhere in ``text`` is a payment card's: issuer's range, length and check digit (Luhn).

    Digits of any width belong together across white space, dashes and dots. A number begins and ends where a group of
    digits does, so one with an expiry date beside it is seen, and one in the middle of longer digits is not.
    """
    return any(map(_has_card_number, _runs(text)))


def holds_my_number(text: str) -> bool:
    """Whether twelve digits somewhere in ``text`` are a Japanese individual number (個人番号) with its check digit.

    They are read as for a card; beside other digits they must stand in groups of equal length, because two telephone
    numbers in a row hold twelve digits of some kind nearly always.
    """
    return any(map(_has_my_number, _runs(text)))


def forbidden_number(text: str) -> str:
    """What must not be stored and stands in ``text``: "card_number", "my_number", or "" for neither."""
    runs = _runs(text)
    if any(map(_has_card_number, runs)):
        return "card_number"
    return "my_number" if any(map(_has_my_number, runs)) else ""


def _has_card_number(run: list[str]) -> bool:
    return any(
        _CARD.fullmatch(digits) and _passes_luhn(digits)
        for part in _parts(run, longest=CARD_LENGTHS[-1])
        if len(digits := "".join(part)) in CARD_LENGTHS
    )


def _has_my_number(run: list[str]) -> bool:
    return any(
        len(digits := "".join(part)) == MY_NUMBER_LENGTH
        and (part == run or len({len(group) for group in part}) == 1)
        and _passes_my_number(digits)
        for part in _parts(run, longest=MY_NUMBER_LENGTH)
    )


def _runs(text: str) -> list[list[str]]:
    """The digits of ``text`` that only separators divide, in ASCII, as the groups in which they stand."""
    # Nearly every field of an import ends at one of these two. One letter folds to two digits at most (⑫ to 12).
    if 2 * len(text) < MY_NUMBER_LENGTH:
        return []
    if not (text.isascii() and text.isprintable()):
        text = plain(text)
    if not _LONG_RUN.search(text):
        return []
    runs = []
    for plus, run in _RUN.findall(text):
        groups = ["".join(str(unicodedata.decimal(digit)) for digit in group) for group in re.findall(r"\d+", run)]
        runs.append(groups[1:] if plus else groups)
    return runs


def _parts(groups: list[str], *, longest: int) -> Iterator[list[str]]:
    """Every row of neighbouring groups with at most ``longest`` digits: at most that many from each group."""
    for start in range(len(groups)):
        length = 0
        for end in range(start, len(groups)):
            length += len(groups[end])
            if length > longest:
                break
            yield groups[start : end + 1]


def _passes_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    single = sum(int(digit) for digit in digits[-1::-2])
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (single + doubled) % 10 == 0


def _passes_my_number(digits: str) -> bool:
    """Whether the twelfth digit is the check digit of the eleven (平成26年総務省令第85号第5条)."""
    weights = (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)
    remainder = sum(weight * int(digit) for weight, digit in zip(weights, digits, strict=False)) % 11
    return int(digits[-1]) == (0 if remainder <= 1 else 11 - remainder)
