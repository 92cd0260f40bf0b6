"""Destroying again what a restored vault has brought back.

What can go wrong, and why here it cannot:

*A restored vault serves another console than the one that speaks to it*, so it would refuse every destruction. What is
destroyed again is therefore destroyed without a word about the console; for that the purger has a function of its own.

*Something else than what was destroyed is destroyed.* Only keys under a certificate line, or under a completion in a
journal, are; never a mere intent. A person who may accept restores orders it, over one digest of all these keys and for
this pair of databases; the purger, who alone can destroy and can give no order, makes the digest anew.

*A file is put among the journals, and whom it names is destroyed.* What only a journal calls destroyed is a line of its
plan, where the plan is on record; nothing of it is ordered without another sign that a database was restored; and it
takes two persons where this console cannot bear the journal out (``retention.revived.doubtful``), or where the journals
are the only sign. Both are told the plans, how many keys, and how many of the members are members still.

*A legal hold is overtaken.* Whoever orders thaws the keys whose holds were all lifted on record; the purger thaws
nothing, and the vault passes over what is frozen.
"""

import dataclasses
import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from django.utils import timezone

from access_control import restore
from access_control.codes import Reason
from access_control.ledger import acting
from access_control.models import AcceptedRestore, Approval, Staff
from access_control.restore import Sign
from access_control.services import agree_as_two, approve, ask_approval, standing_approvals, use_approval
from access_control.vault import consoles, store
from access_control.vault.errors import CeilingReached
from members.models import Case, Member
from retention.events import Event
from retention.revived import DestroyedKey, active_among, destroyed_keys, digest, doubtful, living
from retention.services.holds import may_thaw, thaw
from retention.services.purging import single_flight

ORDER_KIND = "destroy_again"


class NotOrdered(Exception):
    """Nobody who may accept a restore has ordered that exactly these keys be destroyed again."""


class JournalsAlone(Exception):
    """Keys live that only journals call destroyed, and nothing says that a database was restored."""

    def __init__(self, found: "Revived") -> None:
        super().__init__(str(found.back))
        self.found = found


@dataclasses.dataclass(frozen=True)
class Revived:
    """Destroyed keys that live again: how many can be destroyed again, how many a hold keeps, whom to thaw first.

    Of those that can be: how many only a journal calls destroyed, by its plan; how many of these are in doubt; and to
    how many members they belong whose membership stands.
    """

    back: int
    held: int
    to_thaw: Sequence[uuid.UUID]
    journaled: Mapping[uuid.UUID, int]
    doubtful: int
    active: int


@dataclasses.dataclass(frozen=True)
class DestroyedAgain:
    """How many keys were destroyed again, and how many live still because a hold keeps them frozen."""

    destroyed: int
    held: int


def revived() -> Revived:
    """What certificates and journals call destroyed and the vault holds. Opens and changes nothing.

    Raises JournalError.
    """
    back = held = in_doubt = 0
    to_thaw: set[uuid.UUID] = set()
    active: set[uuid.UUID] = set()
    by_plan: Counter[uuid.UUID] = Counter()
    for batch in destroyed_keys():
        alive = living(batch)
        free = _members_to_thaw({key.ref.subject for key, frozen in alive.items() if frozen})
        can_go = [key for key, frozen in alive.items() if not frozen or key.ref.subject in free]
        back, held = back + len(can_go), held + len(alive) - len(can_go)
        to_thaw |= set(free.values())
        by_plan.update(key.journaled for key in can_go if key.journaled)
        in_doubt += len(doubtful(can_go))
        active |= set(active_among(key for key in can_go if key.journaled).values())
    return Revived(back, held, sorted(to_thaw), by_plan, in_doubt, len(active))


def _members_to_thaw(subjects: set[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID]:
    """Subject → their member, for those whose frozen keys no hold keeps any more."""
    member_of = dict(Case.objects.filter(pk__in=subjects, member__isnull=False).values_list("pk", "member_id"))
    member_of |= {member: member for member in Member.objects.filter(pk__in=subjects).values_list("pk", flat=True)}
    free = {member.pk for member in Member.objects.filter(pk__in=set(member_of.values())) if may_thaw(member)}
    return {subject: member for subject, member in member_of.items() if member in free}


def order(found: Revived, *, signs: Sequence[Sign], actor: Staff, reason: str) -> bool:
    """The purger may destroy again what certificates and journals call destroyed, while both databases are these.

    The keys of members whose holds were all lifted are thawed. Called by whoever accepts a restore. False: two persons
    must order it, and this one has asked. Raises JournalsAlone, SamePerson, NotApprovable.
    """
    if found.journaled and not signs and not _came_back_under_a_hold():
        raise JournalsAlone(found)
    # A journal is no witness of itself.
    by_two = bool(found.doubtful or (found.journaled and not set(signs) - {Sign.JOURNAL_AHEAD}))
    payload = _payload()
    with acting(actor, reason=reason):
        if _ordered(payload, by_two=by_two) is None:
            if by_two:
                if agree_as_two(ORDER_KIND, payload_hash=payload, actor=actor, reason=reason) is None:
                    return False
            else:
                asked = ask_approval(ORDER_KIND, payload_hash=payload, actor=None, reason=reason)
                approve(asked, actor=actor, reason=reason)
    thaw(found.to_thaw, actor=actor, reason=reason, tell=False)
    return True


def _came_back_under_a_hold() -> bool:
    """Whether the restore that was accepted last left destroyed keys alive because a hold kept them."""
    last = AcceptedRestore.objects.order_by("restore_epoch").last()
    return last is not None and bool(last.lost.get("held_and_back"))


def destroy_again(*, progress: Callable[[int], Any] = lambda keys: None) -> DestroyedAgain:
    """What was ordered is destroyed again, and how many keys that were is on record. Run again, it goes on.

    ``progress`` is told how many keys were looked at. Raises NotOrdered, AlreadyRunning, CeilingReached, JournalError.
    """
    with single_flight():
        # Every journal is read to its end before anything is destroyed.
        payload = _payload()
        approval = _ordered(payload, by_two=bool(revived().doubtful))
        if approval is None:
            raise NotOrdered
        if approval.used_at is None:
            use_approval(approval.pk, kind=ORDER_KIND, payload_hash=payload, actor=None, reason=Reason.RETENTION_ENDED)
        destroyed = held = 0
        try:
            for batch in destroyed_keys():
                alive = living(batch)
                held += sum(alive.values())
                for ended in _destroy(sorted(key for key, frozen in alive.items() if not frozen)):
                    destroyed += ended
                progress(len(batch))
        finally:
            if destroyed:
                with acting(None, reason=Reason.RETENTION_ENDED) as act:
                    act.record(Event.DESTROYED_AGAIN, note=approval.pk, count=destroyed)
    return DestroyedAgain(destroyed, held)


def _destroy(keys: Sequence[DestroyedKey]) -> Iterator[int]:
    """How many of the keys were destroyed now, each under its own line and in the name of its own plan.

    Raises CeilingReached when the vault allows no more this hour.
    """
    for plan_hash in sorted({key.plan_hash for key in keys}):
        items = [(key.ref, key.line) for key in keys if key.plan_hash == plan_hash]
        allowed = store.destructions_left()
        if allowed:
            ended = store.destroy_again(items[:allowed], plan_hash=plan_hash)
            yield sum(len(one.lines) for one in ended)
        if allowed < len(items):
            raise CeilingReached


def _payload() -> bytes:
    both = [consoles.remembered().itself, restore.testimony(None).identity, digest(destroyed_keys()).hex()]
    return hashlib.sha256(json.dumps([ORDER_KIND, both]).encode()).digest()


def _ordered(payload: bytes, *, by_two: bool) -> Approval | None:
    """The order for exactly this; one that was begun with lasts until everything is destroyed again."""
    given = standing_approvals(ORDER_KIND, payload)
    if by_two:
        given = given.filter(requester__isnull=False)
    return (
        given.filter(used_at__isnull=False).first()
        or given.filter(used_at=None, expires_at__gt=timezone.now()).order_by("requested_at").last()
    )
