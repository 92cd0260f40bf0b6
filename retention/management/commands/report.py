"""``report``: what was destroyed in a month, as a file. Runs as the *reader*."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone

from access_control.management.console import REFUSED, ConsoleCommand, bad_usage
from retention.reports import FORMATS, Month, as_csv, as_html, destructions_of, one_snapshot, save

SUBJECTS = ("destructions",)
# What a file holds by the end of its name; one without an end is a paper.
FORMAT_OF = {"": "html", ".html": "html", ".htm": "html", ".csv": "csv"}


class Command(ConsoleCommand):
    """Writes the whole file or none. Exit status 0 also for a month in which nothing happened."""

    while_restored = True
    help = "Write the report of a month's destructions: a paper (html), or every line (csv). It names nobody."

    def add_arguments(self, parser: CommandParser) -> None:
        """What, which month, and where to."""
        super().add_arguments(parser)
        # Judged together below, so that every bad value is named at once.
        parser.add_argument("about", metavar="SUBJECT", help="What is reported: destructions.")
        parser.add_argument("--month", required=True, metavar="YYYY-MM", help="The month, in days of Tokyo; or: last.")
        parser.add_argument(
            "--format", dest="form", metavar="FORMAT", help="html or csv (default: as the file is called)."
        )
        parser.add_argument("--language", default="ja", metavar="LANGUAGE", help="ja (default) or en.")
        parser.add_argument(
            "--output",
            required=True,
            metavar="FILE",
            help="The file, replaced when it is there; {month} in it is the month.",
        )

    def handle(
        self,
        *args: Any,
        about: str,
        month: str,
        form: str | None,
        language: str,
        output: str,
        json: bool,
        **options: Any,
    ) -> None:
        """Count, write, print one summary."""
        now = timezone.now()
        faults = [] if about in SUBJECTS else [f"{about}: there is a report of {', '.join(SUBJECTS)} only."]
        wanted = None
        try:
            wanted = Month.last(now) if month == "last" else Month.named(month)
        except ValueError:
            faults.append(f"--month {month}: give a month like 2026-11, or last.")
        if wanted is not None and not wanted.has_begun(now):
            faults.append(f"--month {month}: this month has not come.")
        output = output.replace("{month}", str(wanted))
        path = Path(output)
        faults += _faults_of_format(form, path)
        languages = [code for code, _name in settings.LANGUAGES]
        if language not in languages:
            faults.append(f"--language {language}: give one of {', '.join(languages)}.")
        if not path.parent.is_dir():
            faults.append(f"--output {output}: there is no directory {path.parent}.")
        elif path.exists() and not path.is_file():
            faults.append(f"--output {output}: this is no file.")
        if faults or wanted is None:
            raise bad_usage("\n".join(faults))
        form = form or FORMAT_OF[path.suffix.lower()]
        try:
            with one_snapshot():
                found = destructions_of(wanted, now=now)
                save(path, (as_html if form == "html" else as_csv)(found, language=language))
        except (OSError, DatabaseError) as error:
            raise CommandError(
                f"Nothing was written, and {output} is as it was ({type(error).__name__}).", returncode=REFUSED
            ) from None
        text = f"{wanted}: {found.lines:,} items of {found.persons:,} persons destroyed. Written to {output}."
        self.answer({**found.summary(), "format": form, "output": str(path)}, text, as_json=json)


def _faults_of_format(form: str | None, path: Path) -> list[str]:
    """What is wrong with the format, or with a file that is called otherwise than what it would hold."""
    called = FORMAT_OF.get(path.suffix.lower())
    if form is not None and form not in FORMATS:
        return [f"--format {form}: give one of {', '.join(FORMATS)}."]
    if called is None:
        return [
            f"--output {path}: give a file that ends in .html or .csv; no other format is written (a browser prints"
            " the .html to PDF)."
        ]
    if path.suffix and form is not None and form != called:
        return [f"--format {form}: the file {path} is called as one of {called}. Give the one or the other."]
    return []
