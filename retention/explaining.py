"""What becomes of a member's data when the membership ends, item by item, in words and dates.

Computed by the rules in force, for a membership that stands as well as for one that has ended: before an ending is
confirmed the caller hears the same dates by which the data is destroyed later. ``retention.due`` asks PostgreSQL for
them; here they are counted in Python, and a test holds the two together.
"""

import dataclasses
import datetime
from collections.abc import Iterable
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from access_control.vault import store
from access_control.vault.categories import Category
from access_control.vault.fields import SealedField
from members.inventory import ITEMS
from members.models import Member, Notice
from members.services.corrections import data_rows
from members.services.registration import DATA_CATEGORIES
from retention.models import Rule, RuleVersion, Start
from retention.periods import ONE_DAY, over_on
from retention.services.rules import NoRules, rules_on

Rules = dict[tuple[str, int], Rule]

_PROVISION, _ADVERTISING = _("provision to others"), _("advertising")
_STOPS = {
    Category.CORRESPONDENCE: (_("use for anything but answering open cases"), _PROVISION, _ADVERTISING),
    Category.STATUTORY: (_("use for anything but questions about these orders"), _PROVISION, _ADVERTISING),
}
_ALL_STOPS = (_("use"), _PROVISION, _ADVERTISING)


@dataclasses.dataclass(frozen=True)
class Fate:
    """What becomes of one category; of one fiscal year, for what the law keeps.

    Use ends and the data is due at 00:00 (Tokyo) of ``use_ends`` and ``due_on``; people are told the last day before.
    Both are None when the period has not begun (it counts from ``counted_from``), or when no rule covers the category,
    which then has no ``ground`` either.
    """

    category: Category
    year: int | None
    items: tuple[Any, ...]
    stops: tuple[Any, ...]
    ground: Any = ""
    use_ends: datetime.date | None = None
    due_on: datetime.date | None = None
    counted_from: Any = ""

    @property
    def items_said(self) -> str:
        """The items in one line."""
        return listed(self.items)

    @property
    def used_until(self) -> datetime.date | None:
        """The last day on which it may be used."""
        return self.use_ends and self.use_ends - ONE_DAY

    @property
    def kept_until(self) -> datetime.date | None:
        """The last day on which it is kept."""
        return self.due_on and self.due_on - ONE_DAY


@dataclasses.dataclass(frozen=True)
class Group:
    """Categories of which the same is said; or fiscal years, each with its own dates."""

    fates: tuple[Fate, ...]

    @property
    def first(self) -> Fate:
        """One that speaks for all: what stops, why, and, but for fiscal years, until when."""
        return self.fates[0]

    @property
    def stops_said(self) -> str:
        """What stops, in one line."""
        return listed(self.first.stops)


def grouped(fates: Iterable[Fate]) -> list[Group]:
    """Fates in their order, told together where the same would be said of each."""
    groups: dict[Any, list[Fate]] = {}
    for fate in fates:
        dates = (fate.use_ends, fate.due_on) if fate.year is None else fate.category
        groups.setdefault((dates, fate.stops, fate.ground, fate.counted_from), []).append(fate)
    return [Group(tuple(several)) for several in groups.values()]


def listed(words: Iterable[Any]) -> str:
    """Words in one line, as the language separates them."""
    return gettext(", ").join(map(str, words))


def use_ends(rule: Rule, event: datetime.date) -> datetime.date:
    """The day from which nothing is used under ``rule``, counted from ``event``; without a period, the event's own."""
    if not rule.use_months and not rule.use_days:
        return event
    return over_on(event, rule.use_months, rule.use_days)


def due_on(rule: Rule, event: datetime.date) -> datetime.date:
    """The day from which nothing is kept under ``rule``, counted from ``event``."""
    return over_on(event, rule.keep_months, rule.keep_days)


def year_over(year: int, first_month: int) -> datetime.date:
    """The first day after a fiscal year, which is called by the calendar year in which it starts."""
    return datetime.date(year + 1, first_month, 1)


def rules_for(member: Member, *, version: RuleVersion) -> Rules:
    """(start, category) → rule, for the site the member joined.

    Raises NoRules when none of them says what becomes of a former member's data.
    """
    rules = {(rule.start, rule.category): rule for rule in version.rules.filter(entity=member.entity_id)}
    if not any(start == Start.MEMBERSHIP_ENDED and category in DATA_CATEGORIES for start, category in rules):
        raise NoRules
    return rules


def last_day_to_return(member: Member, *, ended_on: datetime.date, version: RuleVersion) -> datetime.date:
    """The last day (Tokyo) on which a former member may ask to come back: the next, the first of their data is due.

    Raises NoRules.
    """
    return min(
        due_on(rule, ended_on) - ONE_DAY
        for (start, category), rule in rules_for(member, version=version).items()
        if start == Start.MEMBERSHIP_ENDED and category in DATA_CATEGORIES
    )


def last_day_for(member: Member, *, ended_on: datetime.date, arrived_on: datetime.date) -> datetime.date:
    """The last day for a wish to come back that arrived on a day (Tokyo): by the rules of today or of that day,
    whichever leave more time. Raises NoRules when there are none today.
    """
    last = last_day_to_return(member, ended_on=ended_on, version=rules_on(timezone.localdate()))
    try:
        return max(last, last_day_to_return(member, ended_on=ended_on, version=rules_on(arrived_on)))
    except NoRules:
        return last


def what_happens(member: Member, *, on: datetime.date, version: RuleVersion | None = None) -> list[Fate]:
    """What becomes of everything the member has, if the membership ends or ended ``on`` that day (Tokyo).

    By ``version`` of the rules, else by the one in force on that day. Raises NoRules.
    """
    rules = rules_for(member, version=version or rules_on(on))
    living: dict[int, set[int]] = {}
    for key in store.left([member.pk]):
        living.setdefault(key.ref.category, set()).add(key.ref.generation)
    held = _on_file(member)
    fates = [
        _fate(category, held[category], rules.get((Start.MEMBERSHIP_ENDED, category)), on)
        for category in DATA_CATEGORIES
        if category in living and category in held
    ]
    # Whoever asks for an ending is answered in a case, so there is correspondence, even before the first word of it.
    fates.append(_correspondence(rules, on))
    first_month = member.entity.fiscal_year_starts
    for year in sorted(living.get(Category.STATUTORY, ())):
        rule = rules.get((Start.TRANSACTION, Category.STATUTORY))
        fate = _fate(Category.STATUTORY, _items(Category.STATUTORY), rule, year_over(year, first_month) - ONE_DAY, year)
        used = fate.use_ends is not None and fate.use_ends > on
        fates.append(fate if used else dataclasses.replace(fate, stops=_ALL_STOPS))
    return fates


def _fate(
    category: Category, items: tuple[Any, ...], rule: Rule | None, event: datetime.date, year: int | None = None
) -> Fate:
    stops = _STOPS.get(category, _ALL_STOPS)
    if rule is None:
        return Fate(category, year, items, stops)
    return Fate(
        category,
        year,
        items,
        stops,
        ground=Rule.Ground(rule.ground).label,
        use_ends=use_ends(rule, event),
        due_on=due_on(rule, event),
    )


def _correspondence(rules: Rules, on: datetime.date) -> Fate:
    category = Category.CORRESPONDENCE
    if ended := rules.get((Start.MEMBERSHIP_ENDED, category)):
        return _fate(category, _items(category), ended, on)
    if closed := rules.get((Start.CASE_CLOSED, category)):
        ground, start = Rule.Ground(closed.ground).label, Start.CASE_CLOSED.label
        return Fate(category, None, _items(category), _STOPS[category], ground=ground, counted_from=start)
    return _fate(category, _items(category), None, on)


def _items(category: Category) -> tuple[Any, ...]:
    return tuple(item.label for item in ITEMS.values() if item.category == category)


def _on_file(member: Member) -> dict[Category, tuple[Any, ...]]:
    """Category → labels of the items the member has, in the inventory's order; nothing is opened."""
    held = {
        field.item_for(row).code
        for row in data_rows(member)
        for field in row._meta.concrete_fields
        if isinstance(field, SealedField) and getattr(row, field.name) is not None
    }
    found: dict[Category, tuple[Any, ...]] = {}
    for code, item in ITEMS.items():
        if code in held:
            found[item.category] = (*found.get(item.category, ()), item.label)
    return found


def notice_context(notice: Notice) -> dict[str, Any]:
    """What the notices of an ending and of a return say: as it stood when they were queued, whenever they are sent."""
    on = timezone.localdate(notice.queued_at)
    version = rules_on(on)
    fates = what_happens(notice.member, on=on, version=version)
    return {
        "groups": grouped(fates),
        "law_keeps": grouped(law_keeps(fates)),
        "last_day": last_day_to_return(notice.member, ended_on=on, version=version),
        "today": on,
    }


def law_keeps(fates: Iterable[Fate]) -> list[Fate]:
    """Those that no membership touches: what the law keeps by fiscal year."""
    return [fate for fate in fates if fate.category == Category.STATUTORY]
