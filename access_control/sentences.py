"""Sentences with places to fill, translated when they are shown and not before."""

from collections.abc import Mapping
from typing import Any

from django.utils.functional import lazy


def filled(sentence: Any, places: Mapping[str, Any]) -> Any:
    """The sentence with its places filled, in the language that is active when it is turned into text."""
    return lazy(lambda: str(sentence) % places, str)()
