"""What every import command shares: the file, ``--dry-run``, ``--rejects``, the bar, one summary, the exit status."""

import abc
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

from django.core.management.base import CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from access_control.management.console import REFUSED, ConsoleCommand, bad_usage
from access_control.models import Staff
from access_control.vault.errors import CeilingReached
from members.lines import Imported, MayNoLonger, Rejects, numbered_lines

# How much of a file tells what kind it is.
LOOKED_AT = 100_000


class ImportCommand(ConsoleCommand, abc.ABC):
    """Imports a JSON lines file as a person; bad rows go to FILE.rejects.jsonl, the rest goes in."""

    by_person = True
    permission = ""
    what = "one row a line"

    # What the summary counts, in this order.
    counted: tuple[str, ...] = ("read", "created", "unchanged", "rejected")

    def read_options(self, **options: Any) -> dict[str, Any]:
        """What a command hands to its service beyond the lines. Raises CommandError for bad usage."""
        return {}

    @abc.abstractmethod
    def import_lines(
        self,
        lines: Iterable[tuple[int, bytes]],
        *,
        actor: Staff | None,
        rejects: Rejects,
        warnings: Rejects,
        dry_run: bool,
        progress: Callable[[int], Any],
        **how: Any,
    ) -> Imported:
        """Import the numbered lines; each command names its service."""

    def add_arguments(self, parser: CommandParser) -> None:
        """FILE, ``--dry-run`` and ``--rejects``."""
        super().add_arguments(parser)
        parser.add_argument("file", help=f"JSON lines, {self.what}.")
        parser.add_argument(
            "--dry-run", action="store_true", help="Say what would become of each row; write nothing but the rejects."
        )
        parser.add_argument("--rejects", help="Where bad rows are listed (default: FILE.rejects.jsonl).")
        parser.add_argument(
            "--warnings", help="Where is listed what rows came in without (default: FILE.warnings.jsonl)."
        )

    def handle(
        self,
        *args: Any,
        file: str,
        dry_run: bool,
        rejects: str | None,
        warnings: str | None,
        username: str,
        json: bool,
        **options: Any,
    ) -> None:
        """Import, print one summary, exit 1 only when rows were rejected."""
        path = Path(file)
        file_opened = _opened(path)
        paths = _list_of(path, "rejects", rejects), _list_of(path, "warnings", warnings)
        _refuse_one_for_both(*paths)
        how = self.read_options(**options)
        actor = self.actor(username, self.permission)
        bad, odd = _lists(*paths, named=(rejects is not None, warnings is not None))
        columns = (TextColumn("import"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with file_opened as lines, Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("rows", total=None)
            try:
                result = self.import_lines(
                    numbered_lines(lines),
                    actor=actor,
                    rejects=bad,
                    warnings=odd,
                    **how,
                    dry_run=dry_run,
                    progress=lambda rows: bar.advance(task, rows),
                )
            except MayNoLonger as ended:
                raise CommandError(
                    "--as: the right of this account to import ended while the import ran."
                    f" {_how_far(ended, dry_run=dry_run)} Run the command again as somebody who may; what is on file"
                    " already counts as unchanged.",
                    returncode=REFUSED,
                ) from None
            except CeilingReached:
                raise CommandError(
                    "The vault's ceiling for this hour is reached: too many members on file were compared. What was"
                    " imported so far stays; run the command again in an hour.",
                    returncode=REFUSED,
                ) from None
            finally:
                written, warned = bad.close(), odd.close()
        self._say(result, written, warned, dry_run=dry_run, as_json=json)
        if result.rejected:
            sys.exit(REFUSED)

    def _say(
        self, result: Imported, written: Path | None, warned: Path | None, *, dry_run: bool, as_json: bool
    ) -> None:
        """The summary: what was counted, or what would be, and where the lists are."""
        counts = {name: getattr(result, name) for name in self.counted}
        summary: dict[str, Any] = counts | {"rejects_file": str(written) if written else None}
        if "warned" in counts:
            summary["warnings_file"] = str(warned) if warned else None
        text = f"{counts.pop('read')} read: " + ", ".join(f"{count} {name}" for name, count in counts.items())
        if dry_run:
            summary |= {"would_create": result.would_create, "would_compare": result.would_compare}
            text = (
                f"Nothing was imported (--dry-run). {result.read} read: {result.would_create} would be created,"
                f" {result.would_compare} are on file and would be compared, {result.rejected} would be rejected"
            )
        see = " and ".join(str(named) for named in (written, warned) if named)
        self.answer(summary, f"{text}; see {see}." if see else f"{text}.", as_json=as_json)


def _how_far(ended: MayNoLonger, *, dry_run: bool) -> str:
    """What became of the rows before the end, in a sentence."""
    if dry_run:
        return f"The rows up to line {ended.last_line} were looked at; nothing was imported (--dry-run)."
    if not ended.last_line:
        return "Nothing was imported."
    return f"What was imported up to line {ended.last_line} stays; nothing after it was."


def _list_of(path: Path, option: str, named: str | None) -> tuple[str, Path]:
    """An option and the file it names, beside the file that is read when it is not given. Raises CommandError."""
    listed = Path(named) if named else path.with_name(f"{path.name}.{option}.jsonl")
    if listed.exists() and listed.samefile(path):
        raise bad_usage(f"--{option} {named}: this is the file that is read.")
    return option, listed


def _refuse_one_for_both(bad: tuple[str, Path], odd: tuple[str, Path]) -> None:
    """Two lists in one file would write over each other; a device (/dev/null) takes both. Raises CommandError."""
    path = odd[1].resolve()
    if bad[1].resolve() == path and (path.is_file() or not path.exists()):
        raise bad_usage(f"--warnings {odd[1]}: rejects are listed in this file already. Name another.")


def _lists(*paths: tuple[str, Path], named: tuple[bool, ...]) -> list[Rejects]:
    """The lists, opened before the first row. Raises CommandError (2) when one cannot be written."""
    opened: list[Rejects] = []
    for (option, path), follow in zip(paths, named, strict=True):
        try:
            opened.append(Rejects(path, follow=follow))
        except OSError as error:
            for other in opened:
                other.close()
            raise bad_usage(
                f"The {option} file {path} cannot be written ({type(error).__name__}), so nothing was imported."
                f" Name another with --{option}."
            ) from None
    return opened


def _opened(path: Path) -> IO[bytes]:
    """The file, if it can be JSON lines at all. Raises CommandError (2): what it is instead, and what to do."""
    if path.is_dir():
        raise bad_usage(f"{path} is a directory. Give one file of JSON lines.")
    if not path.is_file():
        raise bad_usage(f"{path} is no file.")
    try:
        file = path.open("rb")
        head = file.read(LOOKED_AT)
        file.seek(0)
    except OSError as error:
        raise bad_usage(f"{path} cannot be read ({type(error).__name__}).") from None
    if another := _another_kind(head):
        file.close()
        raise bad_usage(f"{path} {another} docs/import-format.md says what is read.")
    return file


def _another_kind(head: bytes) -> str:
    """What a file is that holds no JSON lines, as far as its beginning tells; "" when it may hold them."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "is UTF-16. Save it as UTF-8."
    if head.startswith((b"PK\x03\x04", b"\x1f\x8b", b"%PDF", b"\xd0\xcf\x11\xe0")):
        return "is an archive, a spreadsheet or a PDF. Give JSON lines: one object a line, in UTF-8."
    lines = [line for line in head.removeprefix(b"\xef\xbb\xbf").splitlines() if line.strip()]
    # One bad line among good ones is a bad row; that no line begins as an object does is another kind of file.
    if not lines or any(line.lstrip().startswith(b"{") for line in lines):
        return _another_encoding(lines)
    if lines[0].lstrip().startswith(b"["):
        return "is one JSON list. Give JSON lines: one object a line."
    if any(sign in lines[0] for sign in (b",", b"\t", b";")):
        return "is a table (CSV). Give JSON lines: one object a line, in UTF-8."
    return ""


def _another_encoding(lines: list[bytes]) -> str:
    """Whether every whole line that is not ASCII is CP932 (Shift_JIS) and none is UTF-8."""
    whole = [line for line in lines[:-1] or lines if not line.isascii()]
    if whole and all(not _reads(line, "utf-8") and _reads(line, "cp932") for line in whole):
        return "is CP932 (Shift_JIS). Save it as UTF-8."
    return ""


def _reads(line: bytes, encoding: str) -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
