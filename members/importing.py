"""Importing transactions from JSON lines: good rows go in, bad rows go to a rejects file, nothing is repaired."""

from collections.abc import Callable, Iterable
from typing import Any

from access_control.codes import Reason
from access_control.ledger import acting
from access_control.models import Staff
from members.intake import Fault, NewTransaction, Rejected, parse_transaction
from members.lines import Imported, Rejects, day_of, read_line
from members.services import transactions
from members.services.transactions import Registered, register_transactions

CHUNK = 1_000
_CONFLICT = "This order number is on file with other data."
_REFUSED = {
    transactions.UNKNOWN_MEMBER: "No member has this member number.",
    transactions.DESTROYED_MEMBER: "The member was destroyed on {day}; a file brings back nothing of it.",
    transactions.DESTROYED_YEAR: "The records of this fiscal year were destroyed on {day}; none is added to them.",
    transactions.BROKEN_SEAL: "A record on file cannot be opened, so nothing was compared. Tell the privacy officer.",
}
_FIELD_OF = {
    transactions.UNKNOWN_MEMBER: "member_number",
    transactions.DESTROYED_MEMBER: "member_number",
    transactions.DESTROYED_YEAR: "ordered_on",
    transactions.BROKEN_SEAL: "order",
}


def import_transactions(
    lines: Iterable[tuple[int, bytes]],
    *,
    actor: Staff | None,
    rejects: Rejects,
    dry_run: bool = False,
    progress: Callable[[int], Any] = lambda rows: None,
) -> Imported:
    """Import numbered lines in chunks of ``CHUNK``, each in its own transaction. Running it twice changes nothing.

    With ``dry_run`` nothing is written but the rejects: what would become of each row, as far as can be told.
    """
    result = Imported()
    chunk: list[tuple[int, NewTransaction]] = []

    def flush() -> None:
        if not chunk:
            return
        news = [new for _line, new in chunk]
        if dry_run:
            entered = transactions.foreseen(news)
        else:
            with acting(actor, reason=Reason.IMPORTED) as act:
                entered = register_transactions(news, act=act)
        for (line, _new), registered in zip(chunk, entered, strict=True):
            if registered.outcome == transactions.CREATED:
                result.enter(dry_run=dry_run)
            elif registered.outcome == transactions.UNCHANGED:
                result.leave(dry_run=dry_run)
            else:
                result.rejected += 1
                rejects.add(line, _faults(registered))
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
        chunk.append((number, new))
        if len(chunk) >= CHUNK:
            flush()
    flush()
    return result


def _faults(registered: Registered) -> list[Fault]:
    """Why a row did not go in, in the words of the rejects file."""
    if registered.outcome == transactions.CONFLICT:
        return [Fault(name, registered.outcome, _CONFLICT) for name in registered.fields]
    reason = _REFUSED[registered.outcome].format(day=day_of(registered.destroyed_at))
    return [Fault(_FIELD_OF[registered.outcome], registered.outcome, reason)]
