"""What is past its rule and still there, and why: every living key that is due, by the reason it stands."""

import dataclasses
import datetime
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection, models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from access_control.copying import array
from retention.due import DueKey, Obstacles, due_chunks
from retention.models import Parked, PlanExclusion
from retention.periods import ONE_DAY
from retention.services.rules import rules_on


class Standing(models.TextChoices):
    """Where something that is due stands when nothing forbids its destruction."""

    UNPLANNED = "unplanned", _("no plan lists it yet")
    PLANNED = "planned", _("a plan waits for approval")
    APPROVED = "approved", _("an approved plan waits for its run")
    RUNNING = "running", _("its run is not over")
    PARKED = "parked", _("a run left it as it was, and no plan has taken it up since")


LABELS: dict[str, Any] = dict([*Standing.choices, *PlanExclusion.Reason.choices])


@dataclasses.dataclass
class Leftover:
    """How many items, of how many persons, are past their date for one reason, and the oldest due date."""

    reason: str
    items: int = 0
    persons: int = 0
    oldest: datetime.date | None = None
    # For parked items: why the run left them.
    parked: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def label(self) -> Any:
        """The reason in words."""
        return LABELS[self.reason]

    @property
    def kept_until(self) -> datetime.date | None:
        """The last day of the oldest."""
        return self.oldest and self.oldest - ONE_DAY

    def age(self, today: datetime.date) -> int:
        """Days since the oldest date."""
        return (today - self.oldest).days if self.oldest else 0


_PLANS = """
SELECT l.subject, l.category, l.generation,
       CASE WHEN k.line_id IS NOT NULL THEN 'parked' WHEN r.plan_id IS NOT NULL THEN 'running'
            WHEN a.approved_at IS NOT NULL THEN 'approved' ELSE 'planned' END, coalesce(k.reason, '')
  FROM retention_plan p JOIN access_control_approval a ON a.id = p.approval_id
  LEFT JOIN retention_run r ON r.plan_id = p.id LEFT JOIN retention_planend e ON e.plan_id = p.id
  JOIN retention_planline l ON l.plan_id = p.id AND l.subject = ANY (%s::uuid[])
  LEFT JOIN retention_parked k ON k.line_id = l.id
 WHERE k.line_id IS NOT NULL
    OR e.plan_id IS NULL AND r.finished_at IS NULL AND (r.plan_id IS NOT NULL OR a.expires_at > %s)
 ORDER BY p.made_at
"""


def _plans_of(subjects: Sequence[uuid.UUID], now: datetime.datetime) -> dict[tuple[Any, ...], tuple[str, str]]:
    """Key → (standing, why it was parked) by the newest plan that lists it."""
    with connection.cursor() as cursor:
        cursor.execute(_PLANS, [array(subjects), now])
        return {tuple(row[:3]): (row[3], row[4]) for row in cursor.fetchall()}


def leftovers(*, now: datetime.datetime, progress: Callable[[int], Any] = lambda subjects: None) -> list[Leftover]:
    """Everything past its date by reason, most items first. Raises NoRules."""
    today = timezone.localdate(now)
    found: dict[str, Leftover] = {}
    for keys in due_chunks(today, version=rules_on(today)):
        subjects = sorted({key.subject for key in keys})
        obstacles, plans = Obstacles(subjects), _plans_of(subjects, now)
        seen: dict[str, set[uuid.UUID]] = {}
        for key in keys:
            reason, parked = _why(key, obstacles, plans)
            row = found.setdefault(reason, Leftover(reason))
            row.items += 1
            row.oldest = min(row.oldest or key.due_on, key.due_on)
            seen.setdefault(reason, set()).add(key.subject)
            if parked:
                row.parked[parked] = row.parked.get(parked, 0) + 1
        for reason, persons in seen.items():
            found[reason].persons += len(persons)
        progress(len(subjects))
    return sorted(found.values(), key=lambda row: (-row.items, row.reason))


def _why(key: DueKey, obstacles: Obstacles, plans: dict[tuple[Any, ...], tuple[str, str]]) -> tuple[str, str]:
    obstacle = obstacles.of(key.subject, key.category, key.start)
    if obstacle or key.frozen:
        return obstacle or PlanExclusion.Reason.LEGAL_HOLD.value, ""
    return plans.get((key.subject, key.category, key.generation), (Standing.UNPLANNED.value, ""))


def parked_in_words(row: Leftover) -> list[tuple[Any, int]]:
    """Why runs left the items of a row, in words, with counts."""
    return [(Parked.Reason(reason).label, count) for reason, count in sorted(row.parked.items())]
