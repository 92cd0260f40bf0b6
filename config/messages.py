"""``python -m config.messages``: compiled catalogues for every language. Needs no gettext programs."""

import os
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileError, read_po

LOCALE = Path(__file__).resolve().parent / "locale"


class MessagesError(Exception):
    """A catalogue cannot be compiled; the message names the file and the line."""


def compile_messages(locale: Path = LOCALE) -> int:
    """Every ``.mo`` under ``locale`` is at least as new as its ``.po``. Returns how many were written.

    Raises MessagesError for a catalogue that cannot be read.
    """
    written = 0
    for source in sorted(locale.glob("*/LC_MESSAGES/*.po")):
        target = source.with_suffix(".mo")
        if target.exists() and target.stat().st_mtime_ns >= source.stat().st_mtime_ns:
            continue
        with source.open("rb") as file:
            try:
                catalogue = read_po(file, locale=source.parent.parent.name, abort_invalid=True)
            except PoFileError as error:
                raise MessagesError(f"{source}, line {error.lineno}: {error}. Correct it and start again.") from error
        # Written beside its place and renamed: another process may be loading the old one.
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        with draft.open("wb") as file:
            write_mo(file, catalogue)
        draft.replace(target)
        written += 1
    return written


if __name__ == "__main__":
    compile_messages()
