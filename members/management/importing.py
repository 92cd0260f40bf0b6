"""What every import command shares: the file, ``--dry-run``, ``--rejects``, the bar, one summary, the exit status."""

import abc
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from access_control.management.console import REFUSED, ConsoleCommand, bad_usage
from access_control.models import Staff
from access_control.vault.errors import CeilingReached
from members.lines import Imported, Rejects, numbered_lines


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
        parser.add_argument("--dry-run", action="store_true", help="Check every row; write nothing but the rejects.")
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
        if not path.is_file():
            raise bad_usage(f"{file} is no file.")
        rejects_path = Path(rejects) if rejects else path.with_name(path.name + ".rejects.jsonl")
        if rejects_path.exists() and rejects_path.samefile(path):
            raise bad_usage(f"--rejects {rejects}: this is the file that is read.")
        warnings_path = Path(warnings) if warnings else path.with_name(path.name + ".warnings.jsonl")
        if warnings_path.exists() and warnings_path.samefile(path):
            raise bad_usage(f"--warnings {warnings}: this is the file that is read.")
        bad, odd = Rejects(rejects_path), Rejects(warnings_path)
        how = self.read_options(**options)
        actor = self.actor(username, self.permission)
        columns = (TextColumn("import"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        try:
            file_opened = path.open("rb")
        except OSError as error:
            raise bad_usage(f"{file} cannot be read ({type(error).__name__}).") from None
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
            except CeilingReached:
                bad.close()
                odd.close()
                raise CommandError(
                    "The vault's ceiling for this hour is reached: too many members on file were compared. What was"
                    " imported so far stays; run the command again in an hour.",
                    returncode=REFUSED,
                ) from None
        written, warned = bad.close(), odd.close()
        counted = (*self.counted, "would_create", "would_compare") if dry_run else self.counted
        counts = {name: getattr(result, name) for name in counted}
        summary: dict[str, Any] = counts | {"rejects_file": str(written) if written else None}
        if "warned" in counts:
            summary["warnings_file"] = str(warned) if warned else None
        text = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
        see = " and ".join(str(named) for named in (written, warned) if named)
        self.answer(summary, f"{text}; see {see}." if see else f"{text}.", as_json=json)
        if result.rejected:
            sys.exit(REFUSED)
