"""Placing and lifting legal holds. The vault freezes first, so that a hold is never later than what it says."""

import uuid
from collections.abc import Sequence

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from access_control import policies
from access_control.codes import Reason
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
    if not policies.can(actor, "retention.place_legalhold"):
        raise PermissionDenied
    with acting(actor, reason=reason) as act:
        # The hold waits for a destruction of this member, and then finds what it has left.
        locked = lock_member(member.pk)
        member = locked.member
        if LegalHold.objects.filter(member=member, ground=ground, lifted_at=None).exists():
            raise AlreadyOnHold
        if not locked.living:
            raise NothingLeft
        store.freeze(subjects_of(member), list(Category), hold=True)
        hold = LegalHold.objects.create(member=member, ground=ground, placed_at=timezone.now(), placed_by=actor)
        act.record(Event.HOLD_PLACED, subject=member.pk)
        return hold


def lift_legal_hold(hold: LegalHold, *, actor: Staff, reason: str = Reason.HOLD_LIFTED) -> LegalHold:
    """The hold is over; what is due is due again, unless another hold of the member stands.

    Raises AlreadyLifted, PermissionDenied.
    """
    if not policies.can(actor, "retention.place_legalhold"):
        raise PermissionDenied
    with acting(actor, reason=reason) as act:
        member = Member.objects.select_for_update(no_key=True).get(pk=hold.member_id)
        hold = LegalHold.objects.select_for_update(no_key=True).get(pk=hold.pk)
        if hold.lifted_at is not None:
            raise AlreadyLifted
        hold.lifted_at, hold.lifted_by = timezone.now(), actor
        hold.save(update_fields=["lifted_at", "lifted_by"])
        act.record(Event.HOLD_LIFTED, subject=member.pk)
        # The row first, then the vault: a crash in between leaves a key frozen, never one thawed under a hold.
        transaction.on_commit(lambda: thaw([member.pk]))
        return hold


def thaw(members: Sequence[uuid.UUID]) -> None:
    """Keys of those of ``members`` on whom no hold stands are frozen no longer.

    Called after a hold was lifted, and by every plan for keys that a crash has left frozen.
    """
    for member_id in members:
        with transaction.atomic():
            # A hold that is being placed has this row: it is on record when the row is free, or was never placed.
            member = Member.objects.select_for_update(no_key=True).get(pk=member_id)
            if not LegalHold.objects.filter(member=member, lifted_at=None).exists():
                store.freeze(subjects_of(member), list(Category), hold=False)
