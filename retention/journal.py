"""The journal of a run: JSON lines outside the databases, on disk before anything is destroyed.

One file per run, ``<plan id>.jsonl``, mode 600. Each line holds the SHA-256 of the line before (the first: of nothing)
and, last, its own over everything that stands before it, so that no line can be changed, left out or put in between.
Ids, codes and counts only. Each line also names the newest ledger event that was committed when it was written
(``ledger``: restore epoch, sequence, event id): a console that does not hold it was restored from a backup.

What can go wrong, and why here it cannot: a key could be gone and nobody know which, so the intent is on disk (fsync)
before the vault is asked. A torn last line was never on disk whole, so what it announced never happened; it is cut off,
and the cut is itself a line. Lines could be cut off whole, and the chain would end where nobody sees it: a run that is
begun again compares the journal with the certificate lines and the vault (``retention.services.resuming``).
"""

import dataclasses
import errno
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from django.conf import settings

from access_control.restore import testimony
from access_control.vault.seal import KeyRef

FORMAT = 1


class JournalError(Exception):
    """The journal is missing, cannot be used, or a line of it does not fit the one before. The message says which."""


class JournalUnusable(JournalError):
    """The operating system does not give the journal out. It is not lost: the message says what to mend."""


# What to do about it, by the error of the operating system; for the others the last one.
_NEXT = {
    errno.ENOSPC: "The disk is full. Make room on it, then run it again; it goes on.",
    errno.EDQUOT: "The disk is full for this user. Make room, then run it again; it goes on.",
    errno.EROFS: "The disk can only be read. Mount it writable, then run it again; it goes on.",
    errno.EACCES: "Give the directory of CONSOLE_JOURNAL to the user who runs this (mode 700), then run it again.",
    errno.EPERM: "Give the directory of CONSOLE_JOURNAL to the user who runs this (mode 700), then run it again.",
    errno.ENOTDIR: "CONSOLE_JOURNAL must name a directory. Mend the setting, then run it again.",
    errno.EEXIST: "CONSOLE_JOURNAL must name a directory. Mend the setting, then run it again.",
}
_NEXT_OF_OTHERS = "Mend the disk or the setting CONSOLE_JOURNAL, then run it again; it goes on."


@contextmanager
def _said(path: Path) -> Iterator[None]:
    """An error of the operating system becomes JournalUnusable: what happened to which file, and what to do."""
    try:
        yield
    except OSError as error:
        next_step = _NEXT.get(error.errno or 0, _NEXT_OF_OTHERS)
        raise JournalUnusable(
            f"{path} cannot be used ({type(error).__name__}, {error.strerror}). {next_step}"
        ) from None


@dataclasses.dataclass(frozen=True)
class Entry:
    """One whole line: its number from 1, its kind, what it says, and its hash (hex)."""

    number: int
    kind: str
    says: dict[str, Any]
    hash: str


def path_of(plan: uuid.UUID) -> Path:
    """Where the journal of a plan's run is."""
    return Path(settings.CONSOLE_JOURNAL) / f"{plan}.jsonl"


def is_at_hand(plan: uuid.UUID) -> bool:
    """Whether there is a journal of a plan's run. Raises JournalUnusable."""
    return _is_there(path_of(plan))


def _is_there(path: Path) -> bool:
    with _said(path):
        try:
            # Path.exists() takes more than one error for absence.
            path.stat()
        except FileNotFoundError:
            return False
        return True


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _number(value: Any, *, most: int = 2**63 - 1) -> int:
    if not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError
    return value


def _plan_hash(value: str) -> bytes:
    found = bytes.fromhex(value)
    if len(found) != hashlib.sha256().digest_size:
        raise ValueError
    return found


def _key(row: Sequence[Any]) -> tuple[uuid.UUID, KeyRef]:
    line, subject, category, generation = row
    return uuid.UUID(line), KeyRef(uuid.UUID(subject), _number(category), _number(generation))


# What a line of each kind says; a line that lacks it, or says something else, raises one of ``_MALFORMED``.
_SAYS: dict[str, Callable[[dict[str, Any]], object]] = {
    "journal": lambda says: uuid.UUID(says["plan"]),
    "intent": lambda says: (_number(says["chunk"]), _plan_hash(says["plan_hash"]), [_key(row) for row in says["keys"]]),
    "done": lambda says: (
        _number(says["chunk"]),
        _number(says["destroyed"]),
        [uuid.UUID(key) for key in says["spared"]],
    ),
}
_MALFORMED = (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError)


def _read(line: bytes) -> dict[str, Any]:
    """What a whole line says. Raises one of ``_MALFORMED`` unless its hash is right, and it says what its kind says."""
    text = line.decode("ascii")
    body, mark, rest = text.rpartition(',"hash":"')
    if not mark or rest != f'{_hashed(body)}"}}\n':
        raise ValueError
    says: dict[str, Any] = json.loads(text)
    _mark_of(says)
    if told := _SAYS.get(says["kind"]):
        told(says)
    return says


def entries(path: Path, *, size: int | None = None, torn_end: bool = False) -> Iterator[Entry]:
    """Every line of a journal, checked. Raises JournalError at the first that is torn, changed or out of place.

    ``size``: read only that many bytes, which end with a line. ``torn_end``: stop before a last line that was not
    written to its end; what it announced never happened.
    """
    before, left = _hashed(""), size
    with _said(path), _opened(path) as file:
        for number, line in enumerate(file, 1):
            if left is not None:
                if left <= 0:
                    return
                left -= len(line)
            if torn_end and not line.endswith(b"\n"):
                return
            try:
                says = _read(line)
                if (says["n"], says["before"]) != (number, before):
                    raise ValueError
            except _MALFORMED:
                raise JournalError(f"{path}, line {number}: this line was changed, torn, or is out of place.") from None
            before = says["hash"]
            yield Entry(number, says["kind"], says, before)


def _opened(path: Path) -> BinaryIO:
    """The file to be read. Raises JournalError when it is missing, JournalUnusable when its directory is: a mount?"""
    try:
        return path.open("rb")
    except FileNotFoundError:
        require_directory()
        raise JournalError(f"{path} is missing.") from None


def require_directory() -> None:
    """Raises JournalUnusable where the directory of the journals is missing: an unmounted disk holds every one."""
    directory = Path(settings.CONSOLE_JOURNAL)
    if not _is_there(directory):
        raise JournalUnusable(
            f"The directory of the journals, {directory}, is missing. Mount its disk, or mend the setting"
            " CONSOLE_JOURNAL. Only if the disk is lost: make the directory, put the newest copies of all journals"
            " into it, and run it again."
        )


class LedgerMark(NamedTuple):
    """A ledger event that a journal names: it was committed when the line was written."""

    restore_epoch: int
    sequence: int
    event: uuid.UUID


# The last whole line of a journal is looked for in so many bytes first.
_TAIL = 65_536
# Journal → (its size and time when it was read, the mark on its last line).
_marks: dict[Path, tuple[tuple[int, int], LedgerMark | None]] = {}


def journals_at_hand() -> list[Path]:
    """Every journal in the directory, by name; none where there is no directory. Raises JournalError."""
    directory = Path(settings.CONSOLE_JOURNAL)
    with _said(directory), suppress(FileNotFoundError):
        return sorted(path for path in directory.iterdir() if path.suffix == ".jsonl")
    return []


def plans_of(paths: Sequence[Path]) -> list[uuid.UUID]:
    """The plans whose journals these are, by the names of the files; a file that no run has made is of none."""
    found = []
    for path in paths:
        with suppress(ValueError):
            plan = uuid.UUID(path.stem)
            if path.name == f"{plan}.jsonl":
                found.append(plan)
    return found


def holds_lines(path: Path) -> bool:
    """Whether anything stands in the journal. Raises JournalUnusable."""
    with _said(path):
        return path.stat().st_size > 0


def newest_marks() -> dict[Path, LedgerMark]:
    """The ledger event that each journal at hand names last; a journal of an earlier format names none.

    A journal that was read before is read again only when it has changed. A line that is torn or changed says nothing,
    nor does a directory that cannot be read.
    """
    found = {}
    try:
        paths = journals_at_hand()
    except JournalError:
        return {}
    for path in paths:
        try:
            status = path.stat()
            stamp = (status.st_size, status.st_mtime_ns)
            if _marks.get(path, (None, None))[0] != stamp:
                _marks[path] = (stamp, _mark_on(_last_line(path)))
        except OSError:
            # What cannot be read is no sign of anything; a run that needs it says so.
            continue
        if (mark := _marks[path][1]) is not None:
            found[path] = mark
    return found


def _last_line(path: Path) -> bytes:
    with path.open("rb") as file:
        size, span = file.seek(0, os.SEEK_END), _TAIL
        while True:
            file.seek(max(0, size - span))
            whole = file.read().rpartition(b"\n")[0]
            _before, newline, line = whole.rpartition(b"\n")
            if newline or span >= size:
                return line
            span *= 4


def _mark_on(line: bytes) -> LedgerMark | None:
    # A line that is none says nothing, and that is safe: a mark can only close the house. Whoever relies on what a
    # journal calls destroyed reads the whole of it, and is stopped by this line.
    with suppress(*_MALFORMED):
        return _mark_of(_read(line + b"\n"))
    return None


def _mark_of(says: dict[str, Any]) -> LedgerMark | None:
    if not (ledger := says.get("ledger")):
        return None
    restore_epoch, sequence, event = ledger
    return LedgerMark(_number(restore_epoch, most=2**31 - 2), _number(sequence), uuid.UUID(event))


class Journal:
    """A journal open for writing. One process writes it at a time: the run holds the single-flight lock."""

    def __init__(self, plan: uuid.UUID, *, begun: bool = False) -> None:
        """``begun``: the run is on record, so its journal must be there. Raises JournalError."""
        self.path = path_of(plan)
        if begun and not is_at_hand(plan):
            require_directory()
            raise JournalError(f"{self.path} is missing, but the run has begun. Put it back from where the run began.")
        self._number, self.head = 0, _hashed("")
        self.chunk = 0
        # Intents whose completion is not on disk: chunk → ids of certificate lines.
        self.open_intents: dict[int, list[uuid.UUID]] = {}
        with _said(self.path):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            whole, cut = self._whole_lines()
        if whole:
            for entry in entries(self.path, size=whole):
                try:
                    self._follow(entry, plan)
                except _MALFORMED:
                    raise JournalError(f"{self.path}, line {entry.number}: this line does not fit this run.") from None
        elif begun:
            # The first line is on disk before a run is on record.
            raise JournalError(f"{self.path}, line 1: this line is missing, but the run has begun.")
        with _said(self.path):
            if cut:
                os.truncate(self.path, whole)
            self._handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if self._number == 0:
                self._write("journal", format=FORMAT, plan=str(plan))
                self._sync_directory()
            if cut:
                self._write("torn", bytes=cut)
        except JournalError:
            self.close()
            raise

    def _whole_lines(self) -> tuple[int, int]:
        """How many bytes the whole lines take, and how many stand behind the last of them: it was torn."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                keep = size
                while keep:
                    start = max(0, keep - 65_536)
                    file.seek(start)
                    if (at := file.read(keep - start).rfind(b"\n")) >= 0:
                        keep = start + at + 1
                        break
                    keep = start
                return keep, size - keep
        except FileNotFoundError:
            return 0, 0

    def _follow(self, entry: Entry, plan: uuid.UUID) -> None:
        if (entry.number == 1) != (entry.kind == "journal") or entry.says.get("plan", str(plan)) != str(plan):
            raise JournalError(f"{self.path}, line {entry.number}: this line is from the journal of another plan.")
        self._number, self.head = entry.number, entry.hash
        if entry.kind == "intent":
            self.chunk = int(entry.says["chunk"])
            self.open_intents[self.chunk] = [uuid.UUID(row[0]) for row in entry.says["keys"]]
        elif entry.kind == "done":
            self.open_intents.pop(int(entry.says["chunk"]), None)

    def _write(self, kind: str, **says: Any) -> None:
        """Append one line and have it on disk. Raises JournalError, and then no part of the line stays."""
        number = self._number + 1
        told = testimony(None)
        ledger = [told.identity.restore_epoch, told.sequence, str(told.event)] if told.sequence else None
        whole = {"n": number, "kind": kind, "before": self.head, "ledger": ledger, **says}
        body = json.dumps(whole, separators=(",", ":"))[:-1]
        mark = _hashed(body)
        line = f'{body},"hash":"{mark}"}}\n'.encode("ascii")
        with _said(self.path):
            size = os.fstat(self._handle).st_size
            try:
                while line:
                    line = line[os.write(self._handle, line) :]
                os.fsync(self._handle)
            except OSError:
                # Taking away needs no room. Where even that fails, the next run cuts the torn line off.
                with suppress(OSError):
                    os.ftruncate(self._handle, size)
                raise
        self._number, self.head = number, mark

    def _sync_directory(self) -> None:
        with _said(self.path.parent):
            handle = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def intend(self, keys: Sequence[tuple[uuid.UUID, KeyRef]], *, plan_hash: bytes) -> int:
        """On disk: these keys (certificate line, key) are about to be destroyed. Returns the number of the chunk."""
        self.chunk += 1
        rows = [[str(line), str(ref.subject), ref.category, ref.generation] for line, ref in keys]
        self._write("intent", chunk=self.chunk, plan_hash=plan_hash.hex(), keys=rows)
        self.open_intents[self.chunk] = [line for line, _ref in keys]
        return self.chunk

    def complete(self, chunk: int, destroyed: Sequence[uuid.UUID]) -> None:
        """On disk: of this chunk's keys these were destroyed, and everything about them is on record."""
        intended = self.open_intents.pop(chunk)
        spared = sorted(str(line) for line in set(intended) - set(destroyed))
        self._write("done", chunk=chunk, destroyed=len(intended) - len(spared), spared=spared)

    def finish(self, *, root: bytes) -> str:
        """On disk: the run is over, and the certificate has this Merkle root. Returns the head (hex)."""
        self._write("finished", root=root.hex())
        return self.head

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)
