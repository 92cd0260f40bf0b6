"""Reading JSON lines: numbered, each key once, and a rejects file that names what is bad and never echoes it."""

import dataclasses
import datetime
import json
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from django.utils import timezone, translation

from members.intake import Fault, Rejected

LONGEST_LINE = 1_000_000


@dataclasses.dataclass
class Imported:
    """What an import did, in rows; and what it would do, after a dry run, which creates nothing."""

    read: int = 0
    created: int = 0
    unchanged: int = 0
    rejected: int = 0
    would_create: int = 0
    would_compare: int = 0

    def enter(self, *, dry_run: bool) -> None:
        """One more row went in, or would."""
        self.created += not dry_run
        self.would_create += dry_run

    def leave(self, *, dry_run: bool) -> None:
        """One more row is on file as it is; after a dry run: it is on file, and would be compared."""
        self.unchanged += not dry_run
        self.would_compare += dry_run


def day_of(moment: datetime.datetime | None) -> str:
    """The day (Tokyo) of a destruction, as a reason says it."""
    return "a day on record" if moment is None else timezone.localdate(moment).isoformat()


class Rejects:
    """The rejects file: one JSON object a line with line, field, code and reason; mode 600.

    It is opened before the first row, so that nothing goes in whose faults could not be told; it holds this run's
    rejects only, and is gone when there are none. Reasons are in English, as everything that a command says.
    """

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self.path = path
        self._count = 0
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        # Also when it was there already with another mode; a device keeps its own, which is everybody's.
        if stat.S_ISREG(os.fstat(handle).st_mode):
            os.fchmod(handle, 0o600)
        self._file = os.fdopen(handle, "w", encoding="utf-8")

    def add(self, line: int, faults: Iterable[Fault]) -> None:
        """Write the faults of one line."""
        self._count += 1
        for fault in faults:
            with translation.override("en"):
                reason = str(fault.message)
            entry = {"line": line, "field": fault.field, "code": fault.code, "reason": reason}
            self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")

    def close(self) -> Path | None:
        """Close the file; its path, or None when nothing was rejected."""
        self._file.close()
        if self._count:
            return self.path
        # Nothing but a plain file is taken away: /dev/null stays.
        if self.path.is_file():
            self.path.unlink()
        return None


def numbered_lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """(number from 1, bytes) of every line that is not blank; a line too long is cut and spoilt: it is no JSON."""
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if not line.endswith(b"\n"):
            # The rest of an overlong line belongs to it.
            while rest := file.readline(LONGEST_LINE):
                line += b"\0" if not line.endswith(b"\0") else b""
                if rest.endswith(b"\n"):
                    break
        if line.strip():
            yield number, line


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys stand once each; of two values nobody could say which is meant."""
    row = dict(pairs)
    if len(row) != len(pairs):
        raise ValueError("a key stands twice")
    return row


def read_line(line: bytes) -> object:
    """What a line says. Raises Rejected when it is no JSON."""
    try:
        return json.loads(line.decode("utf-8-sig"), object_pairs_hook=_once)
    except UnicodeDecodeError:
        raise Rejected([Fault("", "not_utf8", "This line is not UTF-8.")]) from None
    except (ValueError, RecursionError):
        raise Rejected([Fault("", "not_json", "This line is not JSON.")]) from None
