"""Forms that neither keep nor echo a card number or an Individual Number (P2), whatever else is wrong with them."""

from collections.abc import Callable, Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from access_control.forms import PlainTextForm
from members.normal_forms import holds_card_number, holds_my_number

FORBIDDEN_NUMBER = _(
    "This holds a card number or an Individual Number. Neither is ever stored; leave it out and try again."
)
# Longer than any field may be; what lies beyond is not looked through but dropped.
LONGEST = 20_000


class CarefulForm(PlainTextForm, forms.Form):
    """A form whose text is looked through before it is bound: a forbidden number is gone from the page that answers."""

    forbidden: tuple[Callable[[str], bool], ...] = (holds_card_number, holds_my_number)

    def __init__(self, data: Mapping[str, Any] | None = None, *args: Any, **kwargs: Any) -> None:
        self._emptied: set[str] = set()
        if data is not None:
            kept = {}
            for name, value in data.items():
                text = str(value)[:LONGEST]
                if any(holds(text) for holds in self.forbidden):
                    self._emptied.add(name)
                    text = ""
                kept[name] = text
            data = kept
        super().__init__(data, *args, **kwargs)

    def clean(self) -> dict[str, Any]:
        """Say what was refused instead of "this field is required"."""
        cleaned = super().clean() or {}
        for name in self._emptied & set(self.fields):
            self.errors.pop(name, None)
            self.add_error(name, FORBIDDEN_NUMBER)
        return cleaned
