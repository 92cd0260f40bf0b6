"""Dates, as a caller says them or a form holds them."""

import datetime
import re
from typing import NamedTuple

from django.utils.translation import gettext_lazy as _

from members.normal_forms.characters import hyphened, plain
from members.normal_forms.not_normal import NotNormal

EARLIEST = datetime.date(1868, 1, 1)
LONGEST = 40  # characters; a longer text is no date


class Era(NamedTuple):
    """A Japanese era: how it is written, its first and last day, and the western year before its first."""

    names: tuple[str, ...]
    first: datetime.date
    last: datetime.date
    before: int


# 明治 begins here with its sixth year: the first five had the lunisolar calendar (明治5年太政官布告第337号).
# The days on which 大正 and 昭和 began belong to two eras, and registers use both; 平成 and 令和 began at midnight.
ERAS = (
    Era(("明治", "meiji", "明", "m"), datetime.date(1873, 1, 1), datetime.date(1912, 7, 30), 1867),
    Era(("大正", "taisho", "大", "t"), datetime.date(1912, 7, 30), datetime.date(1926, 12, 25), 1911),
    Era(("昭和", "showa", "昭", "s"), datetime.date(1926, 12, 25), datetime.date(1989, 1, 7), 1925),
    Era(("平成", "heisei", "平", "h"), datetime.date(1989, 1, 8), datetime.date(2019, 4, 30), 1988),
    Era(("令和", "reiwa", "令", "r"), datetime.date(2019, 5, 1), datetime.date.max, 2018),
)
_ERA_OF = {name: era for era in ERAS for name in era.names}

MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip

_ERA = rf"(?P<era>{'|'.join(sorted(_ERA_OF, key=len, reverse=True))})[\s.]*"
_REST = (
    r"(?:\s*[年년./-]\s*|\s+)(?P<month>[0-9]{1,2})(?:\s*[月월./-]\s*|\s+)(?P<day>[0-9]{1,2})\s*[日일.]?"
    r"(?:\s*(?:生まれ|生|생))?"
)
_NOTATIONS = tuple(
    re.compile(notation)
    for notation in (
        r"(?:西暦|서기)?\s*(?P<year>[0-9]{4})" + _REST,
        r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})",
        _ERA + r"(?P<year>元|[0-9]{1,2})" + _REST,
        _ERA + r"(?P<year>[0-9]{2})(?P<month>[0-9]{2})(?P<day>[0-9]{2})",
        r"(?P<day>[0-9]{1,2})(?:st|nd|rd|th)?[\s.-]*(?:of\s+)?(?P<month>[a-z]{3,9})[\s.,-]*(?P<year>[0-9]{4})",
        r"(?P<month>[a-z]{3,9})[\s.-]*(?P<day>[0-9]{1,2})(?:st|nd|rd|th)?[\s.,-]+(?P<year>[0-9]{4})",
    )
)

_DIGITS = {kanji: value for row in ("〇一二三四五六七八九", "○壱弐参") for value, kanji in enumerate(row)} | {"零": 0}
_UNITS = {"十": 10, "拾": 10, "百": 100, "千": 1000}
_KANJI_NUMBER = re.compile(f"[{''.join(_DIGITS)}{''.join(_UNITS)}]+")


def date(text: str) -> datetime.date:
    """The day meant by ``text``: western (year first, or with the month in English), Japanese era or Korean notation.

    Digits may be of any width or kanji. Raises `NotNormal`: unreadable, a western year without its century included;
    a day that no calendar has; a day outside its era; a day before 1868. A day in the future is the caller's business.
    """
    written = hyphened(plain(text)).casefold()
    if len(written) > LONGEST:
        raise _unreadable()
    written = _KANJI_NUMBER.sub(_in_digits, written)
    for notation in _NOTATIONS:
        if match := notation.fullmatch(written):
            return _day(match.groupdict())
    raise _unreadable()


def _day(parts: dict[str, str]) -> datetime.date:
    """The day that the parts of a notation name."""
    era = _ERA_OF[parts["era"]] if "era" in parts else None
    year = 1 if parts["year"] == "元" else int(parts["year"])
    try:
        day = datetime.date(era.before + year if era else year, _month(parts["month"]), int(parts["day"]))
    except ValueError:
        raise NotNormal("date_impossible", _("There is no such day. Enter a date such as 1980-02-03.")) from None
    if era and not era.first <= day <= era.last:
        raise NotNormal(
            "date_outside_era",
            _("The era does not have that day; 昭和, for example, ends on 昭和64年1月7日. Enter the western year."),
        )
    if day < EARLIEST:
        raise NotNormal("date_too_early", _("Enter a date in or after the year 1868, for example 1980-02-03."))
    return day


def _month(written: str) -> int:
    """The number of a month, which is 0 for a word that is none."""
    if written.isdigit():
        return int(written)
    return next((number for number, month in enumerate(MONTHS, 1) if month.startswith(written)), 0)


def _in_digits(run: re.Match[str]) -> str:
    """A number in kanji, by place (一九八〇) or with units (五十五), in the digits of ASCII."""
    kanji = run.group()
    if not any(letter in _UNITS for letter in kanji):
        return "".join(str(_DIGITS[letter]) for letter in kanji)
    total = pending = 0
    for letter in kanji:
        if letter in _UNITS:
            total += (pending or 1) * _UNITS[letter]
            pending = 0
        else:
            pending = pending * 10 + _DIGITS[letter]
    return str(total + pending)


def _unreadable() -> NotNormal:
    return NotNormal(
        "date_unreadable", _("Enter a date with the era or all four digits of the year: 1980-02-03 or 昭和55年2月3日.")
    )
