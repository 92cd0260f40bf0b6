"""Importing members from JSON lines: good rows go in, bad rows go to a rejects file, nothing is repaired or echoed."""

import datetime
from collections.abc import Callable, Iterable
from typing import Any

from django.utils import timezone

from access_control.models import Entity, Staff
from consent.services.joining import join_many
from members.intake import Fault, NewMember, Rejected, parse
from members.lines import Imported, Rejects, read_line
from members.services import registration

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

    With ``dry_run`` rows are checked for form only, and nothing is written but the rejects.
    """
    result = Imported()
    entities, today = frozenset(Entity.objects.values_list("code", flat=True)), timezone.localdate()
    chunk: list[tuple[int, NewMember]] = []

    def flush() -> None:
        registrations = join_many([new for _line, new in chunk], actor=actor) if chunk else []
        for (line, _new), registered in zip(chunk, registrations, strict=True):
            if registered.outcome == registration.CREATED:
                result.created += 1
            elif registered.outcome == registration.UNCHANGED:
                result.unchanged += 1
            else:
                result.rejected += 1
                code, reason = _WHY_NOT[registered.outcome]
                rejects.add(line, [Fault(_row_field(name), code, reason) for name in registered.fields])
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
        if dry_run:
            progress(1)
            continue
        chunk.append((number, new))
        if len(chunk) >= CHUNK:
            flush()
    flush()
    return result


_WHY_NOT = {
    registration.CONFLICT: (
        "conflict",
        "Another member has this login ID, or this member number is on file with other data.",
    ),
    registration.BROKEN: (
        "broken_seal",
        "A value on file of this member cannot be opened, so nothing was compared. Tell the privacy officer.",
    ),
}


def _row_field(name: str) -> str:
    """The name that the import format gives a field."""
    return "member_number" if name == "number" else name
