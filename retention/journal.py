"""The journal of a run: JSON lines outside the databases, on disk before anything is destroyed.

One file per run, ``<plan id>.jsonl``, mode 600. Each line holds the SHA-256 of the line before (the first: of nothing)
and, last, its own over everything that stands before it, so that no line can be changed, left out or put in between.
Ids, codes and counts only.

What can go wrong, and why here it cannot: a key could be gone and nobody know which, so the intent is on disk (fsync)
before the vault is asked. A torn last line was never on disk whole, so what it announced never happened; it is cut off,
and the cut is itself a line.
"""

import dataclasses
import errno
import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.conf import settings

from access_control.vault.seal import KeyRef

FORMAT = 1


class JournalError(Exception):
    """The journal is missing, cannot be used, or a line of it does not fit the one before. The message says which."""


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
    """An error of the operating system becomes a JournalError: what happened to which file, and what to do."""
    try:
        yield
    except OSError as error:
        next_step = _NEXT.get(error.errno or 0, _NEXT_OF_OTHERS)
        raise JournalError(f"{path} cannot be used ({type(error).__name__}, {error.strerror}). {next_step}") from None


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


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def entries(path: Path) -> Iterator[Entry]:
    """Every line of a journal, checked. Raises JournalError at the first that is torn, changed or out of place."""
    before = _hashed("")
    try:
        with path.open("r", encoding="ascii", newline="\n") as file:
            for number, line in enumerate(file, 1):
                body, mark, rest = line.rpartition(',"hash":"')
                whole = bool(mark) and line.endswith('"}\n') and rest[:-3] == _hashed(body)
                says = json.loads(line) if whole else {}
                if says.get("n") != number or says.get("before") != before:
                    raise JournalError(f"{path}, line {number}: this line was changed, torn, or is out of place.")
                before = says["hash"]
                yield Entry(number, says["kind"], says, before)
    except FileNotFoundError:
        raise JournalError(f"{path} is missing.") from None
    except OSError as error:
        raise JournalError(f"{path} cannot be read ({type(error).__name__}).") from None
    except UnicodeDecodeError:
        raise JournalError(f"{path} holds bytes that no journal holds.") from None


class Journal:
    """A journal open for writing. One process writes it at a time: the run holds the single-flight lock."""

    def __init__(self, plan: uuid.UUID, *, begun: bool = False) -> None:
        """``begun``: the run is on record, so its journal must be there. Raises JournalError."""
        self.path = path_of(plan)
        if begun and not self.path.exists():
            raise JournalError(f"{self.path} is missing, but the run has begun. Put it back from where the run began.")
        self._number, self.head = 0, _hashed("")
        self.chunk = 0
        # Intents whose completion is not on disk: chunk → ids of certificate lines.
        self.open_intents: dict[int, list[uuid.UUID]] = {}
        with _said(self.path):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            cut = self._cut_torn_tail()
            there = self.path.exists()
        if there:
            for entry in entries(self.path):
                self._follow(entry)
        with _said(self.path):
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

    def _cut_torn_tail(self) -> int:
        """Cut what stands behind the last whole line; returns how many bytes that was."""
        try:
            with self.path.open("r+b") as file:
                size = file.seek(0, os.SEEK_END)
                keep = size
                while keep:
                    start = max(0, keep - 65_536)
                    file.seek(start)
                    if (at := file.read(keep - start).rfind(b"\n")) >= 0:
                        keep = start + at + 1
                        break
                    keep = start
                if keep < size:
                    file.truncate(keep)
                    os.fsync(file.fileno())
                return size - keep
        except FileNotFoundError:
            return 0

    def _follow(self, entry: Entry) -> None:
        self._number, self.head = entry.number, entry.hash
        if entry.kind == "intent":
            self.chunk = int(entry.says["chunk"])
            self.open_intents[self.chunk] = [uuid.UUID(row[0]) for row in entry.says["keys"]]
        elif entry.kind == "done":
            self.open_intents.pop(int(entry.says["chunk"]), None)

    def _write(self, kind: str, **says: Any) -> None:
        """Append one line and have it on disk. Raises JournalError, and then no part of the line stays."""
        number = self._number + 1
        body = json.dumps({"n": number, "kind": kind, "before": self.head, **says}, separators=(",", ":"))[:-1]
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
