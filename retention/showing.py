"""Plans and what became of them, as pages and papers show them: how they stand, counted, and said in words. Reads only.

Everything is counted by the database, in as many queries for a hundred thousand lines as for one.
"""

import dataclasses
import datetime
import json
import uuid
from collections.abc import Sequence
from typing import Any

from django.db import connection, models
from django.db.models import Case, Count, F, Max, Min, OuterRef, Q, QuerySet, Subquery, Sum, Value, When
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.http import urlencode

from access_control.vault.categories import Category
from retention.models import (
    Certificate,
    CertificateLine,
    Parked,
    Plan,
    PlanEnd,
    PlanExclusion,
    PlanLine,
    Rule,
    Run,
    Start,
    Verification,
)
from retention.periods import ONE_DAY
from retention.words import PlanState, generation_in_words, period_in_words, said_of_finding

# A run gives a sign of life with every chunk, which takes seconds.
SIGN_OF_LIFE = datetime.timedelta(minutes=2)
LINES_A_PAGE = 100
# Ids shown beside a finding; the database holds a hundred at most.
IDS_SHOWN = 10


def _gone(person: str, epoch: str) -> Q:
    """The person has left, or their account was moved since."""
    there = {f"approval__{person}__isnull": False}
    left = {f"approval__{person}__left_on__isnull": False}
    same = {f"approval__{person}__account__epoch": F(f"approval__{epoch}")}
    return Q(**there) & (Q(**left) | ~Q(**same))


def with_state(plans: QuerySet[Plan], now: datetime.datetime) -> QuerySet[Plan]:
    """Each plan with its ``state`` (PlanState), and ``findings`` of its newest verification (None: not verified)."""
    begun = Q(run__isnull=False)
    newest = Verification.objects.filter(plan=OuterRef("pk")).order_by("-id")
    gone = _gone("requester", "requester_epoch") | _gone("approver", "approver_epoch")
    whole = plans.select_related("made_by__person", "approval__requester", "approval__approver", "rules", "run", "end")
    # Only the app may read that column, and the purger asks as well.
    return whole.defer("made_by__password").annotate(
        state=Case(
            When(end__kind=PlanEnd.Kind.GIVEN_UP, then=Value(PlanState.GIVEN_UP)),
            When(end__kind=PlanEnd.Kind.WITHDRAWN, then=Value(PlanState.WITHDRAWN)),
            When(run__finished_at__isnull=False, then=Value(PlanState.FINISHED)),
            When(begun & Q(run__seen_at__lte=now - SIGN_OF_LIFE), then=Value(PlanState.STALLED)),
            When(begun, then=Value(PlanState.RUNNING)),
            When(line_count=0, then=Value(PlanState.NOTHING)),
            When(approval__expires_at__lte=now, then=Value(PlanState.EXPIRED)),
            When(gone, then=Value(PlanState.VOID)),
            When(approval__approved_at__isnull=False, then=Value(PlanState.APPROVED)),
            default=Value(PlanState.WAITING),
            output_field=models.CharField(),
        ),
        findings=Subquery(newest.values("failed_count")[:1]),
    )


def state_of(plan: Plan) -> PlanState:
    """The state of a plan that :func:`with_state` returned."""
    return PlanState(plan.state)  # type: ignore[attr-defined]


def is_over(plan: Plan) -> bool:
    """Whether the plan's run is over, to its end or given up, and its certificate issued."""
    return progress.run.finished_at is not None if (progress := progress_of(plan)) else False


# What is due, and what is left out.


@dataclasses.dataclass(frozen=True)
class Group:
    """Lines of one category that one rule makes due: how many, until when they were kept, and why that long."""

    category: int
    start: str
    site: str
    count: int
    persons: int
    # Last days, as everywhere.
    earliest: datetime.date
    latest: datetime.date
    used: str
    kept: str
    ground: str

    @property
    def category_name(self) -> str:
        """In words."""
        return str(Category(self.category).label)

    @property
    def start_name(self) -> str:
        """In words."""
        return str(Start(self.start).label)

    @property
    def ground_name(self) -> str:
        """In words."""
        return str(Rule.Ground(self.ground).label)


def groups_of(plan: Plan) -> list[Group]:
    """The plan's lines by category, event and site: one query."""
    periods = ("use_months", "use_days", "keep_months", "keep_days")
    rows = (
        PlanLine.objects.filter(plan=plan)
        .values("category", "start", "rule__entity__name", "rule__ground", *(f"rule__{name}" for name in periods))
        .annotate(n=Count("pk"), persons=Count("subject", distinct=True), first=Min("due_on"), last=Max("due_on"))
        .order_by("category", "start", "rule__entity__name")
    )
    return [
        Group(
            category=row["category"],
            start=row["start"],
            site=row["rule__entity__name"],
            count=row["n"],
            persons=row["persons"],
            earliest=row["first"] - ONE_DAY,
            latest=row["last"] - ONE_DAY,
            used=period_in_words(row["rule__use_months"], row["rule__use_days"]),
            kept=period_in_words(row["rule__keep_months"], row["rule__keep_days"]),
            ground=row["rule__ground"],
        )
        for row in rows
    ]


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """Persons with items past their date that a plan leaves out for one reason."""

    reason: PlanExclusion.Reason
    persons: int
    items: int


def left_out_of(plan: Plan) -> list[LeftOut]:
    """Who is left out, by reason: one query."""
    rows = plan.exclusions.values("reason").annotate(persons=Count("subject"), n=Sum("line_count")).order_by("reason")
    return [LeftOut(PlanExclusion.Reason(row["reason"]), row["persons"], row["n"]) for row in rows]


# The lines, page by page.

# What a page may be sorted by: the columns before the id, which makes every order one.
SORTS: dict[str, tuple[str, ...]] = {
    "": (),
    "due": ("due_on",),
    "-due": ("-due_on",),
    "started": ("started_on",),
    "category": ("category",),
}


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which lines, in which order, and between which: what the address of the page says. Unknown words choose all."""

    category: int | None = None
    start: str = ""
    parked: str = ""
    sort: str = ""
    after: uuid.UUID | None = None
    before: uuid.UUID | None = None

    @classmethod
    def of(cls, asked: Any) -> "Choice":
        """From the query of an address."""
        category = asked.get("category", "")
        known = {str(one.value): one.value for one in Category}
        return cls(
            category=known.get(category),
            start=asked.get("start", "") if asked.get("start") in Start.values else "",
            parked=asked.get("parked", "") if asked.get("parked") in Parked.Reason.values else "",
            sort=asked.get("sort", "") if asked.get("sort") in SORTS else "",
            after=_uuid(asked.get("after", "")),
            before=_uuid(asked.get("before", "")),
        )

    def query(self, **changed: Any) -> str:
        """The address of the same lines with something changed; a change of lines or order starts at the first page."""
        kept = {"category": self.category, "start": self.start, "parked": self.parked, "sort": self.sort} | changed
        return "?" + urlencode({name: value for name, value in kept.items() if value not in ("", None)})


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a plan in words; ``outcome`` is what the run has done with it."""

    id: uuid.UUID
    subject: str
    kind: str
    category: str
    generation: str
    start: str
    started_on: datetime.date
    due_on: datetime.date
    outcome: str = ""
    outcome_at: datetime.datetime | None = None
    parked: bool = False

    @property
    def kept_until(self) -> datetime.date:
        """The last day on which the rule kept it; on the next it is due."""
        return self.due_on - ONE_DAY


@dataclasses.dataclass(frozen=True)
class Lines:
    """A page of lines, and the ids from which the pages before and after it start (None: there is none)."""

    rows: list[Line]
    before: uuid.UUID | None
    after: uuid.UUID | None


def lines_of_page(plan: Plan, choice: Choice) -> Lines:
    """At most ``LINES_A_PAGE`` lines, found by the line before or after them: no page costs more than the first."""
    chosen = PlanLine.objects.filter(plan=plan)
    if choice.category is not None:
        chosen = chosen.filter(category=choice.category)
    if choice.start:
        chosen = chosen.filter(start=choice.start)
    if choice.parked:
        chosen = chosen.filter(parked__reason=choice.parked)
    order = (*SORTS[choice.sort], "-id" if choice.sort.startswith("-") else "id")
    backward = choice.before is not None
    edge = None
    if (named := choice.before or choice.after) is not None:
        edge = PlanLine.objects.filter(plan=plan, pk=named).values(*(name.lstrip("-") for name in order)).first()
    walked = tuple(_turned(name) for name in order) if backward else order
    if edge is not None:
        chosen = chosen.filter(_beyond(walked, edge))
    found = list(chosen.order_by(*walked)[: LINES_A_PAGE + 1])
    more = len(found) > LINES_A_PAGE
    found = found[:LINES_A_PAGE]
    if backward:
        found.reverse()
    there_is_before = more if backward else edge is not None
    there_is_after = edge is not None if backward else more
    return Lines(
        rows=_in_words(plan, found),
        before=found[0].pk if found and there_is_before else None,
        after=found[-1].pk if found and there_is_after else None,
    )


def _turned(name: str) -> str:
    return name[1:] if name.startswith("-") else f"-{name}"


def _beyond(order: Sequence[str], edge: dict[str, Any]) -> Q:
    """What stands behind ``edge`` in ``order``: greater (or less) in the first column in which they differ."""
    found, same = Q(), Q()
    for name in order:
        column = name.lstrip("-")
        found |= same & Q(**{f"{column}__{'lt' if name.startswith('-') else 'gt'}": edge[column]})
        same &= Q(**{column: edge[column]})
    return found


def short(subject: uuid.UUID) -> str:
    """The end of an id: enough to compare, too little to call anybody."""
    return f"…{subject.hex[-8:]}"


def _in_words(plan: Plan, rows: Sequence[PlanLine]) -> list[Line]:
    outcomes: dict[uuid.UUID, dict[str, Any]] = {}
    if hasattr(plan, "run"):
        ids = [row.pk for row in rows]
        for pk, at in CertificateLine.objects.filter(pk__in=ids).values_list("pk", "destroyed_at"):
            outcomes[pk] = {"outcome": "", "outcome_at": at}
        for parked in Parked.objects.filter(pk__in=ids):
            outcomes[parked.pk] = {"outcome": parked.get_reason_display(), "outcome_at": parked.at, "parked": True}
    return [
        Line(
            id=row.pk,
            subject=short(row.subject),
            kind=row.get_subject_kind_display(),
            category=row.get_category_display(),
            generation=generation_in_words(row.category, row.generation),
            start=row.get_start_display(),
            started_on=row.started_on,
            due_on=row.due_on,
            **outcomes.get(row.pk, {}),
        )
        for row in rows
    ]


# The run and its verification.


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run has come."""

    run: Run
    total: int

    @property
    def done(self) -> int:
        """Destroyed and parked."""
        return self.run.destroyed_count + self.run.parked_count

    @property
    def percent(self) -> int:
        """Whole per cent, rounded down: a hundred means all."""
        return 100 if not self.total else self.done * 100 // self.total


def progress_of(plan: Plan) -> Progress | None:
    """How far the plan's run has come; None before it is begun."""
    return Progress(plan.run, plan.line_count) if hasattr(plan, "run") else None


@dataclasses.dataclass(frozen=True)
class Waiting:
    """Parked items with one reason and error: how many, and for how many days the oldest has been passed over."""

    reason: Parked.Reason
    error: str
    count: int
    days: int


# A key that was parked is planned again under a new line: how old the matter is, the key says, not the line.
_PARKED = """
WITH mine AS (
  SELECT p.reason, p.error, l.subject, l.category, l.generation
    FROM retention_parked p JOIN retention_planline l ON l.id = p.line_id WHERE p.plan_id = %s
), first AS (
  SELECT l.subject, l.category, l.generation, min(p.at) AS at
    FROM retention_parked p JOIN retention_planline l ON l.id = p.line_id
   WHERE (l.subject, l.category, l.generation) IN (SELECT subject, category, generation FROM mine)
   GROUP BY 1, 2, 3
)
SELECT reason, error, count(*), min(at) FROM mine JOIN first USING (subject, category, generation)
 GROUP BY reason, error ORDER BY min(at), reason, error
"""


def parked_of(plan: Plan, *, today: datetime.date) -> list[Waiting]:
    """What the plan's run passed over, by reason, the oldest first: one query."""
    with connection.cursor() as cursor:
        cursor.execute(_PARKED, [plan.pk])
        return [
            Waiting(Parked.Reason(reason), error, count, (today - timezone.localdate(at)).days)
            for reason, error, count, at in cursor.fetchall()
        ]


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a verification found of one kind: in words, how often, and some ids of certificate lines."""

    code: str
    said: str
    count: int
    ids: list[str]


def findings_of(verification: Verification) -> list[Finding]:
    """The findings by kind, in words."""
    kinds: dict[str, list[str]] = {}
    for text in verification.findings:
        code, _space, about = text.partition(" ")
        kinds.setdefault(code, []).append(about)
    return [
        Finding(code, said_of_finding(code), len(about), [one for one in about if one][:IDS_SHOWN])
        for code, about in kinds.items()
    ]


# The certificate.

_CATEGORIES = {category.name.lower(): category for category in Category}


def certificate_facts(certificate: Certificate) -> dict[str, Any]:
    """The facts of the signed document, dates as dates and codes in words."""
    facts: dict[str, Any] = json.loads(certificate.document)
    for name in ("planned", "approved", "begun", "given_up", "issued", "unreadable_since"):
        facts[name] = parse_datetime(facts[name]) if facts.get(name) else None
    facts["due_up_to"] = parse_date(facts["due_up_to"])
    facts["by_category"] = [(_CATEGORIES[code].label, count) for code, count in facts["by_category"].items()]
    facts["left_out"] = [(Parked.Reason(code).label, count) for code, count in facts["left_out"].items()]
    # Certificates of earlier versions have no such member, and call them parked.
    facts["ended_elsewhere"] = sorted(facts.get("ended_elsewhere", {}).items())
    return facts
