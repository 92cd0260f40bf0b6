"""Incidents that must outlive the act in which they happened: a seal that does not open.

The vault tells :func:`note_broken_seal` of each, whoever was opening. What is noted while an act is under way is
recorded when its transaction has ended, committed or rolled back, in a transaction of its own (``ledger.acting`` sees
to that); otherwise at once. The log has it at once in either case.
"""

import logging
import uuid
from contextvars import ContextVar
from typing import TYPE_CHECKING

from django.db import DatabaseError

from access_control.codes import Reason, SubjectKind
from access_control.events import Event
from access_control.vault.ring import BrokenSeal

if TYPE_CHECKING:
    from access_control.ledger import Act

log = logging.getLogger("console.incidents")
_noted: ContextVar[frozenset[BrokenSeal]] = ContextVar("broken_seals", default=frozenset())


def note_broken_seal(broken: BrokenSeal) -> None:
    """The log and, when the act under way has ended, the ledger say that this seal does not open. No value is told."""
    from access_control.ledger import acting, under_way

    if broken in _noted.get():
        return
    ids = {"subject": str(broken.subject), "item": broken.item, "row": str(broken.row)}
    log.error("a seal does not open", extra={"fields": ids})
    _noted.set(_noted.get() | {broken})
    if under_way() is None:
        # Nothing but recording is done in this act; what was noted is recorded when it ends.
        with acting(None, reason=Reason.DAILY_WORK):
            return


def record_noted(act: "Act") -> None:
    """Record what was noted since the last act ended, in a transaction of its own. A failure is left to the log."""
    from access_control.ledger import acting

    if not (noted := _noted.get()):
        return
    _noted.set(frozenset())
    try:
        with acting(act.actor, reason=act.reason, case=act.case) as own:
            for subject, item in sorted({(broken.subject, broken.item) for broken in noted}):
                own.record(Event.SEAL_BROKEN, subject=subject, subject_kind=_kind(subject, act), items=[item])
    except DatabaseError:
        log.exception("a broken seal could not be recorded")


def _kind(subject: uuid.UUID, act: "Act") -> SubjectKind:
    return SubjectKind.CASE if subject == act.case else SubjectKind.MEMBER
