"""The destructions of a month (days of Tokyo), counted by PostgreSQL under one snapshot: every figure agrees."""

import dataclasses
import datetime
import json
import re
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction
from django.db.models import Count

from access_control.vault.categories import Category
from retention.due import TOKYO
from retention.models import Certificate, Parked, Plan, PlanExclusion, Rule, Verification

# Waiting items that the report names one by one, the oldest first.
MOST_LISTED = 50
# Parked for good: there was nothing to destroy, or it is not due any more. Everything else waits for another run.
SETTLED = (Parked.Reason.NOT_DUE, Parked.Reason.NO_KEY, Parked.Reason.ENDED_ELSEWHERE)


@dataclasses.dataclass(frozen=True)
class Month:
    """A calendar month of Tokyo, by its first day."""

    first: datetime.date

    @classmethod
    def named(cls, text: str) -> "Month":
        """The month written ``2026-11``. Raises ValueError. :meth:`last` is the one before the month of a moment."""
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}", text):
            raise ValueError(text)
        return cls(datetime.date.fromisoformat(f"{text}-01"))

    @classmethod
    def last(cls, now: datetime.datetime) -> "Month":
        """The month before that of ``now``, in days of Tokyo: also on the 31st."""
        return cls((now.astimezone(TOKYO).date().replace(day=1) - datetime.timedelta(days=1)).replace(day=1))

    def __str__(self) -> str:
        return f"{self.first:%Y-%m}"

    def has_begun(self, now: datetime.datetime) -> bool:
        """Whether a day of it has come."""
        return self.first <= now.astimezone(TOKYO).date()

    @property
    def begins(self) -> datetime.datetime:
        """00:00 of its first day."""
        return datetime.datetime.combine(self.first, datetime.time(), tzinfo=TOKYO)

    @property
    def ends(self) -> datetime.datetime:
        """00:00 of the first day after it."""
        after = (self.first + datetime.timedelta(days=31)).replace(day=1)
        return datetime.datetime.combine(after, datetime.time(), tzinfo=TOKYO)

    @property
    def days(self) -> list[datetime.date]:
        """Its days."""
        return [self.first + datetime.timedelta(days=n) for n in range((self.ends - self.begins).days)]


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """Certificate lines of one plan, rule, category, start and day: how many, and the most days past a due date."""

    plan: uuid.UUID
    rule: uuid.UUID | None
    category: int
    start: str | None
    day: datetime.date
    lines: int
    days_late: int


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A plan that destroyed something in the month, or whose certificate was issued in it, and what came of it."""

    plan: Plan
    certificate: Certificate | None
    facts: dict[str, Any]
    lines_in_month: int
    parked: dict[str, int]
    verification: Verification | None


@dataclasses.dataclass(frozen=True)
class Waiting:
    """Parked items of one reason that are not destroyed to this day."""

    reason: str
    items: int
    persons: int
    due_since: datetime.date
    parked_since: datetime.datetime


@dataclasses.dataclass(frozen=True)
class WaitingItem:
    """One of them."""

    line: uuid.UUID
    plan: str
    category: int
    reason: str
    due_on: datetime.date
    parked_since: datetime.datetime


@dataclasses.dataclass(frozen=True)
class Destructions:
    """A month as it stood at ``made_at``."""

    month: Month
    made_at: datetime.datetime
    groups: list[Group]
    persons: int
    persons_by_category: dict[int, int]
    outcomes: list[Outcome]
    waiting: list[Waiting]
    oldest_waiting: list[WaitingItem]
    # The last plan made in the month, and the persons it left out, by reason.
    last_plan: Plan | None
    left_out: dict[str, int]
    rules: dict[uuid.UUID, Rule]

    @property
    def lines(self) -> int:
        """Certificate lines: keys destroyed in the month."""
        return sum(group.lines for group in self.groups)

    @property
    def is_over(self) -> bool:
        """Whether nothing can come to the month any more."""
        return self.made_at >= self.month.ends

    def by(self, key: Callable[[Group], Any]) -> Counter[Any]:
        """Lines, by what ``key`` says of a group."""
        found: Counter[Any] = Counter()
        for group in self.groups:
            found[key(group)] += group.lines
        return found

    def rule_of(self, group: Group) -> Rule | None:
        """The rule by which the lines of a group were due."""
        return None if group.rule is None else self.rules.get(group.rule)

    @property
    def unfinished(self) -> list[Outcome]:
        """Without a certificate yet."""
        return [one for one in self.outcomes if one.certificate is None]

    @property
    def unverified(self) -> list[Outcome]:
        """Certified, and looked at by nobody since."""
        return [one for one in self.outcomes if one.certificate is not None and one.verification is None]

    @property
    def failed(self) -> list[Outcome]:
        """Whose newest verification found something."""
        return [one for one in self.outcomes if one.verification is not None and one.verification.failed_count]

    def summary(self) -> dict[str, Any]:
        """The figures of the month, for machines."""
        return {
            "month": str(self.month),
            "over": self.is_over,
            "items": self.lines,
            "persons": self.persons,
            "certificates": len(self.outcomes) - len(self.unfinished),
            "unfinished": len(self.unfinished),
            "unverified": len(self.unverified),
            "failed": len(self.failed),
            "waiting": sum(one.items for one in self.waiting),
        }


@contextmanager
def one_snapshot() -> Iterator[None]:
    """Inside, the console's database stands still for this connection, and nothing can be written."""
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


# Joined from the line's side, so that a line that no plan is behind is counted and not lost.
_GROUPS = """
SELECT x.plan_id, l.rule_id, x.category, l.start, (x.destroyed_at AT TIME ZONE 'Asia/Tokyo')::date AS day,
       count(*), coalesce(max((x.destroyed_at AT TIME ZONE 'Asia/Tokyo')::date - l.due_on), 0)
  FROM retention_certificateline x LEFT JOIN retention_planline l ON l.id = x.id
 WHERE x.destroyed_at >= %s AND x.destroyed_at < %s
 GROUP BY 1, 2, 3, 4, 5
 ORDER BY 5, 1, 3, 4, 2
"""
# One look at each person: a bit for each category.
_PERSONS = f"""
SELECT count(*), {", ".join(f"count(*) FILTER (WHERE p.seen & {1 << category.value} <> 0)" for category in Category)}
  FROM (SELECT bit_or(1 << x.category) AS seen FROM retention_certificateline x
         WHERE x.destroyed_at >= %s AND x.destroyed_at < %s GROUP BY x.subject) p
"""
# Each key once, as it was parked last, however often that was.
_WAITING = """
WITH parked AS (
  SELECT DISTINCT ON (l.subject, l.category, l.generation) l.id, l.subject, l.plan_id, l.category, l.due_on, p.reason,
         min(p.at) OVER (PARTITION BY l.subject, l.category, l.generation) AS since
    FROM retention_parked p JOIN retention_planline l ON l.id = p.line_id
   WHERE p.at < %(ends)s AND NOT EXISTS (SELECT FROM retention_certificateline x
          WHERE (x.subject, x.category, x.generation) = (l.subject, l.category, l.generation))
   ORDER BY l.subject, l.category, l.generation, p.at DESC),
waiting AS (SELECT * FROM parked WHERE reason <> ALL (%(settled)s))
"""
_WAITING_BY_REASON = f"""{_WAITING}
SELECT reason, count(*), count(DISTINCT subject), min(due_on), min(since) FROM waiting GROUP BY 1 ORDER BY 4, 1
"""
_WAITING_LONGEST = f"""{_WAITING}
SELECT w.id, p.reference, w.category, w.reason, w.due_on, w.since
  FROM waiting w JOIN retention_plan p ON p.id = w.plan_id ORDER BY w.due_on, w.id LIMIT %(most)s
"""


def destructions_of(month: Month, *, now: datetime.datetime) -> Destructions:
    """Everything that is counted of a month. The caller holds the snapshot (``one_snapshot``)."""
    span = [month.begins, month.ends]
    waiting: dict[str, Any] = {"ends": month.ends, "settled": [reason.value for reason in SETTLED], "most": MOST_LISTED}
    with connection.cursor() as cursor:
        cursor.execute(_GROUPS, span)
        groups = [Group(*row) for row in cursor.fetchall()]
        cursor.execute(_PERSONS, span)
        persons, *by_category = cursor.fetchone()
        cursor.execute(_WAITING_BY_REASON, waiting)
        by_reason = [Waiting(*row) for row in cursor.fetchall()]
        cursor.execute(_WAITING_LONGEST, waiting)
        longest = [WaitingItem(*row) for row in cursor.fetchall()]
    last_plan = Plan.objects.filter(made_at__gte=month.begins, made_at__lt=month.ends).order_by("-made_at").first()
    exclusions = PlanExclusion.objects.filter(plan=last_plan).values_list("reason")
    return Destructions(
        month=month,
        made_at=now,
        groups=groups,
        persons=persons,
        persons_by_category={category.value: n for category, n in zip(Category, by_category, strict=True) if n},
        outcomes=_outcomes(month, groups),
        waiting=by_reason,
        oldest_waiting=longest,
        last_plan=last_plan,
        left_out=dict(exclusions.annotate(n=Count("subject", distinct=True)).order_by("reason")) if last_plan else {},
        rules=Rule.objects.select_related("entity").in_bulk({group.rule for group in groups} - {None}),
    )


def _outcomes(month: Month, groups: Iterable[Group]) -> list[Outcome]:
    in_month: Counter[uuid.UUID] = Counter()
    for group in groups:
        in_month[group.plan] += group.lines
    issued = Certificate.objects.filter(issued_at__gte=month.begins, issued_at__lt=month.ends)
    plans = {*in_month, *issued.values_list("plan", flat=True)}
    certificates = Certificate.objects.in_bulk(plans)
    newest = Verification.objects.filter(plan__in=plans).order_by("plan_id", "-id").distinct("plan_id")
    verifications = {one.plan_id: one for one in newest}
    parked: dict[uuid.UUID, dict[str, int]] = defaultdict(dict)
    tally = Parked.objects.filter(plan__in=plans).values_list("plan", "reason").annotate(n=Count("pk"))
    for plan_id, reason, count in tally.order_by("reason"):
        parked[plan_id][reason] = count
    return [
        Outcome(
            plan,
            certificate := certificates.get(plan.pk),
            json.loads(certificate.document) if certificate else {},
            in_month[plan.pk],
            parked[plan.pk],
            verifications.get(plan.pk),
        )
        for plan in Plan.objects.filter(pk__in=plans).select_related("approval").order_by("made_at", "pk")
    ]
