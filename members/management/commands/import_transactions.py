"""``import_transactions``: what the law keeps of transactions, from a JSON lines file."""

from typing import Any

from members.importing import import_transactions
from members.lines import Imported
from members.management.importing import ImportCommand


class Command(ImportCommand):
    """Imports transactions, sealed under the member's key of the fiscal year."""

    help = "Import transactions from a JSON lines file. Running it twice changes nothing."
    permission = "members.import_transaction"
    what = "one order a line"

    def import_lines(self, lines: Any, **how: Any) -> Imported:
        """The transactions' door."""
        return import_transactions(lines, **how)
