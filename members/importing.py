"""Importing transactions from JSON lines: good rows go in, bad rows go to a rejects file, nothing is repaired."""

from collections.abc import Callable, Iterable
from typing import Any

from access_control.codes import Reason
from access_control.ledger import acting
from access_control.models import Staff
from members.intake import Fault, NewTransaction, Rejected, parse_transaction
from members.lines import Imported, Rejects, in_chunks, read_line
from members.services import transactions
from members.services.transactions import Registered, register_transactions

CHUNK = 1_000
_REFUSED = {
    transactions.UNKNOWN_MEMBER: "No member has this member number.",
    transactions.DESTROYED_YEAR: "The member's records of this fiscal year were destroyed; none is added to them.",
}
_FIELD_OF = {transactions.UNKNOWN_MEMBER: "member_number", transactions.DESTROYED_YEAR: "ordered_on"}


def import_transactions(
    lines: Iterable[tuple[int, bytes]],
    *,
    actor: Staff | None,
    rejects: Rejects,
    warnings: Rejects | None = None,
    dry_run: bool = False,
    progress: Callable[[int], Any] = lambda rows: None,
) -> Imported:
    """Import numbered lines in chunks of ``CHUNK``, each in its own transaction. Running it twice changes nothing.

    With ``dry_run`` rows are checked for form only, and nothing is written but the rejects. Nothing of an order is left
    out, so there are no ``warnings``.
    """
    result = Imported()
    chunk: list[tuple[int, NewTransaction]] = []

    def refuse(row: tuple[int, NewTransaction], fault: Fault) -> None:
        result.rejected += 1
        rejects.add(row[0], [fault])

    def enter(rows: list[tuple[int, NewTransaction]]) -> None:
        with acting(actor, reason=Reason.IMPORTED) as act:
            entered = register_transactions([new for _line, new in rows], act=act)
        for row, registered in zip(rows, entered, strict=True):
            if registered.outcome == transactions.CREATED:
                result.created += 1
            elif registered.outcome == transactions.UNCHANGED:
                result.unchanged += 1
            else:
                refuse(row, _fault(registered))

    def flush() -> None:
        in_chunks(chunk, enter, refuse)
        progress(len(chunk))
        chunk.clear()

    for number, line in lines:
        result.read += 1
        try:
            new = parse_transaction(read_line(line))
        except Rejected as rejected:
            result.rejected += 1
            rejects.add(number, rejected.faults)
            progress(1)
            continue
        if dry_run:
            progress(1)
            continue
        chunk.append((number, new))
        if len(chunk) >= CHUNK:
            flush()
    flush()
    return result


def _fault(registered: Registered) -> Fault:
    """Why a row did not go in, in the words of the rejects file."""
    return Fault(_FIELD_OF[registered.outcome], registered.outcome, _REFUSED[registered.outcome])
