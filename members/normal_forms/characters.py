"""Characters that many keyboards write differently and no reader tells apart."""

import re
import unicodedata

from access_control.characters import INVISIBLE

# Controls that are not white space, and whatever is drawn as nothing; among it the selectors that ask a font for
# another drawing of the same character (for kanji: U+E0100 to U+E01EF).
_INVISIBLE = re.compile(f"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f{INVISIBLE}]")

# Dashes, minus signs, box-drawing lines and the long-vowel mark, as they are left by normal form KC.
DASHES = "-\u02d7\u058a\u2010\u2012\u2013\u2014\u2015\u2043\u2212\u2500\u2501\u2796\u2e3a\u2e3b\u30fc"
DOTS = ".\u00b7\u2022\u2027\u2219\u22c5\u30fb"

_TO_HYPHEN = str.maketrans(dict.fromkeys(DASHES, "-"))


def plain(text: str) -> str:
    """``text`` in Unicode normal form KC, without invisible characters and surrounding white space."""
    return unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).strip()


def hyphened(text: str) -> str:
    """A plain text with every dash as the hyphen of ASCII."""
    return text.translate(_TO_HYPHEN)
