"""What every form of the console shares: no text of it holds a character that no keyboard gives."""

from typing import Any

from django import forms

from access_control.characters import refuse_strange_characters


def _one_line(text: str) -> None:
    refuse_strange_characters(text)


def _several_lines(text: str) -> None:
    refuse_strange_characters(text, lines=True)


class PlainTextForm(forms.BaseForm):
    """A form each of whose texts is looked through; a text area may have lines and tabs, every other field none.

    What a field strips at its ends (``CharField.strip``) is not looked at.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            if isinstance(field, forms.CharField):
                several = isinstance(field.widget, forms.Textarea)
                field.validators.append(_several_lines if several else _one_line)
