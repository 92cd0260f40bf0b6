"""Ending what should not be carried out: a plan before its run has begun, or a run that cannot go on."""

import hashlib

from django.db.models import F
from django.utils import timezone

from access_control import locks, policies
from access_control.codes import Reason
from access_control.ledger import acting
from access_control.models import Approval, Staff
from access_control.services import approve, ask_approval, use_approval
from retention.events import Event
from retention.models import Plan, PlanEnd, Run
from retention.services.planning import SamePerson

ABANDON_KIND = "abandon_run"

__all__ = ["AlreadyBegun", "AlreadyOver", "NotBegun", "SamePerson", "abandon_run", "withdraw_plan"]


class AlreadyBegun(Exception):
    """The run of the plan has begun; it can be given up by two persons, not withdrawn."""


class NotBegun(Exception):
    """The plan has no run that could be given up; it can be withdrawn."""


class AlreadyOver(Exception):
    """The plan was withdrawn, given up or carried out before."""


def withdraw_plan(plan: Plan, *, actor: Staff, reason: str = Reason.PLAN_WRONG) -> PlanEnd:
    """The plan is never carried out; its approval, given or not, is worth nothing.

    Raises AlreadyBegun, AlreadyOver, PermissionDenied.
    """
    with acting(actor, reason=reason) as act:
        policies.hold(actor, "retention.approve_plan")
        # A run spends the approval before it is on record: one of the two waits here for the other.
        approval = locks.change_one(Approval, plan.approval_id)
        if PlanEnd.objects.filter(plan=plan).exists():
            raise AlreadyOver
        if Run.objects.filter(plan=plan).exists():
            raise AlreadyBegun
        now = timezone.now()
        if approval.expires_at > now:
            approval.expires_at = now
            approval.save(update_fields=["expires_at"])
        end = PlanEnd.objects.create(plan=plan, kind=PlanEnd.Kind.WITHDRAWN, at=now, by=actor, reason=str(reason))
        act.record(Event.PLAN_WITHDRAWN, note=plan.pk, count=plan.line_count)
        return end


def abandon_run(plan: Plan, *, actor: Staff, reason: str = Reason.CANNOT_GO_ON) -> PlanEnd | None:
    """Asks that the run be given up (None), or, as another person than the one who asked, gives it up.

    Nothing more is destroyed by it. The next ``run_purge`` certifies what was, by the fences, with the journal or, when
    that is lost, without. Raises NotBegun, AlreadyOver, SamePerson, NotApprovable, PermissionDenied.
    """
    payload = hashlib.sha256(b"abandon_run " + bytes(plan.payload_hash)).digest()
    with acting(actor, reason=reason) as act:
        policies.hold(actor, "retention.approve_plan")
        run = Run.objects.filter(plan=plan).first()
        if PlanEnd.objects.filter(plan=plan).exists() or (run is not None and run.finished_at is not None):
            raise AlreadyOver
        if run is None:
            raise NotBegun
        asked = _asked(payload)
        if asked is None:
            ask_approval(ABANDON_KIND, payload_hash=payload, actor=actor, reason=reason)
            return None
        if asked.requester_id == actor.person_id:
            raise SamePerson
        approve(asked, actor=actor, reason=reason)
        use_approval(asked.pk, kind=ABANDON_KIND, payload_hash=payload, actor=actor, reason=reason)
        end = PlanEnd.objects.create(
            plan=plan,
            kind=PlanEnd.Kind.GIVEN_UP,
            at=timezone.now(),
            by=actor,
            approval_id=asked.pk,
            reason=str(reason),
        )
        act.record(Event.RUN_GIVEN_UP, note=plan.pk, count=run.destroyed_count)
        return end


def _asked(payload: bytes) -> Approval | None:
    """What waits for a second person, asked by somebody who is still here."""
    waiting = Approval.objects.filter(
        kind=ABANDON_KIND,
        payload_hash=payload,
        approved_at=None,
        expires_at__gt=timezone.now(),
        requester__left_on=None,
        requester__account__epoch=F("requester_epoch"),
    )
    return waiting.order_by("requested_at").first()
