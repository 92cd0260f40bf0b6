"""Ending what should not be carried out: a plan before its run has begun, or a run that cannot go on."""

import hashlib

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from access_control import locks, policies
from access_control.codes import Reason
from access_control.ledger import acting
from access_control.locks import StillUnderWay
from access_control.models import Approval, Staff
from access_control.services import SamePerson, agree_as_two, use_approval
from retention.events import Event
from retention.models import Plan, PlanEnd, Run

# The database knows them too: the end of a run given up, and a certificate without a journal, ask for their approval.
ABANDON_KIND = "abandon_run"
JOURNAL_LOST_KIND = "journal_lost"

__all__ = [
    "AlreadyBegun",
    "AlreadyOver",
    "NotBegun",
    "SamePerson",
    "StillUnderWay",
    "abandon_run",
    "declare_journal_lost",
    "journal_is_lost",
    "withdraw_plan",
]


class AlreadyBegun(Exception):
    """The run of the plan has begun; it can be given up by two persons, not withdrawn."""


class NotBegun(Exception):
    """The plan has no run that could be given up, and no journal that could be lost; it can be withdrawn."""


class AlreadyOver(Exception):
    """The plan was withdrawn, given up or carried out before, or its journal called lost."""


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

    Nothing more is destroyed by it: a chunk under way is waited for, for a while. The next ``run_purge`` certifies what
    was, by the fences. Raises NotBegun, AlreadyOver, SamePerson, NotApprovable, StillUnderWay, PermissionDenied.
    """
    with acting(actor, reason=reason) as act:
        policies.hold(actor, "retention.approve_plan")
        with locks.bounded(_("The run is destroying at this moment. Nothing was given up; try again in a minute.")):
            locks.change_one(Approval, plan.approval_id)
        run = Run.objects.filter(plan=plan).first()
        if PlanEnd.objects.filter(plan=plan).exists() or (run is not None and run.finished_at is not None):
            raise AlreadyOver
        if run is None:
            raise NotBegun
        approval = _agreed(plan, ABANDON_KIND, actor=actor, reason=reason)
        if approval is None:
            return None
        end = PlanEnd.objects.create(
            plan=plan,
            kind=PlanEnd.Kind.GIVEN_UP,
            at=timezone.now(),
            by=actor,
            approval_id=approval.pk,
            reason=str(reason),
        )
        act.record(Event.RUN_GIVEN_UP, note=plan.pk, count=run.destroyed_count)
        return end


def declare_journal_lost(plan: Plan, *, actor: Staff, reason: str = Reason.CANNOT_GO_ON) -> Approval | None:
    """Asks to agree that the run's journal is lost (None), or, as another person than the one who asked, agrees.

    Both have looked for it, and for a copy. A run that was given up is then certified without it, and accepting a
    restore does not wait for it. Raises NotBegun, AlreadyOver, SamePerson, NotApprovable, PermissionDenied.
    """
    with acting(actor, reason=reason) as act:
        policies.hold(actor, "retention.approve_plan")
        if not Run.objects.filter(plan=plan).exists():
            raise NotBegun
        if journal_is_lost(plan):
            raise AlreadyOver
        approval = _agreed(plan, JOURNAL_LOST_KIND, actor=actor, reason=reason)
        if approval is not None:
            act.record(Event.JOURNAL_LOST, note=plan.pk)
        return approval


def journal_is_lost(plan: Plan) -> bool:
    """Whether two persons have agreed that the journal of the plan's run is lost."""
    lost = Approval.objects.filter(kind=JOURNAL_LOST_KIND, payload_hash=_payload(plan, JOURNAL_LOST_KIND))
    return lost.filter(used_at__isnull=False).exists()


def _payload(plan: Plan, kind: str) -> bytes:
    return hashlib.sha256(f"{kind} ".encode() + bytes(plan.payload_hash)).digest()


def _agreed(plan: Plan, kind: str, *, actor: Staff, reason: str) -> Approval | None:
    """The approval, spent, once a second person has called; the first one's call asks. Raises SamePerson."""
    payload = _payload(plan, kind)
    approval = agree_as_two(kind, payload_hash=payload, actor=actor, reason=reason)
    if approval is not None:
        use_approval(approval.pk, kind=kind, payload_hash=payload, actor=actor, reason=reason)
    return approval
