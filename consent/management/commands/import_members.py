"""``import_members``: members from a JSON lines file."""

from typing import Any

from consent.importing import import_members
from members.lines import Imported
from members.management.importing import ImportCommand


class Command(ImportCommand):
    """Imports members, each with consent deemed on joining and on using."""

    help = "Import members from a JSON lines file. Running it twice changes nothing."
    permission = "members.import_member"
    what = "one member a line"

    def import_lines(self, lines: Any, **how: Any) -> Imported:
        """The members' door."""
        return import_members(lines, **how)
