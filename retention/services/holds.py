"""Placing and lifting legal holds. The vault freezes first, so that a hold is never later than what it says."""

import uuid
from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from access_control import locks, policies
from access_control.codes import Reason
from access_control.ids import new_id
from access_control.ledger import acting
from access_control.models import Staff
from access_control.vault import store
from access_control.vault.categories import Category
from members.models import Member
from members.services.locking import lock_member, subjects_of
from retention.events import Event
from retention.models import LegalHold


class AlreadyOnHold(Exception):
    """The member's data is on hold for this reason already."""


class AlreadyLifted(Exception):
    """The hold was lifted before."""


class NothingLeft(Exception):
    """Nothing of the member is left that could be held."""


def place_legal_hold(member: Member, *, ground: str, actor: Staff, reason: str = Reason.LEGAL_HOLD) -> LegalHold:
    """Nothing of the member is destroyed until the hold is lifted; a run under way has finished with them or not begun.

    Raises AlreadyOnHold, NothingLeft, PermissionDenied.
    """
    with acting(actor, reason=reason) as act:
        policies.hold(actor, "retention.place_legalhold")
        # The hold waits for a destruction of this member, and then finds what it has left.
        locked = lock_member(member.pk)
        member = locked.member
        if LegalHold.objects.filter(member=member, ground=ground, lifted_at=None).exists():
            raise AlreadyOnHold
        if not locked.living:
            raise NothingLeft
        # A hold that the vault remembers and the console has lost becomes this one, so that lifting it can thaw.
        hold_id = next(iter(_holds_not_on_record(member)), None) or new_id()
        store.freeze(subjects_of(member), list(Category), hold=True, for_hold=hold_id)
        hold = LegalHold.objects.create(
            id=hold_id, member=member, ground=ground, placed_at=timezone.now(), placed_by=actor
        )
        act.record(Event.HOLD_PLACED, subject=member.pk)
        return hold


def lift_legal_hold(hold: LegalHold, *, actor: Staff, reason: str = Reason.HOLD_LIFTED) -> LegalHold:
    """The hold is over; what is due is due again, unless another hold of the member stands.

    Raises AlreadyLifted, PermissionDenied.
    """
    with acting(actor, reason=reason) as act:
        policies.hold(actor, "retention.place_legalhold")
        member = locks.change_one(Member, hold.member_id)
        hold = locks.change_one(LegalHold, hold.pk)
        if hold.lifted_at is not None:
            raise AlreadyLifted
        hold.lifted_at, hold.lifted_by = timezone.now(), actor
        hold.save(update_fields=["lifted_at", "lifted_by"])
        act.record(Event.HOLD_LIFTED, subject=member.pk)
        # The row first, then the vault: a crash in between leaves a key frozen, never one thawed under a hold.
        transaction.on_commit(lambda: thaw([member.pk], actor=actor, reason=reason))
        return hold


def thaw(
    members: Sequence[uuid.UUID],
    *,
    actor: Staff | None = None,
    reason: str = Reason.HOLD_LIFTED,
    tell: bool = True,
) -> int:
    """Keys of those of ``members`` whose holds were all lifted are frozen no longer; returns of how many members.

    Every hold for which the vault froze must stand as lifted in the console's history. A freeze of which nothing is on
    record stays: a crash left it, or a restore has lost its hold. Placing a hold takes it over; lifting that one thaws.
    Called after a hold was lifted, by every plan for keys that a crash has left frozen, and for keys that came back
    frozen with a restored vault, which then hears nothing of the console (``tell``).
    """
    thawed = 0
    for member_id in members:
        with acting(actor, reason=reason) as act:
            # A hold that is being placed has this row: it is on record when the row is free, or was never placed.
            member = locks.change_one(Member, member_id)
            if may_thaw(member) and (keys := store.freeze(subjects_of(member), list(Category), hold=False, tell=tell)):
                act.record(Event.KEYS_THAWED, subject=member.pk, count=keys)
                thawed += 1
    return thawed


def may_thaw(member: Member) -> bool:
    """Whether every hold of the member, and every one for which the vault froze their keys, was lifted on record."""
    if LegalHold.objects.filter(member=member, lifted_at=None).exists():
        return False
    lifted = LegalHold.history.filter(member_id=member.pk, lifted_at__isnull=False)
    return lifted.exists() and not _holds_not_on_record(member)


def _holds_not_on_record(member: Member) -> list[uuid.UUID]:
    """Holds for which the vault froze keys of the member, and of which the console has no row; oldest first."""
    remembered = [hold for subject in store.frozen(subjects_of(member)) for hold in subject.holds]
    known = set(LegalHold.objects.filter(pk__in=remembered).values_list("pk", flat=True))
    return [hold for hold in dict.fromkeys(remembered) if hold not in known]
