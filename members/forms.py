"""Forms that neither keep nor echo a card number or an Individual Number (P2), whatever else is wrong with them."""

from collections.abc import Callable, Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from access_control.forms import PlainTextForm
from members.masks import HIDDEN
from members.normal_forms import SeenNumber, forbidden_numbers

FORBIDDEN_NUMBER = {
    "card_number": _(
        "The number of %(digits)d digits from character %(position)d looks like a card number, which is never stored."
        " It was taken out; the rest is kept."
    ),
    "my_number": _(
        "The number of %(digits)d digits from character %(position)d looks like an Individual Number, which is never"
        " stored. It was taken out; the rest is kept."
    ),
}
# Longer than any field may be; what lies beyond is not looked through but dropped.
LONGEST = 20_000
NEITHER = "neither_number"


class CarefulForm(PlainTextForm, forms.Form):
    """A form whose text is looked through before it is bound: a forbidden number is gone from the page that answers.

    Its digits are replaced by ＊, so that its place is seen and the rest of the text stays. Where ``answerable``, a box
    to say that it is neither kind of number appears beside a refusal, and only then; ``answered`` says that it was
    ticked, and then the text stays as it was typed.
    """

    answerable = False
    answer_label = _("I have checked it: it is neither a card number nor an Individual Number")
    answer_help = _("Then type the number again where ＊ stands. Your answer is put on record.")
    seen_in: Callable[[str], list[SeenNumber]] = staticmethod(forbidden_numbers)

    def __init__(self, data: Mapping[str, Any] | None = None, *args: Any, **kwargs: Any) -> None:
        self._refused: dict[str, list[SeenNumber]] = {}
        self.answered = bool(self.answerable and data and data.get(NEITHER))
        if data is not None:
            kept = {}
            for name, value in data.items():
                text = str(value)[:LONGEST]
                if seen := [] if self.answered else self.seen_in(text):
                    self._refused[name] = seen
                    text = _without(text, seen)
                kept[name] = text
            data = kept
        super().__init__(data, *args, **kwargs)
        if self.answered or (self.answerable and self._refused):
            self.fields[NEITHER] = forms.BooleanField(
                label=self.answer_label, help_text=self.answer_help, required=False
            )

    def clean(self) -> dict[str, Any]:
        """Say which number was refused, by its place, instead of anything else about the field."""
        cleaned = super().clean() or {}
        for name in self._refused.keys() & self.fields.keys():
            self.errors.pop(name, None)
            for seen in self._refused[name]:
                place = {"digits": seen.digits, "position": seen.start + 1}
                self.add_error(name, FORBIDDEN_NUMBER[seen.kind] % place)
        return cleaned


def _without(text: str, seen: list[SeenNumber]) -> str:
    """``text`` with ＊ for every letter of the numbers but the separators between their groups."""
    letters = list(text)
    for number in seen:
        for place in range(number.start, number.end):
            letters[place] = HIDDEN if letters[place].isalnum() else letters[place]
    return "".join(letters)
