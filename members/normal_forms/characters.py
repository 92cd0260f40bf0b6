"""Characters that many keyboards write differently and no reader tells apart."""

import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from access_control.characters import INVISIBLE
from access_control.vault.lookups import NORMAL_FORM_VERSION
from members.normal_forms.radicals import TO_IDEOGRAPH

# Controls that are not white space, and whatever is drawn as nothing; among it the selectors that ask a font for
# another drawing of the same character (for kanji: U+E0100 to U+E01EF).
_INVISIBLE = re.compile(f"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f{INVISIBLE}]")

# Dashes, minus signs, box-drawing lines and the long-vowel mark, as they are left by normal form KC.
DASHES = "-\u02d7\u058a\u2010\u2012\u2013\u2014\u2015\u2043\u2212\u2500\u2501\u2796\u2e3a\u2e3b\u30fc"
DOTS = ".\u00b7\u2022\u2027\u2219\u22c5\u30fb"

_TO_HYPHEN = str.maketrans(dict.fromkeys(DASHES, "-"))


_version: ContextVar[int] = ContextVar("normal_form_version", default=NORMAL_FORM_VERSION)


def is_current() -> bool:
    """Whether normal forms are those of today's version."""
    return _version.get() == NORMAL_FORM_VERSION


@contextmanager
def normal_forms_of(version: int) -> Iterator[None]:
    """Inside the block, normal forms are those of ``version``: what older lookups were made of."""
    token = _version.set(version)
    try:
        yield
    finally:
        _version.reset(token)


def plain(text: str) -> str:
    """``text`` in Unicode normal form KC, without invisible characters and surrounding white space.

    Radicals count as the kanji that they look like, since normal-form version 2.
    """
    if is_current() and not text.isascii():
        text = text.translate(TO_IDEOGRAPH)
    return unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).strip()


def hyphened(text: str) -> str:
    """A plain text with every dash as the hyphen of ASCII."""
    return text.translate(_TO_HYPHEN)
