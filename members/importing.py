"""Importing transactions from JSON lines: good rows go in, bad rows go to a rejects file, nothing is repaired."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _

from access_control.codes import Reason
from access_control.ledger import acting
from access_control.models import Staff
from access_control.sentences import filled
from members.intake import Fault, NewTransaction, parse_transaction
from members.lines import Imported, Rejects, day_of, import_rows, read_line
from members.services import transactions
from members.services.transactions import Registered, register_transactions

CHUNK = 1_000
_REFUSED = {
    transactions.UNKNOWN_MEMBER: _("No member has this member number."),
    transactions.DESTROYED_MEMBER: _("The member was destroyed on %(day)s; a file brings back nothing of it."),
    transactions.DESTROYED_YEAR: _("The records of this fiscal year were destroyed on %(day)s; none is added to them."),
    transactions.BROKEN_SEAL: _(
        "A record on file cannot be opened, so nothing was compared. Tell the privacy officer."
    ),
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
    warnings: Rejects | None = None,
    dry_run: bool = False,
    progress: Callable[[int], Any] = lambda rows: None,
) -> Imported:
    """Import numbered lines in chunks of ``CHUNK``, each in its own transaction. Running it twice changes nothing.

    With ``dry_run`` nothing is written but the rejects: what would become of each row, as far as can be told. Nothing
    of an order is left out, so there are no ``warnings``. Raises MayNoLonger.
    """
    result = Imported()

    def refuse(line: int, faults: Sequence[Fault]) -> None:
        result.rejected += 1
        rejects.add(line, faults)

    def enter(rows: list[tuple[int, NewTransaction]]) -> None:
        news = [new for _line, new in rows]
        if dry_run:
            entered = transactions.foreseen(news)
        else:
            with acting(actor, reason=Reason.IMPORTED) as act:
                entered = register_transactions(news, act=act)
        for (line, _new), registered in zip(rows, entered, strict=True):
            if registered.outcome == transactions.CREATED:
                result.enter(dry_run=dry_run)
            elif registered.outcome == transactions.UNCHANGED:
                result.leave(dry_run=dry_run)
            else:
                refuse(line, [_fault(registered)])

    result.read = import_rows(
        lines,
        lambda line: parse_transaction(read_line(line)),
        enter,
        refuse,
        size=CHUNK,
        actor=actor,
        permission=transactions.IMPORT,
        progress=progress,
    )
    return result


def _fault(registered: Registered) -> Fault:
    """Why a row did not go in, in the words of the rejects file."""
    reason = filled(_REFUSED[registered.outcome], {"day": day_of(registered.destroyed_at)})
    return Fault(_FIELD_OF[registered.outcome], registered.outcome, reason)
