"""Destroying again what a restored vault has brought back.

What can go wrong, and why here it cannot:

*A restored vault serves another console than the one that speaks to it*, so it would refuse every destruction. What is
destroyed again is therefore destroyed without a word about the console; for that the purger has a function of its own.

*Something else than what was destroyed is destroyed.* Only keys under a certificate line, or under a completion in a
journal, are; never a mere intent. A person who may accept restores orders it, over one digest of all these keys and for
this pair of databases; the purger, who alone can destroy and can give no order, makes the digest anew.

*A legal hold is overtaken.* Whoever orders thaws the keys whose holds were all lifted on record; the purger thaws
nothing, and the vault passes over what is frozen.
"""

import dataclasses
import hashlib
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.utils import timezone

from access_control import restore
from access_control.codes import Reason
from access_control.ledger import acting
from access_control.models import Approval, Staff
from access_control.services import approve, ask_approval, use_approval
from access_control.vault import consoles, store
from access_control.vault.errors import CeilingReached
from members.models import Case, Member
from retention.events import Event
from retention.revived import DestroyedKey, destroyed_keys, digest, living
from retention.services.holds import may_thaw, thaw
from retention.services.purging import single_flight

ORDER_KIND = "destroy_again"


class NotOrdered(Exception):
    """Nobody who may accept a restore has ordered that exactly these keys be destroyed again."""


@dataclasses.dataclass(frozen=True)
class Revived:
    """Destroyed keys that live again: how many can be destroyed again, how many a hold keeps, whom to thaw first."""

    back: int
    held: int
    to_thaw: Sequence[uuid.UUID]


@dataclasses.dataclass(frozen=True)
class DestroyedAgain:
    """How many keys were destroyed again, and how many live still because a hold keeps them frozen."""

    destroyed: int
    held: int


def revived() -> Revived:
    """What certificates and journals call destroyed and the vault holds. Opens and changes nothing.

    Raises JournalError.
    """
    back = held = 0
    to_thaw: set[uuid.UUID] = set()
    for batch in destroyed_keys():
        alive = living(batch)
        free = _members_to_thaw({key.ref.subject for key, frozen in alive.items() if frozen})
        stays = sum(frozen and key.ref.subject not in free for key, frozen in alive.items())
        back, held = back + len(alive) - stays, held + stays
        to_thaw |= set(free.values())
    return Revived(back, held, sorted(to_thaw))


def _members_to_thaw(subjects: set[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID]:
    """Subject → their member, for those whose frozen keys no hold keeps any more."""
    member_of = dict(Case.objects.filter(pk__in=subjects, member__isnull=False).values_list("pk", "member_id"))
    member_of |= {member: member for member in Member.objects.filter(pk__in=subjects).values_list("pk", flat=True)}
    free = {member.pk for member in Member.objects.filter(pk__in=set(member_of.values())) if may_thaw(member)}
    return {subject: member for subject, member in member_of.items() if member in free}


def order(found: Revived, *, actor: Staff, reason: str) -> None:
    """The purger may destroy again what certificates and journals call destroyed, while both databases are these.

    The keys of members whose holds were all lifted are thawed. Called by whoever accepts a restore.
    """
    thaw(found.to_thaw, actor=actor, reason=reason, tell=False)
    payload = _payload()
    with acting(actor, reason=reason):
        if _ordered(payload) is None:
            asked = ask_approval(ORDER_KIND, payload_hash=payload, actor=None, reason=reason)
            approve(asked, actor=actor, reason=reason)


def destroy_again(*, progress: Callable[[int], Any] = lambda keys: None) -> DestroyedAgain:
    """What was ordered is destroyed again, and how many keys that were is on record. Run again, it goes on.

    ``progress`` is told how many keys were looked at. Raises NotOrdered, AlreadyRunning, CeilingReached, JournalError.
    """
    with single_flight():
        # Every journal is read to its end before anything is destroyed.
        payload = _payload()
        approval = _ordered(payload)
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


def _ordered(payload: bytes) -> Approval | None:
    """The order for exactly this; one that was begun with lasts until everything is destroyed again."""
    given = Approval.objects.filter(kind=ORDER_KIND, payload_hash=payload, approved_at__isnull=False)
    return (
        given.filter(used_at__isnull=False).first()
        or given.filter(used_at=None, expires_at__gt=timezone.now()).order_by("requested_at").last()
    )
