"""Names and their readings, as keys to match with; nobody is ever addressed by one of these forms."""

import re
import unicodedata

from django.utils.translation import gettext_lazy as _

from members.normal_forms.characters import DASHES, is_current, plain
from members.normal_forms.kanji_variants import VARIANTS
from members.normal_forms.not_normal import NotNormal
from members.normal_forms.unicode_variants import UNICODE_VARIANTS

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

_FIRST_VARIANTS = {variant: group[0] for group in VARIANTS.split() for variant in group[1:]}
_VARIANTS_OF_VERSION_1 = str.maketrans(_FIRST_VARIANTS)
_VARIANTS = str.maketrans(
    {variant: group[0] for group in UNICODE_VARIANTS.split() for variant in group[1:]} | _FIRST_VARIANTS
)

# Kana and the kanji that no reader tells from it.
_TWINS = dict(zip("ーニロカエタトハオ", "一二口力工夕卜八才", strict=True))
_TO_KANJI = str.maketrans(_TWINS)
_TO_KANA = str.maketrans({kanji: kana for kana, kanji in _TWINS.items()})
_TWIN_RUN = re.compile(f"[{''.join(_TWINS)}{''.join(_TWINS.values())}]+")
_KANA_LETTER = re.compile("[ァ-ヺーヽヾ]")
_KANJI_LETTER = re.compile("[々㐀-䶿一-鿿\U00020000-\U0003ffff]")

# What is said after a name, as its key has it. One letter alone stays: it may be the name.
_TITLE = re.compile("(?<=..)(?:様|殿|サマ|サン|ドノ)+$")
_OPEN, _CLOSE = r"(\[{（［｛〔【〈《「", r")\]}）］｝〕】〉》」"
_FORMER = re.compile(
    rf"[{_OPEN}]\s*(?:旧姓|旧氏|旧名|旧|former(?:ly)?|n[eé]e|maiden(?: name)?)[\s:：は・]*([^{_CLOSE}]+)[{_CLOSE}]",
    re.IGNORECASE,
)
_BETWEEN_WORDS = re.compile(r"[\s,，、・･]+")
_LONGEST_UNDIVIDED = 8


def name(text: str) -> str:
    """The key of a name: `kana` and, beyond it, variants of one kanji count as one (髙 as 高, 邉 as 辺).

    The iteration mark 々 stays; 様, さん or 殿 at the end and a former name in brackets are left out.
    Raises `NotNormal` when there is no letter in the text.
    """
    if is_current():
        # Once more, because a variant may be the twin of a kana.
        key = _TITLE.sub("", _apart(_key(_FORMER.sub(" ", text)).translate(_VARIANTS), kanji=True))
    else:
        key = _key(text).translate(_VARIANTS_OF_VERSION_1)
    if not key:
        raise NotNormal("name_empty", _("Enter a name, for example 山田 太郎."))
    return key


def kana(text: str) -> str:
    """The key of a reading: large full-width katakana; Latin, Hangul and anything else in lower case.

    Spaces and punctuation are left out, accents fold, and a dash of any kind is a long-vowel mark after a kana and
    nothing elsewhere. Kanji that look like a kana among kana are one (口 as ロ); a title at the end and a former name
    in brackets are left out. Raises `NotNormal` when there is no letter in the text.
    """
    key = _TITLE.sub("", _apart(_key(_FORMER.sub(" ", text)), kanji=False)) if is_current() else _key(text)
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


def _apart(key: str, *, kanji: bool) -> str:
    """``key`` with kana and the kanji that look like them told apart by their neighbours.

    Beside a kana they are kana, else beside a kanji kanji; with neither, kanji in a name and kana in a reading.
    """

    def judged(run: re.Match[str]) -> str:
        beside = key[max(0, run.start() - 1) : run.start()] + key[run.end() : run.end() + 1]
        if _KANA_LETTER.search(beside):
            return run.group().translate(_TO_KANA)
        if kanji or _KANJI_LETTER.search(beside):
            return run.group().translate(_TO_KANJI)
        return run.group().translate(_TO_KANA)

    return _TWIN_RUN.sub(judged, key)


def other_orders(text: str) -> list[str]:
    """Other texts that the same name may be on file as: given name first, or with a former name in brackets in place.

    A title at the end is no word of the name. At most a dozen, none the text itself.
    """
    former = former_names(text)
    words = [word for word in _BETWEEN_WORDS.split(_FORMER.sub(" ", plain(text))) if word]
    if len(words) > 2 and words[-1] in {"様", "さま", "さん", "殿", "サマ", "サン"}:
        words.pop()
    turned = [" ".join([words[-1], *words[:-1]]), " ".join([*words[1:], words[0]])] if 2 <= len(words) <= 4 else []
    return list(dict.fromkeys([*turned, *former]))


def former_names(text: str) -> list[str]:
    """The names that a former name in brackets gives: alone and with the given name. Empty where there is none.

    Where the name is written in one piece, each of its endings may be the given name.
    """
    written = plain(text)
    found = _FORMER.search(written)
    if not found:
        return []
    family = found.group(1).strip()
    before, after = written[: found.start()].split(), written[found.end() :].strip()
    if after:
        return [f"{family} {after}"]
    if len(before) > 1:
        return [family, f"{family} {' '.join(before[1:])}"]
    whole = before[0][:_LONGEST_UNDIVIDED] if before else ""
    return [family, *(f"{family}{whole[start:]}" for start in range(1, len(whole)))]
