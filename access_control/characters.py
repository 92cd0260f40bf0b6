"""Characters that no honest text holds: what no keyboard gives, what turns writing around, and what nobody can see.

One rule for every text that people type or import, whether about a member or a colleague. White space is judged by
whether the text may have several lines; marks that belong to a visible character (a variation selector behind a kanji,
a joiner inside an emoji) are fine.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from access_control.sentences import filled

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

CONTROL, TURNS_AROUND, NOTHING_VISIBLE = "control_characters", "turns_around", "nothing_visible"

# Line breaks of every system, and the tab.
_LINES = "\t\n\r\x85\u2028\u2029"
# Controls; halves of a pair that stand alone; marks of annotations; code points that are no characters.
_CONTROLS = "\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufff9-\ufffb\ufdd0-\ufdef" + "".join(
    chr(plane + 0xFFFE) + chr(plane + 0xFFFF) for plane in range(0, 0x110000, 0x10000)
)
# Embeddings, overrides and isolates: after one of these, a text is not read in the order in which it is stored.
_TURNING = "\u202a-\u202e\u2066-\u2069"
_REFUSED = re.compile(f"[{_CONTROLS}{_TURNING}]")
_REFUSED_IN_LINES = re.compile(f"(?![{_LINES}])[{_CONTROLS}{_TURNING}]")

# Drawn as nothing: fillers, zero-width marks, joiners, selectors, tags, and the braille pattern without dots.
INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_VISIBLE = re.compile(rf"[^\s{INVISIBLE}]")

# Unicode gives controls no names, only these aliases (NameAliases.txt).
_CONTROL_ALIASES = (
    "NULL|START OF HEADING|START OF TEXT|END OF TEXT|END OF TRANSMISSION|ENQUIRY|ACKNOWLEDGE|ALERT|BACKSPACE"
    "|CHARACTER TABULATION|LINE FEED|LINE TABULATION|FORM FEED|CARRIAGE RETURN|SHIFT OUT|SHIFT IN|DATA LINK ESCAPE"
    "|DEVICE CONTROL ONE|DEVICE CONTROL TWO|DEVICE CONTROL THREE|DEVICE CONTROL FOUR|NEGATIVE ACKNOWLEDGE"
    "|SYNCHRONOUS IDLE|END OF TRANSMISSION BLOCK|CANCEL|END OF MEDIUM|SUBSTITUTE|ESCAPE|INFORMATION SEPARATOR FOUR"
    "|INFORMATION SEPARATOR THREE|INFORMATION SEPARATOR TWO|INFORMATION SEPARATOR ONE"
)
_CONTROL_NAMES = _CONTROL_ALIASES.split("|")

_MESSAGES = {
    CONTROL: _("Character %(position)d is %(name)s, which no text holds. Delete it and try again."),
    TURNS_AROUND: _(
        "Character %(position)d is %(name)s, which turns the order of the writing around. Delete it and try again."
    ),
    NOTHING_VISIBLE: _("This holds nothing that can be seen; character %(position)d is %(name)s. Type it anew."),
}


@dataclasses.dataclass(frozen=True)
class StrangeCharacter:
    """What is wrong with a text: a stable code, which character (the first is 1), and its number and name."""

    code: str
    position: int
    name: str

    @property
    def template(self) -> StrPromise:
        """The sentence, with places for position and name."""
        return _MESSAGES[self.code]

    @property
    def places(self) -> dict[str, Any]:
        """What stands in the sentence's places."""
        return {"position": self.position, "name": self.name}

    @property
    def message(self) -> StrPromise:
        """The sentence. It names the place and never the text."""
        message: StrPromise = filled(self.template, self.places)
        return message


def strange_character(text: str, *, lines: bool = False) -> StrangeCharacter | None:
    """The first character that must not stand in ``text``; None when all is well, or when ``text`` is empty.

    ``lines``: line breaks and tabs are allowed.
    """
    if text.isascii() and text.isprintable():
        return None
    if found := (_REFUSED_IN_LINES if lines else _REFUSED).search(text):
        turns = re.match(f"[{_TURNING}]", found.group())
        return StrangeCharacter(TURNS_AROUND if turns else CONTROL, found.start() + 1, character_name(found.group()))
    if text.isspace() or _VISIBLE.search(text):
        return None
    if unseen := re.search(f"[{INVISIBLE}]", text):
        return StrangeCharacter(NOTHING_VISIBLE, unseen.start() + 1, character_name(unseen.group()))
    return None


def refuse_strange_characters(text: str, *, lines: bool = False) -> None:
    """Raises ValidationError, naming code, position and character, when `strange_character` finds one."""
    if found := strange_character(text, lines=lines):
        raise ValidationError(found.template, code=found.code, params=found.places)


def character_name(character: str) -> str:
    """``U+202E RIGHT-TO-LEFT OVERRIDE``."""
    code = ord(character)
    name: str | None
    if code < len(_CONTROL_NAMES):
        name = _CONTROL_NAMES[code]
    else:
        unnamed = {0x7F: "DELETE", 0x85: "NEXT LINE"}.get(code) or _unnamed(character)
        name = unicodedata.name(character, unnamed)
    return f"U+{code:04X} {name}"


def _unnamed(character: str) -> str:
    """What stands for the name of a code point that Unicode gives none."""
    return {"Cc": "CONTROL", "Cs": "HALF OF A PAIR", "Co": "PRIVATE USE"}.get(
        unicodedata.category(character), "NO CHARACTER"
    )
