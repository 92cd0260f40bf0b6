"""Importing members from JSON lines: good rows go in, bad rows go to a rejects file, nothing is repaired or echoed."""

import datetime
from collections.abc import Callable, Iterable
from typing import Any

from django.utils import timezone

from access_control.models import Entity, Staff
from consent.services.joining import join_many
from members.intake import Fault, NewMember, Rejected, parse
from members.lines import Imported, Rejects, day_of, read_line
from members.services import registration
from members.services.registration import Registration

CHUNK = 1_000


def _parsed(line: bytes, entities: frozenset[str], today: datetime.date) -> NewMember:
    return parse(read_line(line), entities=entities, today=today)


def import_members(
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
    entities, today = frozenset(Entity.objects.values_list("code", flat=True)), timezone.localdate()
    chunk: list[tuple[int, NewMember]] = []

    def flush() -> None:
        news = [new for _line, new in chunk]
        registrations = registration.foreseen(news) if dry_run else join_many(news, actor=actor) if news else []
        for (line, _new), registered in zip(chunk, registrations, strict=True):
            if registered.outcome == registration.CREATED:
                result.enter(dry_run=dry_run)
            elif registered.outcome == registration.UNCHANGED:
                result.leave(dry_run=dry_run)
            else:
                result.rejected += 1
                rejects.add(line, _faults(registered))
        progress(len(chunk))
        chunk.clear()

    for number, line in lines:
        result.read += 1
        try:
            new = _parsed(line, entities, today)
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


def _faults(registered: Registration) -> list[Fault]:
    """Why a row did not go in, in the words of the rejects file."""
    if registered.outcome == registration.DESTROYED:
        reason = f"The member was destroyed on {day_of(registered.destroyed_at)}; a file does not bring it back."
    elif registered.outcome == registration.BROKEN:
        reason = "A value on file of this member cannot be opened, so nothing was compared. Tell the privacy officer."
    else:
        reason = "Another member has this login ID, or this member number is on file with other data."
    return [Fault(_row_field(name), registered.outcome, reason) for name in registered.fields]


def _row_field(name: str) -> str:
    """The name that the import format gives a field."""
    return "member_number" if name == "number" else name
