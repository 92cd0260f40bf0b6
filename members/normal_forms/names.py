"""Names and their readings, as keys to match with; nobody is ever addressed by one of these forms."""

import re
import unicodedata

from django.utils.translation import gettext_lazy as _

from members.normal_forms.characters import DASHES, plain
from members.normal_forms.kanji_variants import VARIANTS
from members.normal_forms.not_normal import NotNormal

# Normal form KC would turn the free-standing sound marks into a space and a mark that no longer joins its kana.
_SOUND_MARKS = str.maketrans("゛゜", "\u3099\u309a")
_ACCENTS = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]")
_LATIN = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h"})

_HIRAGANA = {code: code + 0x60 for code in (*range(0x3041, 0x3097), 0x309D, 0x309E)}
# Banks write every small kana large.
_SMALL = str.maketrans(
    "ァィゥェォッャュョヮヵヶㇰㇱㇲㇳㇴㇵㇶㇷㇸㇹㇺㇻㇼㇽㇾㇿ",
    "アイウエオツヤユヨワカケクシストヌハヒフヘホムラリルレロ",
)
_LONG_VOWEL = re.compile(f"(?<=[ァ-ヺー])[{re.escape(DASHES)}]")

_VARIANTS = str.maketrans({variant: group[0] for group in VARIANTS.split() for variant in group[1:]})


def name(text: str) -> str:
    """The key of a name: `kana` and, beyond it, variants of one kanji count as one (髙 as 高, 邉 as 辺).

    The iteration mark 々 stays. Raises `NotNormal` when there is no letter in the text.
    """
    key = _key(text).translate(_VARIANTS)
    if not key:
        raise NotNormal("name_empty", _("Enter a name, for example 山田 太郎."))
    return key


def kana(text: str) -> str:
    """The key of a reading: large full-width katakana; Latin, Hangul and anything else in lower case.

    Spaces and punctuation are left out, accents fold, and a dash of any kind is a long-vowel mark after a kana and
    nothing elsewhere. Raises `NotNormal` when there is no letter in the text.
    """
    key = _key(text)
    if not key:
        raise NotNormal("kana_empty", _("Enter a reading in kana, for example ヤマダ タロウ."))
    return key


def _key(text: str) -> str:
    """Letters, digits and marks of ``text``, each in its one spelling."""
    text = unicodedata.normalize("NFKD", plain(text.translate(_SOUND_MARKS)).casefold())
    text = unicodedata.normalize("NFKC", _ACCENTS.sub("", text).translate(_LATIN))
    text = _LONG_VOWEL.sub("ー", text.translate(_HIRAGANA).translate(_SMALL))
    # Composed once more, because a mark may have stood behind a space or a small kana.
    return unicodedata.normalize("NFKC", "".join(letter for letter in text if unicodedata.category(letter)[0] in "LMN"))
