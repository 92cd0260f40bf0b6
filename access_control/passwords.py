"""Which passwords are refused (P8.A): what is easily guessed about a person, in any language, and why, in words.

``judge`` knows nothing of accounts, so the site may use it with a member's own data.
"""

import itertools
import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from zxcvbn import matching, scoring

from access_control.common_words import ABOUT_NUMBERS, COMMON, KEYBOARDS, NUMBER_WORDS

# Guesses, by zxcvbn's estimate, below which a password is refused.
FEWEST_GUESSES = 10**10
# Estimating takes longer than its square; what comes after this many letters is not looked at.
LOOKED_AT = 72
# A word about the person counts from this many letters, and what is left beside such words must be so varied.
SHORTEST_WORD, FEWEST_LETTERS = 2, 5
# The part of neighbouring keys from which typing is a walk over the keyboard.
WALKING = 0.6
PRODUCT = ("personal information console", "privacy", "console", "個人情報コンソール", "個人情報", "marketplace")

_KATAKANA = {code: code - 0x60 for code in range(ord("ァ"), ord("ヶ") + 1)}
_SIGNS = re.compile(r"[\W_ー]+")
_ERA_LETTER = re.compile(r"[mtshr](?=\d)")

REASONS = {
    "number": _("A date or a telephone number, however it is written, is easily found out. Choose something else."),
    "personal": _("It is made of your name, username, employee number or company. Choose something else."),
    "repeat": _("It repeats the same letters or words. Choose something else."),
    "keyboard": _("It follows the keys of the keyboard or the alphabet. Choose something else."),
    "common": _("It is made of words or passwords that many people use. Add words that do not belong together."),
    "short": _("It is too easily guessed. Make it longer: four words that do not belong together will do."),
}

HELP = _("No names, dates, telephone numbers or rows of keys. Four words that do not belong together are good.")
_REASON_OF_PATTERN = {
    "repeat": "repeat",
    "spatial": "keyboard",
    "sequence": "keyboard",
    "date": "number",
    "regex": "number",
}


def judge(password: str, about: Iterable[str] = ()) -> None:
    """Refuse what is easily guessed by who knows these things ``about`` the person. Raises ValidationError.

    Width, case and the two kanas make no difference.
    """
    text = _fold(password)[:LOOKED_AT]
    words = _words(about)
    if reason := _reason(text, words):
        raise ValidationError(REASONS[reason], code=f"password_{reason}")


def _reason(text: str, words: list[str]) -> str:
    if is_number(text):
        return "number"
    left = _without(text, words)
    if left != text and (len(set(_SIGNS.sub("", left))) < FEWEST_LETTERS or is_number(left)):
        return "personal"
    if _is_walk(text):
        return "keyboard"
    # The module's own entry keeps the words in a variable that all threads share.
    dictionaries = {**matching.RANKED_DICTIONARIES, "own": _ranked(words), "common": _common()}
    estimate = scoring.most_guessable_match_sequence(text, matching.omnimatch(text, dictionaries))
    if estimate["guesses"] >= FEWEST_GUESSES:
        return ""
    longest = max(estimate["sequence"], key=lambda match: len(match["token"]), default={"pattern": "bruteforce"})
    if longest["pattern"] == "dictionary":
        return "personal" if longest["dictionary_name"] == "own" else "common"
    return _REASON_OF_PATTERN.get(longest["pattern"], "short")


def is_number(text: str) -> bool:
    """Whether the text is essentially dates or telephone numbers, in digits or words, of any calendar."""
    text = _fold(text)
    rest = _ERA_LETTER.sub("", _SIGNS.sub("", text))
    without_digits = re.sub(r"\d+", "", rest)
    nothing_but_words = _number_words().sub("", without_digits)
    says_a_number = without_digits != rest or bool(_numerals().search(without_digits))
    return says_a_number and len(nothing_but_words) <= 2


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).translate(_KATAKANA)


@cache
def _number_words() -> re.Pattern[str]:
    return re.compile("|".join(sorted((*ABOUT_NUMBERS.split(), *NUMBER_WORDS.split()), key=len, reverse=True)))


@cache
def _numerals() -> re.Pattern[str]:
    return re.compile("|".join(sorted(NUMBER_WORDS.split(), key=len, reverse=True)))


def _words(about: Iterable[str]) -> list[str]:
    """What is known about a person, whole, in parts and backwards, longest first."""
    found: set[str] = set()
    for known in (*about, *PRODUCT):
        folded = _fold(known)
        for word in (folded, _SIGNS.sub("", folded), *_SIGNS.split(folded)):
            if len(word) >= SHORTEST_WORD:
                found |= {word, word[::-1]}
    return sorted(found, key=len, reverse=True)


def _without(text: str, words: list[str]) -> str:
    """The text without the person's words; signs between their letters do not hide them."""
    for word in words:
        text = text.replace(word, "")
    bare = _SIGNS.sub("", text)
    for word in words:
        bare = bare.replace(word, "")
    return bare if len(bare) < len(_SIGNS.sub("", text)) else text


def _ranked(words: Iterable[str]) -> dict[str, int]:
    return {word: rank for rank, word in enumerate(dict.fromkeys(words), 1)}


@cache
def _common() -> dict[str, int]:
    return _ranked(_fold(word) for word in COMMON.split())


@cache
def _neighbours() -> frozenset[tuple[str, str]]:
    """Pairs of keys beside each other, on Japanese and American keyboards; a key is beside itself."""
    places = [
        {key: (row, column) for row, keys in enumerate(rows) for column, key in enumerate(keys)} for rows in KEYBOARDS
    ]
    return frozenset(
        (one, other)
        for keyboard in places
        for one, (row, column) in keyboard.items()
        for other, (other_row, other_column) in keyboard.items()
        if abs(row - other_row) <= 1 and abs(column - other_column) <= 1
    )


def _is_walk(text: str) -> bool:
    steps = list(itertools.pairwise(text))
    return len(set(text)) > 2 and sum(step in _neighbours() for step in steps) >= WALKING * len(steps)


class GuessableValidator:
    """Django's way to ``judge``, with what is known about the owner of an account."""

    def validate(self, password: str, user: Any = None) -> None:
        """Raises ValidationError with the reason in words."""
        judge(password, self._about(user))

    def get_help_text(self) -> str:
        """Shown where a password is chosen."""
        return str(HELP)

    def _about(self, user: Any) -> list[str]:
        from access_control.models import Entity

        person = getattr(user, "person", None)
        own = [person.display_name, person.employee_number] if person else []
        names = list(Entity.objects.values_list("name", flat=True))
        return [str(getattr(user, "username", "") or ""), *own, *names]
