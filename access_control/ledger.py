"""The one context in which anything is changed: who acts, why, for which case; and the ledger of what was done.

``with acting(actor, reason=…) as act:`` opens a transaction, tells the database the actor (the history triggers refuse
a change without one) and hands out ``act.record``. Effect, history and ledger event commit together.
"""

import dataclasses
import getpass
import ipaddress
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction

from access_control import incidents, locks
from access_control.codes import Purpose, SubjectKind
from access_control.copying import copy_rows
from access_control.ids import new_id
from access_control.requests import current_request

if TYPE_CHECKING:
    from access_control.models import Staff

SYSTEM = "system"


@dataclasses.dataclass(frozen=True)
class Act:
    """One act under way: actor (None = the system), reason code, case."""

    actor: "Staff | None"
    reason: str
    case: uuid.UUID | None

    def record(
        self,
        event: str,
        *,
        subject: uuid.UUID | None = None,
        subject_kind: SubjectKind = SubjectKind.MEMBER,
        purpose: Purpose | int | None = None,
        items: Sequence[str] = (),
        reason: str | None = None,
        note: uuid.UUID | None = None,
        count: int = 1,
        event_id: uuid.UUID | None = None,
    ) -> uuid.UUID:
        """Append an event to the ledger; returns its id. Values are never recorded, only ids, codes and item codes.

        Raises ValueError for an event that no app declares.
        """
        from access_control.models import LedgerEvent

        _require_declared(event)
        row = LedgerEvent(
            id=event_id or new_id(),
            event=str(event),
            subject=subject,
            subject_kind=subject_kind if subject else "",
            purpose=purpose,
            items=list(items),
            note=note,
            count=count,
            **(self._who() | {"reason": reason or self.reason}),
        )
        row.save(force_insert=True)
        return row.id

    def record_each(
        self,
        event: str,
        subjects: Sequence[uuid.UUID],
        *,
        subject_kind: SubjectKind = SubjectKind.MEMBER,
        note: uuid.UUID | None = None,
        items_of: Mapping[uuid.UUID, Sequence[str]] | None = None,
    ) -> None:
        """Append one event for each of ``subjects``, with one COPY. ``items_of``: the item codes for each."""
        from access_control.models import LedgerEvent

        _require_declared(event)
        who = self._who()
        # Binary COPY takes an address as an address.
        who["address"] = who["address"] and ipaddress.ip_address(who["address"])
        names = ["id", "event", "subject", "subject_kind", "note", "items", "count", *who]
        items = items_of or {}
        copy_rows(
            LedgerEvent,
            names,
            (
                [
                    new_id(),
                    str(event),
                    subject,
                    subject_kind.value,
                    note,
                    list(items.get(subject, ())),
                    1,
                    *who.values(),
                ]
                for subject in subjects
            ),
        )

    def _who(self) -> dict[str, Any]:
        here = current_request()
        return {
            "actor": self.actor and self.actor.pk,
            "actor_name": self.actor.username if self.actor else SYSTEM,
            "person": self.actor and self.actor.person_id,
            "staff_epoch": self.actor and self.actor.epoch,
            "case": self.case,
            "reason": self.reason,
            "request_id": here.id,
            "address": here.address,
            "os_user": "" if here.web else getpass.getuser(),
            "os_host": "" if here.web else socket.gethostname(),
        }

    def _announce(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('console.actor', %s, true), set_config('console.reason', %s, true),"
                " set_config('console.case', %s, true), set_config('console.request', %s, true)",
                [
                    str(self.actor.pk) if self.actor else SYSTEM,
                    str(self.reason),
                    str(self.case or ""),
                    str(current_request().id),
                ],
            )


@cache
def _declared() -> frozenset[str]:
    from access_control.checks import all_events

    return frozenset(all_events())


def _require_declared(event: str) -> None:
    if str(event) not in _declared():
        raise ValueError(f"No app declares the event {event}.")


_under_way: ContextVar[Act | None] = ContextVar("act", default=None)


@contextmanager
def acting(
    actor: "Staff | None", *, reason: str, case: uuid.UUID | None = None, durable: bool = False
) -> Iterator[Act]:
    """A transaction in which ``actor`` (None: the system) may change tracked rows and record events.

    May be nested: the inner act ends with its block and the outer one goes on, in the same transaction. ``durable``:
    the block must be the outermost transaction, so that what it records is committed when it ends.
    """
    outer = _under_way.get()
    act = Act(actor, str(reason), case)
    try:
        # What is done on commit is done without these locks.
        with transaction.atomic(durable=durable), locks.in_order():
            act._announce()
            token = _under_way.set(act)
            try:
                yield act
            finally:
                _under_way.reset(token)
            if outer is not None:
                outer._announce()
    finally:
        # An incident is on record also where the act was rolled back because of it.
        if outer is None:
            incidents.record_noted(act)


def under_way() -> Act | None:
    """The act in whose block this is called."""
    return _under_way.get()
