"""Reading JSON lines: numbered, each key once, and a rejects file that names what is bad and never echoes it.

*Whatever* a row holds, no row takes another with it: :func:`in_chunks` halves a chunk that fails, down to the row.
"""

import dataclasses
import datetime
import errno
import json
import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

from django.core.exceptions import PermissionDenied
from django.db import DataError, IntegrityError
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy as _

from access_control import policies
from access_control.locks import LockOrder
from access_control.models import Staff
from access_control.vault.errors import Destroyed, FenceStands, NoKey, SealBroken
from members.intake import Fault, Rejected

log = logging.getLogger("console.import")
_Row = TypeVar("_Row")

LONGEST_LINE = 1_000_000


@dataclasses.dataclass
class Imported:
    """What an import did, in rows: each row that was read is counted once more, by what became of it.

    ``used``: only the last use was later; ``changed``: changed on My Page; ``kept``: something on file won over the
    file. ``warned`` counts rows that came in with something left out or kept. After a dry run, which creates nothing,
    ``would_create`` and ``would_compare`` say what it would do.
    """

    read: int = 0
    created: int = 0
    unchanged: int = 0
    used: int = 0
    changed: int = 0
    kept: int = 0
    rejected: int = 0
    warned: int = 0
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


def day_of(moment: datetime.datetime | None) -> Any:
    """The day (Tokyo) of a destruction, as a reason says it."""
    return _("a day on record") if moment is None else timezone.localdate(moment).isoformat()


class Rejects:
    """The rejects file: one JSON object a line with line, field, code and reason; mode 600.

    It is opened before the first row, so that nothing goes in whose faults could not be told; it holds this run's
    rejects only, and is gone when there are none. Reasons are in English, as everything that a command says.
    """

    def __init__(self, path: Path, *, follow: bool = False) -> None:
        """``follow``: the path may be a link, because somebody named it. Raises OSError."""
        self.path = path
        self._count = 0
        # Whoever brings the file may write beside it: a link there would lead this list over any other file, and a pipe
        # would keep the import waiting.
        beside = 0 if follow else os.O_NOFOLLOW | os.O_NONBLOCK
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | beside, 0o600)
        found = os.fstat(handle)
        if not follow and (found.st_nlink > 1 or not stat.S_ISREG(found.st_mode)):
            os.close(handle)
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
        # Also when it was there already with another mode; a device keeps its own, which is everybody's.
        if stat.S_ISREG(found.st_mode):
            os.ftruncate(handle, 0)
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


# What the data of a row may cause, however well it was read. All else (a lost connection, a ceiling) is no row's fault.
# LockOrder: what an interrupted import left is taken up behind a member who was entered later; apart, both go in.
ROW_FAULTS = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    DataError,
    IntegrityError,
    SealBroken,
    NoKey,
    Destroyed,
    FenceStands,
    LockOrder,
)
CANNOT_BE_TAKEN = _("This row cannot be taken; the others were. Tell whoever runs the console.")


def in_chunks(rows: Sequence[_Row], enter: Callable[[list[_Row]], Any], refuse: Callable[[_Row, Fault], Any]) -> None:
    """``enter`` all rows at once, in its own transaction; where that fails, halves of them, down to the row alone.

    That row is refused, by the name of the error's class; the rest goes in.
    """
    if not rows:
        return
    try:
        enter(list(rows))
    except ROW_FAULTS as error:
        if len(rows) == 1:
            log.error("A row of an import failed with %s.", type(error).__name__)
            refuse(rows[0], Fault("", "cannot_be_taken", CANNOT_BE_TAKEN))
            return
        middle = len(rows) // 2
        in_chunks(rows[:middle], enter, refuse)
        in_chunks(rows[middle:], enter, refuse)


class MayNoLonger(PermissionDenied):
    """Whoever imports lost the right to it while the import ran. What was taken up to ``last_line`` stays."""

    def __init__(self, last_line: int) -> None:
        super().__init__("the right to import ended")
        self.last_line = last_line


def import_rows(
    lines: Iterable[tuple[int, bytes]],
    read: Callable[[bytes], _Row],
    enter: Callable[[list[tuple[int, _Row]]], Any],
    refuse: Callable[[int, Sequence[Fault]], Any],
    *,
    size: int,
    actor: Staff | None,
    permission: str,
    progress: Callable[[int], Any],
) -> int:
    """Read numbered lines, and ``enter`` the rows in chunks of ``size``; returns how many were read.

    What cannot be read or entered is refused, by its line. Before each chunk it is asked whether ``actor`` still may.
    Raises MayNoLonger.
    """
    count, last_line, chunk = 0, 0, list[tuple[int, _Row]]()

    def flush() -> None:
        nonlocal last_line
        try:
            if not policies.still_may(actor, permission):
                raise PermissionDenied
            in_chunks(chunk, enter, lambda row, fault: refuse(row[0], [fault]))
        except PermissionDenied:
            raise MayNoLonger(last_line) from None
        last_line = chunk[-1][0] if chunk else last_line
        progress(len(chunk))
        chunk.clear()

    for number, line in lines:
        count += 1
        try:
            chunk.append((number, read(line)))
        except Rejected as rejected:
            refuse(number, rejected.faults)
            progress(1)
        if len(chunk) >= size:
            flush()
    if chunk:
        flush()
    return count


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
