"""Importing members from JSON lines: good rows go in, bad rows go to a rejects file, nothing is repaired or echoed."""

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from access_control.models import Entity, Staff
from access_control.sentences import filled
from consent.services.joining import join_many
from members.intake import Fault, NewMember, parse
from members.lines import Imported, Rejects, day_of, import_rows, read_line
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
    warnings: Rejects | None = None,
    dry_run: bool = False,
    exported_at: datetime.datetime | None = None,
    progress: Callable[[int], Any] = lambda rows: None,
) -> Imported:
    """Import numbered lines in chunks of ``CHUNK``, each in its own transaction. Running it twice changes nothing.

    ``exported_at`` is when the file was written, for rows that do not say it. What was left out of a row that came in,
    and what won over it, goes to ``warnings``. With ``dry_run`` nothing is written but rejects and warnings: what would
    become of each row, as far as can be told. Raises MayNoLonger.
    """
    result = Imported()
    entities, today = frozenset(Entity.objects.values_list("code", flat=True)), timezone.localdate()

    def warn(line: int, faults: Sequence[Fault]) -> None:
        if faults:
            result.warned += 1
            if warnings is not None:
                warnings.add(line, faults)

    def refuse(line: int, faults: Sequence[Fault]) -> None:
        result.rejected += 1
        rejects.add(line, faults)

    def enter(rows: list[tuple[int, NewMember]]) -> None:
        news = [new for _line, new in rows]
        registrations = registration.foreseen(news) if dry_run else join_many(news, actor=actor)
        for row, registered in zip(rows, registrations, strict=True):
            if registered.outcome in _WHY:
                refuse(row[0], _faults(registered))
                continue
            if registered.outcome == registration.CREATED:
                result.enter(dry_run=dry_run)
            elif registered.outcome == registration.UNCHANGED:
                result.leave(dry_run=dry_run)
            else:
                setattr(result, registered.outcome, getattr(result, registered.outcome) + 1)
            warn(row[0], [*row[1].left_out, *registered.kept])

    def read(line: bytes) -> NewMember:
        new = _parsed(line, entities, today)
        return dataclasses.replace(new, exported_at=new.exported_at or exported_at)

    result.read = import_rows(
        lines, read, enter, refuse, size=CHUNK, actor=actor, permission=registration.IMPORT, progress=progress
    )
    return result


# Why a row did not go in, by its outcome; a conflict says why itself.
_WHY = {
    registration.CONFLICT: None,
    registration.DESTROYED: _("The member was destroyed on %(day)s; a file does not bring it back."),
    registration.BROKEN: _(
        "A value on file of this member cannot be opened, so nothing was compared. Tell the privacy officer."
    ),
}
_CONFLICT = {
    registration.LOGIN_TAKEN: _("Another member has this login ID."),
    registration.IMMUTABLE: _(
        "This member number is on file, and what cannot be corrected (clause 5) differs. Nothing of the row was taken."
    ),
}


def _faults(registered: Registration) -> list[Fault]:
    """Why a row did not go in, for each field that says so, in the words of the rejects file."""
    reason = _WHY[registered.outcome] or _CONFLICT[registered.why]
    said = filled(reason, {"day": day_of(registered.destroyed_at)})
    return [Fault(_row_field(name), registered.outcome, said) for name in registered.fields]


def _row_field(name: str) -> str:
    """The name that the import format gives a field."""
    return "member_number" if name == "number" else name
