"""What this app adds to the member's page: what is kept of each category, why and until when; what was destroyed."""

import dataclasses
import datetime
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from access_control.vault import store
from access_control.vault.categories import Category
from access_control.vault.store import KeyStatus
from members.inventory import ITEMS
from members.models import Member, Suspension, Transaction
from retention.due import DueKey, due_now
from retention.explaining import Rules, due_on, listed, rules_for, use_ends, year_over
from retention.models import LegalHold, Rule, Start
from retention.periods import ONE_DAY
from retention.services.rules import NoRules, rules_on

# Later than any rule reaches: what is due by then is due at all.
_SOME_DAY = datetime.date(9000, 1, 1)


@dataclasses.dataclass(frozen=True)
class Row:
    """How one category stands; of one fiscal year, for what the law keeps. Dates are last days."""

    category: Category
    year: int | None
    # "use", "suspended", "kept" or "destroyed".
    state: str
    ground: Any = ""
    used_until: datetime.date | None = None
    kept_until: datetime.date | None = None
    overdue: bool = False
    # Superseded values, or answered cases, that are still readable, and the last day of the last of them.
    earlier: int = 0
    earlier_until: datetime.date | None = None
    destroyed_at: datetime.datetime | None = None
    line: Any = None

    @property
    def by_case(self) -> bool:
        """Whether each case has a date of its own."""
        return self.category == Category.CORRESPONDENCE


def retention_panel(request: HttpRequest, member: Member) -> dict[str, Any]:
    """Each category by its newest key, the law's fiscal years one by one, and the legal holds that stand."""
    today = timezone.localdate()
    try:
        version = rules_on(today)
        rules = rules_for(member, version=version)
        due = {(key.category, key.generation): key for key in due_now([member.pk], _SOME_DAY, version=version)}
    except NoRules:
        rules, due = {}, {}
    keys: dict[tuple[int, int | None], list[KeyStatus]] = {}
    for key in sorted(store.status([member.pk]), key=lambda one: (one.ref.category, one.ref.generation)):
        year = key.ref.generation if key.ref.category == Category.STATUTORY else None
        keys.setdefault((key.ref.category, year), []).append(key)
    items = Suspension.objects.filter(member=member, ended_at=None).values_list("item", flat=True)
    suspended = {ITEMS[item].category for item in items if item in ITEMS}
    view = _View(member, rules, due, suspended, today)
    rows = [view.row(Category(category), year, several) for (category, year), several in keys.items()]
    return {
        "template": "admin/members/panels/retention.html",
        "no_rules": not rules,
        "rows": rows,
        "facts": _facts(rows),
        "holds": list(LegalHold.objects.filter(member=member, lifted_at=None).order_by("placed_at")),
    }


def _facts(rows: list[Row]) -> list[dict[str, Any]]:
    """Rows of which the same is said, told together."""
    same: dict[Row, list[Row]] = {}
    for row in rows:
        alike = row if row.by_case else dataclasses.replace(row, category=Category.IDENTITY)
        same.setdefault(alike, []).append(row)
    return [{"row": several[0], "label": listed(row.category.label for row in several)} for several in same.values()]


@dataclasses.dataclass(frozen=True)
class _View:
    """Everything the rows are made of."""

    member: Member
    rules: Rules
    due: dict[tuple[int, int], DueKey]
    suspended: set[Category]
    today: datetime.date

    def row(self, category: Category, year: int | None, keys: list[KeyStatus]) -> Row:
        """One row, from all keys of a category (of a year) from the oldest to the newest."""
        living = [key for key in keys if key.alive]
        if not living:
            last = keys[-1]
            return Row(category, year, "destroyed", destroyed_at=last.destroyed_at, line=last.certificate_line)
        if category == Category.CORRESPONDENCE:
            return self._correspondence(living)
        newest, earlier = living[-1], living[:-1]
        rule = self._rule(category, newest)
        event = year_over(year, self.member.entity.fiscal_year_starts) - ONE_DAY if year is not None else None
        due = self.due.get((category, newest.ref.generation))
        if due is not None:
            event = due.started_on
        used = use_ends(rule, event) if rule is not None and event is not None else None
        in_use = self.member.state == Member.State.ACTIVE if year is None else used is not None and used > self.today
        state = "kept" if not in_use else "suspended" if category in self.suspended else "use"
        return Row(
            category,
            year,
            state,
            ground=Rule.Ground(rule.ground).label if rule is not None else "",
            used_until=used - ONE_DAY if used is not None and used > self.today else None,
            kept_until=due.due_on - ONE_DAY if due is not None else None,
            overdue=due is not None and due.due_on <= self.today,
            earlier=len(earlier),
            earlier_until=self._last_day(earlier),
        )

    def _correspondence(self, living: list[KeyStatus]) -> Row:
        """Cases by the case: those still open have no date yet."""
        category = Category.CORRESPONDENCE
        dated = [key for key in living if (category, key.ref.generation) in self.due]
        rule = self._rule(category, dated[-1] if dated else living[-1])
        last = self._last_day(dated)
        return Row(
            category,
            None,
            "use" if len(dated) < len(living) else "kept",
            ground=Rule.Ground(rule.ground).label if rule is not None else "",
            kept_until=last if len(dated) == len(living) else None,
            overdue=last is not None and last < self.today,
            earlier=len(dated) if len(dated) < len(living) else 0,
            earlier_until=last if len(dated) < len(living) else None,
        )

    def _rule(self, category: Category, key: KeyStatus) -> Rule | None:
        """The rule by which the key is due; while nothing has begun, the one that will count."""
        if due := self.due.get((category, key.ref.generation)):
            return self.rules.get((due.start, category))
        for start in (Start.MEMBERSHIP_ENDED, Start.TRANSACTION, Start.CASE_CLOSED):
            if rule := self.rules.get((start, category)):
                return rule
        return None

    def _last_day(self, keys: list[KeyStatus]) -> datetime.date | None:
        days = [self.due[ref] for key in keys if (ref := (key.ref.category, key.ref.generation)) in self.due]
        return max((one.due_on - ONE_DAY for one in days), default=None)


def record_panel(request: HttpRequest, record: Transaction) -> dict[str, Any]:
    """How long the law keeps one transaction's record, and by which rule."""
    try:
        rule = rules_for(record.member, version=rules_on(timezone.localdate())).get(
            (Start.TRANSACTION, Category.STATUTORY)
        )
    except NoRules:
        rule = None
    year_end = year_over(record.fiscal_year, record.member.entity.fiscal_year_starts) - ONE_DAY
    ends = due_on(rule, year_end) if rule is not None else None
    return {
        "template": "admin/members/panels/record.html",
        "ground": Rule.Ground(rule.ground).label if rule is not None else "",
        "year_end": year_end,
        "kept_until": ends - ONE_DAY if ends is not None else None,
        "overdue": ends is not None and ends <= timezone.localdate(),
    }
