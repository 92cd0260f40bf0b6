"""``import_members``: members from a JSON lines file."""

from typing import Any

from django.core.management.base import CommandParser

from access_control.management.console import bad_usage
from consent.importing import import_members
from members.intake import moment
from members.lines import Imported
from members.management.importing import ImportCommand


class Command(ImportCommand):
    """Imports members, each with consent deemed on joining and on using; takes what changed on My Page."""

    help = "Import members from a JSON lines file. Running it twice changes nothing."
    permission = "members.import_member"
    what = "one member a line"
    counted = ("read", "created", "unchanged", "used", "changed", "kept", "rejected", "warned")

    def add_arguments(self, parser: CommandParser) -> None:
        """``--exported-at`` beside what every import has."""
        super().add_arguments(parser)
        parser.add_argument(
            "--exported-at",
            help="When the file was written, like 2026-01-31T23:00:00+09:00; rows may say it themselves.",
        )

    def read_options(self, *, exported_at: str | None = None, **options: Any) -> dict[str, Any]:
        """The time of the file. Raises CommandError when it is no past time with its zone."""
        try:
            return {"exported_at": moment(exported_at) if exported_at else None}
        except ValueError:
            raise bad_usage(
                "--exported-at must be a past time with its zone, like 2026-01-31T23:00:00+09:00."
            ) from None

    def import_lines(self, lines: Any, **how: Any) -> Imported:
        """The members' door."""
        return import_members(lines, **how)
