"""Telephone numbers, as E.164."""

import re
from typing import Any

import phonenumbers
from django.utils.translation import gettext_lazy as _

from members.normal_forms.characters import DOTS, hyphened, plain
from members.normal_forms.not_normal import NotNormal

FEWEST_DIGITS = 6

_LABEL = re.compile(
    r"(?:tel(?:ephone)?|phone|mobile|fax|代表|電話(?:番号)?|携帯(?:電話)?|전화|휴대폰|휴대전화|[☎☏📞📱])[\s.:]*"
)
_EXTENSION = re.compile(r"内|代|ext|x|#|;|내선|구내")
_DIALLED = re.compile(r"\+?[0-9]+")
_NO_DIGITS = re.compile("[^0-9]")

# A trunk zero, which the country drops after its code, and what can be neither a carrier's nor an international prefix.
_AT_HOME = {"JP": (81, re.compile("0(?!10)[1-9][0-9]{8,9}")), "KR": (82, re.compile("0(?!8)[1-9][0-9]{7,9}"))}


def _landline_or_mobile(country: str) -> re.Pattern[str]:
    plan: Any = phonenumbers.PhoneMetadata.metadata_for_region(country)
    return re.compile(f"(?:{plan.fixed_line.national_number_pattern})|(?:{plan.mobile.national_number_pattern})")


# What is a landline or a mobile there, by the library's own plan of the country's numbers: four in five of a file.
_SURE = {country: _landline_or_mobile(country) for country in _AT_HOME}

_SEPARATORS = str.maketrans("", "", "-/()[]{}〔〕【】「」" + DOTS)

# In Korea 008 opens a carrier's international line, so 0081-90-… would be read as a number in America. Nobody who
# writes the code of one of the company's three countries after 00 means that.
_HOME_CODES = ("0081", "0082", "0065")


def phone(text: str, country: str = "JP") -> str:
    """The number in E.164; without a country code it is one of ``country`` (ISO 3166, two letters).

    Any width, dash, space, dot or parenthesis is read, a label before the number and an extension after it are left
    out, and +, 00 and 010 open an international number. Raises `NotNormal` unless the number is valid in its country's
    numbering plan: a possible length is not enough.
    """
    if number := _valid(_bare(text), country.upper()):
        return number
    raise _unreadable()


def _valid(number: str, country: str) -> str | None:
    """The E.164 form of a bare number, or None when it is not valid."""
    if not _DIALLED.fullmatch(number):
        return None
    if home := _AT_HOME.get(country):
        code, dialled = home
        # As it is dialled at home; the library says the same, and takes ten times as long.
        if dialled.fullmatch(number) and _SURE[country].fullmatch(number, 1):
            return f"+{code}{number[1:]}"
    for spelling in _spellings(number):
        try:
            parsed = _parsed(spelling, country)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(parsed):
            return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    return None


def _parsed(number: str, country: str) -> phonenumbers.PhoneNumber:
    """What the library reads; numbers as they are dialled at home, four in five of a file, in a fifth of its time."""
    if home := _AT_HOME.get(country):
        code, dialled = home
        if dialled.fullmatch(number):
            return phonenumbers.PhoneNumber(country_code=code, national_number=int(number))
    return phonenumbers.parse(number, country)


def phone_on_file(text: str, country: str = "JP") -> tuple[str, bool]:
    """The form of a number that is already on file, and whether it is a valid number.

    A valid number gives its E.164, words around it or not; any other gives its bare digits, so that it can still be
    found as it stands. Raises `NotNormal` for fewer than six digits.
    """
    bare = _bare(text)
    digits = _NO_DIGITS.sub("", bare)
    if len(digits) < FEWEST_DIGITS:
        raise _unreadable()
    if number := _valid("+" + digits if bare.startswith("+") else digits, country.upper()):
        return number, True
    return digits, False


def phone_digits(text: str) -> str:
    """The digits as they stand, without an extension; empty when there are none."""
    return _NO_DIGITS.sub("", _bare(text))


def looks_like_phone(text: str) -> bool:
    """Whether the text is written as a telephone number, valid or not."""
    return re.fullmatch(rf"\+?[0-9]{{{FEWEST_DIGITS},}}", _bare(text)) is not None


def _bare(text: str) -> str:
    """What stands between the label and the extension, without separators."""
    text = hyphened(plain(text)).casefold()
    if label := _LABEL.match(text):
        text = text[label.end() :]
    if extension := _EXTENSION.search(text):
        text = text[: extension.start()]
    return "".join(text.split()).translate(_SEPARATORS)


def _spellings(number: str) -> list[str]:
    """What to try, best first: the number as it is dialled, and with its international prefix as a plus."""
    if number.startswith(_HOME_CODES):
        return ["+" + number[2:], number]
    if number.startswith("00"):
        return [number, "+" + number[2:]]
    if number.startswith("010"):
        return [number, "+" + number[3:]]
    return [number]


def _unreadable() -> NotNormal:
    return NotNormal(
        "phone_unreadable",
        _("Enter a telephone number with its area code, for example 03-1234-5678 or +81 3 1234 5678."),
    )
