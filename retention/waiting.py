"""Approved plans that are not carried out yet: which is run next, and which list the same keys. Reads only."""

import dataclasses
import datetime
import uuid

from django.db import connection

from retention.models import Plan
from retention.showing import state_of, with_state
from retention.words import PlanState

# How long a plan that could not be run is named by the command that passes it over.
REMEMBERED = datetime.timedelta(days=30)


@dataclasses.dataclass(frozen=True)
class Queue:
    """The plans that ``run_purge`` may take, in the order in which it does, and those that it passes over."""

    next: list[Plan]
    passed_over: list[Plan]


def queue(now: datetime.datetime) -> Queue:
    """Runs that are not over come first, those given up before all; then plans whose approval stands, oldest first.

    Passed over are plans that were approved, or withdrawn, within the last ``REMEMBERED`` and cannot be run.
    """
    plans = with_state(Plan.objects.all(), now).order_by("made_at")
    begun = list(plans.filter(run__isnull=False, run__finished_at=None))
    begun.sort(key=lambda plan: state_of(plan) != PlanState.GIVEN_UP)
    others = list(plans.filter(run=None, approval__expires_at__gt=now - REMEMBERED))
    return Queue(
        next=[*begun, *(plan for plan in others if _may_run(plan, now))],
        passed_over=[plan for plan in others if _cannot_run(plan)],
    )


def _may_run(plan: Plan, now: datetime.datetime) -> bool:
    """A plan of which nothing is due may be run as well: its certificate says so."""
    approval = plan.approval
    empty = state_of(plan) == PlanState.NOTHING and approval.approved_at is not None and approval.expires_at > now
    return empty or state_of(plan) == PlanState.APPROVED


def _cannot_run(plan: Plan) -> bool:
    """Whether somebody expects the plan to be run, and it is not: it was approved in vain, or withdrawn."""
    state = state_of(plan)
    in_vain = state in {PlanState.EXPIRED, PlanState.VOID} and plan.approval.approved_at is not None
    return in_vain or state == PlanState.WITHDRAWN


@dataclasses.dataclass(frozen=True)
class Overlap:
    """Another approved plan that is not carried out yet, and how many keys of this one it lists too."""

    plan: uuid.UUID
    reference: str
    items: int


_OVERLAPS = """
SELECT p.id, p.reference, count(*) FROM retention_plan p
  JOIN access_control_approval a ON a.id = p.approval_id LEFT JOIN retention_run r ON r.plan_id = p.id
  LEFT JOIN retention_planend e ON e.plan_id = p.id JOIN retention_planline theirs ON theirs.plan_id = p.id
  JOIN retention_planline mine
    ON (mine.subject, mine.category, mine.generation) = (theirs.subject, theirs.category, theirs.generation)
 WHERE mine.plan_id = %(plan)s AND p.id <> %(plan)s AND a.approved_at IS NOT NULL AND r.finished_at IS NULL
   AND e.plan_id IS NULL AND (r.plan_id IS NOT NULL OR a.expires_at > %(now)s)
 GROUP BY p.id, p.reference ORDER BY count(*) DESC, p.reference
"""


def overlaps_of(plan: Plan, now: datetime.datetime) -> list[Overlap]:
    """The approved plans that list keys of this one, most keys first: one query."""
    with connection.cursor() as cursor:
        cursor.execute(_OVERLAPS, {"plan": plan.pk, "now": now})
        return [Overlap(*row) for row in cursor.fetchall()]
