"""Login ID and member number, and what a text typed into the one search box may be."""

import re
from collections.abc import Callable

from django.utils.translation import gettext_lazy as _

from members.normal_forms.characters import hyphened, plain
from members.normal_forms.mails import mail
from members.normal_forms.names import kana, name
from members.normal_forms.not_normal import NotNormal
from members.normal_forms.phones import looks_like_phone, phone_on_file

_KANA = re.compile("[ァ-ヺー-ヿ]+")
_KANJI = re.compile("[々㐀-䶿一-鿿\U00020000-\U0003ffff]")
_LETTER = re.compile(r"[^\W\d_]")
_DIGIT = re.compile("[0-9]")
_ONE_WORD = re.compile("[!-~]+")
_NUMBERED = re.compile("[A-Za-z]{0,3}[-0-9]*[0-9]")

_Field = tuple[str, Callable[[str], str]]


def login_id(text: str) -> str:
    """The login ID without difference of width, case or dash. Raises `NotNormal` when empty or holding a space."""
    form = plain(hyphened(plain(text)).casefold())
    if form.split() != [form]:
        raise NotNormal("login_id_unreadable", _("Enter the login ID without spaces, for example taro-yamada."))
    return form


def member_number(text: str) -> str:
    """The member number in capitals, without difference of width or dash. Raises `NotNormal` as `login_id` does."""
    form = plain(hyphened(plain(text)).upper())
    if form.split() != [form]:
        raise NotNormal("member_number_unreadable", _("Enter the member number without spaces, for example M-0001234."))
    return form


def reading(text: str, country: str = "JP") -> list[tuple[str, str]]:
    """What ``text`` may identify: pairs of field and normal form, the likeliest first, none twice.

    Fields are telephone, email, login_id, member_number, name and kana. A telephone number without a country code is
    one of ``country``; an invalid one is looked for by its digits, as `phone_on_file` keeps it. No text raises.
    """
    found: dict[tuple[str, str], None] = {}
    for field, form in _fields(text, country):
        try:
            found[field, form(text)] = None
        except NotNormal:
            continue
    return list(found)


def _fields(text: str, country: str) -> list[_Field]:
    """The fields that ``text`` is written like, the likeliest first."""
    typed = plain(text)
    if "@" in typed:
        return [("email", mail)]
    ids: list[_Field] = []
    if _ONE_WORD.fullmatch(hyphened(typed)):
        ids = [("login_id", login_id), ("member_number", member_number)]
        if _NUMBERED.fullmatch(hyphened(typed)):
            ids.reverse()
    if looks_like_phone(text):
        form, valid = phone_on_file(text, country)
        telephone: _Field = ("telephone", lambda _text: form)
        return [telephone, *ids] if valid else [*ids, telephone]
    return [*ids, *_name_fields(typed, is_id=bool(ids))]


def _name_fields(typed: str, *, is_id: bool) -> list[_Field]:
    """Name and kana, where the text can be one. A digit in a word that may be an ID says that it is no name."""
    if not _LETTER.search(typed) or (is_id and _DIGIT.search(typed)):
        return []
    try:
        only_kana = _KANA.fullmatch(kana(typed))
    except NotNormal:
        return []
    if only_kana:
        return [("kana", kana), ("name", name)]
    if _KANJI.search(typed):
        return [("name", name)]
    # A Korean or a Western reading is on file as it is written, so the text may be either.
    return [("name", name), ("kana", kana)]
