"""One rule book for the text of each personal item: intake, correction, find and identity read it alike.

A book says what a text becomes when it is stored, what is refused, and when two texts say the same. Whatever is odd but
real is read: white space of any kind becomes one space, an old number that is none any more and a postcode of another
country are kept and marked (``well_formed`` is False). What is no such item at all, or holds a character that no honest
text holds, raises ``NotNormal``, which holds no text. A book also says which of the numbers that are never stored (P2)
its text is asked for. The inventory names the book of each item.
"""

import dataclasses
import datetime
import re
from collections.abc import Callable
from typing import NamedTuple

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from access_control.characters import strange_character
from members import normal_forms
from members.normal_forms import NotNormal, SeenNumber
from members.normal_forms.numbers import CARD_NUMBER, MY_NUMBER

LONGEST = 200
LONGEST_ADDRESS = 400
LONGEST_GOODS = 1_000
# What the marketplace numbers is never a person's; twelve digits may be two telephones, while the number of a card is
# no telephone's.
EITHER_NUMBER, ONLY_A_CARD, NO_NUMBER = frozenset({CARD_NUMBER, MY_NUMBER}), frozenset({CARD_NUMBER}), frozenset[str]()
EARLIEST_BIRTH = datetime.date(1868, 1, 1)

# A line break, a tab or a form feed in a cell of a sheet is a space that somebody typed.
_BREAKS = re.compile("[\t\n\x0b\x0c\r\x85\u2028\u2029]")
# A text longer than this many times its longest is not looked through, whatever is left when it is tidied.
_MOST_SPACE = 10
_ISO = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
# A letter that every normal form of a name keeps. A text without one is asked of the normal form itself.
_SURELY_A_LETTER = re.compile("[A-Za-zぁ-ゖァ-ヺ一-鿿가-힣]")

SEXES = frozenset({"female", "male", "other"})
_SEX_OF = {
    word: sex
    for sex, words in {
        "female": "female f 女 女性 여 여성 여자",
        "male": "male m 男 男性 남 남성 남자",
        "other": "other その他 기타",
    }.items()
    for word in words.split()
}


class Read(NamedTuple):
    """A text as it is stored. ``form`` is its normal form where it was made on the way, else "".

    ``well_formed`` is False for what is kept as it stands although no rule of the member's country knows it.
    """

    text: str
    form: str = ""
    well_formed: bool = True


@dataclasses.dataclass(frozen=True)
class RuleBook:
    """How the text of an item is read. ``country`` is the member's (ISO 3166, two letters).

    ``forbidden``: the kinds of number that are never stored, and are looked for in such a text.
    """

    _read: Callable[[str, str], Read]
    _same: Callable[[str, str, str], bool]
    _clean: Callable[[str, str], Read] | None = None
    longest: int = LONGEST
    forbidden: frozenset[str] = EITHER_NUMBER

    def forbidden_in(self, text: str) -> list[SeenNumber]:
        """The numbers of ``text`` that must not be stored in such an item."""
        found = normal_forms.forbidden_numbers(text) if self.forbidden else []
        return [seen for seen in found if seen.kind in self.forbidden]

    def read(self, text: str, country: str = "JP") -> Read:
        """What a file says, as it is stored. Raises NotNormal."""
        return self._read(tidy(text, self.longest), country)

    def read_tidy(self, text: str, country: str = "JP") -> Read:
        """The same of a text that is :func:`tidy` already. Raises NotNormal."""
        return self._read(text, country)

    def clean(self, text: str, country: str = "JP") -> Read:
        """The same of a text that is typed today. Raises NotNormal."""
        return (self._clean or self._read)(tidy(text, self.longest), country)

    def is_good(self, text: str, country: str = "JP") -> bool:
        """Whether the text is such an item, and a well-formed one."""
        try:
            return self.read(text, country).well_formed
        except NotNormal:
            return False

    def same(self, one: str, other: str, country: str = "JP") -> bool:
        """Whether two texts on file say the same. No text raises."""
        if one == other:
            return True
        try:
            return bool(one and other) and self._same(one, other, country)
        except NotNormal:
            return False


def spaced(text: str) -> str:
    """The text with a space for each line break and tab, so that every other character keeps its place."""
    return text if text.isprintable() else _BREAKS.sub(" ", text)


def tidy(text: str, longest: int = LONGEST) -> str:
    """The text on one line, trimmed. Raises NotNormal when it is empty, too long or holds a strange character."""
    if len(text) > _MOST_SPACE * longest:
        raise NotNormal("too_long", _("This field is too long."))
    if strange := strange_character(spaced(text)):
        raise NotNormal(strange.code, strange.message)
    if not text.isprintable() and _BREAKS.search(text):
        text = " ".join(part.strip() for part in _BREAKS.split(text) if part.strip())
    if len(text := text.strip()) > longest:
        raise NotNormal("too_long", _("This field is too long."))
    if not text:
        raise NotNormal("empty", _("Type something."))
    return text


def _as_written(text: str, country: str) -> Read:
    return Read(text)


def _same_writing(one: str, other: str, country: str) -> bool:
    """Width, white space and invisible characters make no difference; every letter does."""
    return _writing(one) == _writing(other)


def _writing(text: str) -> str:
    return "".join(normal_forms.plain(text).split())


def _named(text: str, country: str) -> Read:
    if not _SURELY_A_LETTER.search(text):
        normal_forms.name(text)
    return Read(text)


def _kana(text: str, country: str) -> Read:
    if not _SURELY_A_LETTER.search(text):
        normal_forms.kana(text)
    return Read(text)


def _number(text: str, country: str) -> Read:
    return Read(text, normal_forms.member_number(text))


def _login(text: str, country: str) -> Read:
    return Read(text, normal_forms.login_id(text))


def _birth_date(text: str, country: str) -> Read:
    if _ISO.fullmatch(text):
        try:
            day = datetime.date.fromisoformat(text)
        except ValueError:
            raise NotNormal("not_a_date", _("There is no such day. Enter a date such as 1980-02-03.")) from None
    else:
        day = normal_forms.date(text)
    if not EARLIEST_BIRTH <= day <= timezone.localdate():
        raise NotNormal("unbelievable", _("This date of birth cannot be right."))
    return Read(day.isoformat())


def _sex(text: str, country: str) -> Read:
    if text in SEXES:
        return Read(text)
    sex = _SEX_OF.get(normal_forms.plain(text).casefold())
    if sex is None:
        raise NotNormal("unknown_value", _("Use female, male or other."))
    return Read(sex)


def _mail(text: str, country: str) -> Read:
    return Read(text, normal_forms.mail(text))


def _new_mail(text: str, country: str) -> Read:
    address = normal_forms.new_mail(text)
    return Read(address, address)


def _telephone(text: str, country: str) -> Read:
    form, valid = normal_forms.phone_on_file(text, country)
    return Read(text, form, valid)


def _postcode(text: str, country: str) -> Read:
    form, own = normal_forms.postcode_on_file(text, country)
    if own and country == "JP":
        text = f"{form[:3]}-{form[3:]}"
    return Read(text, form, own)


def _last_four(text: str, country: str) -> Read:
    digits = normal_forms.last_four(text)
    return Read(digits, digits)


def _by_form(form: Callable[[str, str], str]) -> Callable[[str, str, str], bool]:
    return lambda one, other, country: form(one, country) == form(other, country)


TEXT = RuleBook(_as_written, _same_writing)
ADDRESS = RuleBook(_as_written, _same_writing, longest=LONGEST_ADDRESS)
GOODS = RuleBook(_as_written, _same_writing, longest=LONGEST_GOODS)
ORDER = RuleBook(_as_written, _same_writing, longest=80, forbidden=NO_NUMBER)
NAME = RuleBook(_named, _same_writing)
KANA = RuleBook(_kana, _by_form(lambda text, _country: normal_forms.kana(text)))
MEMBER_NUMBER = RuleBook(
    _number, _by_form(lambda text, _country: normal_forms.member_number(text)), longest=40, forbidden=NO_NUMBER
)
LOGIN_ID = RuleBook(_login, _by_form(lambda text, _country: normal_forms.login_id(text)), longest=80)
BIRTH_DATE = RuleBook(_birth_date, _same_writing)
SEX = RuleBook(_sex, _same_writing)
MAIL = RuleBook(_mail, _by_form(lambda text, _country: normal_forms.mail(text)), _new_mail)
TELEPHONE = RuleBook(
    _telephone, _by_form(lambda text, country: normal_forms.phone_on_file(text, country)[0]), forbidden=ONLY_A_CARD
)
POSTCODE = RuleBook(_postcode, _by_form(lambda text, country: normal_forms.postcode_on_file(text, country)[0]))
LAST_FOUR = RuleBook(_last_four, _same_writing)

# What stands between two telephones or two mail addresses in one field; and, more doubtful, a space.
_BETWEEN = re.compile(r"\s*(?:[／/、,，;；|｜]|または|又は|もしくは|若しくは|あるいは|또는)\s*")
_SPACE = re.compile(r"\s+")


def pieces(book: RuleBook, text: str, country: str) -> list[str]:
    """The contacts that stand in one field, which is :func:`tidy`: several where every part is a good one, or where
    the whole is none and some part is.
    """
    return [part for larger in _parts(_BETWEEN, book, text, country) for part in _parts(_SPACE, book, larger, country)]


def _parts(between: re.Pattern[str], book: RuleBook, text: str, country: str) -> list[str]:
    parts = [part for part in between.split(text) if part]
    if len(parts) < 2:
        return [text]
    good = [book.is_good(part, country) for part in parts]
    return parts if all(good) or (any(good) and not book.is_good(text, country)) else [text]
