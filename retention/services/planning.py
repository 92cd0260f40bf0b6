"""Making a plan and agreeing to it. A plan is read and hashed once; the run does nothing that it does not list."""

import datetime
import hashlib
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from access_control import policies
from access_control.codes import Reason
from access_control.copying import copy_rows
from access_control.ids import new_id
from access_control.ledger import acting
from access_control.models import Staff
from access_control.services import NotApprovable, SamePerson, approve, ask_approval
from members.models import Case, Member
from retention.due import DueKey, Obstacles, due_chunks
from retention.events import Event
from retention.models import Plan, PlanExclusion, PlanLine, new_plan_reference
from retention.services.holds import thaw
from retention.services.rules import rules_on

APPROVAL_KIND = "purge"

__all__ = ["FutureDay", "NotApprovable", "SamePerson", "approve_plan", "lies_ahead", "make_plan"]


class FutureDay(Exception):
    """Nothing is planned for a day that has not come. (In a demo it is: years pass there in a moment.)"""


class PlanChanged(Exception):
    """The plan lists something else than what was approved."""


def lies_ahead(day: datetime.date) -> bool:
    """Whether the day has not come in Tokyo. In a demo every day has."""
    return day > timezone.localdate() and not settings.DEMO


class PlanHash:
    """SHA-256 over a plan's id, its day, and each line (id, subject, category, generation, due date) in order of id.

    One text line each, fields separated by a space; docs/certificate.md says so to outsiders.
    """

    def __init__(self, plan_id: uuid.UUID, as_of: datetime.date) -> None:
        self._digest = hashlib.sha256(f"plan {plan_id} {as_of}\n".encode())

    def add(self, *fields: object) -> None:
        """The next line."""
        self._digest.update((" ".join(map(str, fields)) + "\n").encode())

    def digest(self) -> bytes:
        """32 bytes."""
        return self._digest.digest()


def require_unchanged(plan: Plan) -> None:
    """Raises PlanChanged unless the plan lists what its hash is over, and so what was approved."""
    payload = PlanHash(plan.pk, plan.as_of)
    lines = PlanLine.objects.filter(plan=plan).order_by("id")
    for line in lines.values_list("id", "subject", "category", "generation", "due_on").iterator(chunk_size=5_000):
        payload.add(*line)
    if payload.digest() != bytes(plan.payload_hash):
        raise PlanChanged


def make_plan(
    as_of: datetime.date,
    *,
    actor: Staff | None,
    reason: str = Reason.SCHEDULED,
    progress: Callable[[int], Any] = lambda subjects: None,
) -> Plan:
    """What is due by ``as_of`` (00:00 Asia/Tokyo), on record and waiting for approval. Nothing of a member changes.

    Raises FutureDay, NoRules, and PermissionDenied for a person who may not.
    """
    if actor is not None and not policies.can(actor, "retention.make_plan"):
        raise PermissionDenied
    now = timezone.now()
    if lies_ahead(as_of):
        raise FutureDay
    plan_id = new_id()
    with acting(actor, reason=reason) as act:
        version = rules_on(as_of)
        payload, last = PlanHash(plan_id, as_of), plan_id
        line_count = subject_count = excluded_count = 0
        stray: set[uuid.UUID] = set()
        for keys in due_chunks(as_of, version=version):
            obstacles = Obstacles(sorted({key.subject for key in keys}))
            lines, excluded = [], Counter[tuple[uuid.UUID, str]]()
            for key in keys:
                why = obstacles.of(key.subject, key.category, key.start)
                if key.frozen and not why:
                    # Frozen without a hold on record: one is being placed at this moment, or a crash has left it so.
                    stray.add(key.subject)
                    why = PlanExclusion.Reason.LEGAL_HOLD
                if why:
                    excluded[key.subject, why] += 1
                    continue
                # The lines are hashed in order of their ids, so each id is above the one before.
                last = next(found for found in iter(new_id, None) if found > last)
                payload.add(last, key.subject, key.category, key.generation, key.due_on)
                lines.append([last, plan_id, *_columns(key)])
            # The plan's own row comes last, when its counts are known; the database checks the links at the end.
            copy_rows(PlanLine, _LINE_COLUMNS, lines)
            copy_rows(
                PlanExclusion,
                ["plan", "subject", "reason", "line_count"],
                ([plan_id, subject, why, count] for (subject, why), count in excluded.items()),
            )
            line_count += len(lines)
            subject_count += len({line[2] for line in lines})
            excluded_count += len({subject for subject, _why in excluded})
            progress(len({key.subject for key in keys}))
        plan = Plan.objects.create(
            id=plan_id,
            reference=_free_reference(as_of),
            as_of=as_of,
            made_at=now,
            made_by=actor,
            rules=version,
            line_count=line_count,
            subject_count=subject_count,
            excluded_count=excluded_count,
            payload_hash=payload.digest(),
            approval=ask_approval(APPROVAL_KIND, payload_hash=payload.digest(), actor=actor, reason=reason),
        )
        act.record(Event.PLAN_MADE, note=plan.pk, count=line_count)
    # For the next plan. A hold that is being placed meanwhile has the member's row, and is waited for.
    thaw(_members_of(stray))
    return plan


def _members_of(subjects: set[uuid.UUID]) -> list[uuid.UUID]:
    """The members among the subjects, and those whom the cases among them are about, in order of their ids."""
    members = set(Member.objects.filter(pk__in=subjects).values_list("pk", flat=True))
    cases = Case.objects.filter(pk__in=subjects, member__isnull=False)
    return sorted(members | set(cases.values_list("member_id", flat=True)))


_KEY_COLUMNS = ("subject", "subject_kind", "category", "generation", "start", "started_on", "due_on", "rule")
_LINE_COLUMNS = ("id", "plan", *_KEY_COLUMNS)


def _columns(key: DueKey) -> list[Any]:
    named = [key.subject, key.kind, key.category, key.generation]
    return [*named, key.start, key.started_on, key.due_on, key.rule]


def _free_reference(day: datetime.date) -> str:
    while Plan.objects.filter(reference=(reference := new_plan_reference(day))).exists():
        continue
    return reference


def approve_plan(plan: Plan, *, actor: Staff, reason: str = Reason.DAILY_WORK) -> Plan:
    """Another person agrees to exactly this list. Raises SamePerson, FutureDay, NotApprovable, PermissionDenied."""
    if not policies.can(actor, "retention.approve_plan"):
        raise PermissionDenied
    if lies_ahead(plan.as_of):
        raise FutureDay
    if plan.approval.requester_id == actor.person_id:
        raise SamePerson
    with acting(actor, reason=reason):
        approve(plan.approval, actor=actor, reason=reason)
    plan.approval.refresh_from_db()
    return plan
