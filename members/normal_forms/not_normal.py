"""The one way a normal form refuses a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


class NotNormal(ValueError):
    """The text cannot be read as what it should be.

    ``code`` is stable and goes into rejects files and events; ``message`` is a sentence for the person who typed,
    with an example. Neither holds the text, and ``str()`` gives the code, so a log line stays free of it too.
    """

    def __init__(self, code: str, message: StrPromise) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
