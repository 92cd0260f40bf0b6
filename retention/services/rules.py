"""Publishing retention rules. From the moment a version is published, the database freezes it."""

import dataclasses
import datetime
from collections.abc import Mapping, Sequence

from django.db import connection
from django.db.models import Max
from django.utils import timezone

from access_control.codes import Reason
from access_control.ledger import acting
from access_control.models import Entity, Staff
from access_control.vault import store
from access_control.vault.categories import Category
from retention.events import Event
from retention.models import Rule, RuleVersion, Start

# Held shared by a run for each chunk, exclusively by whoever publishes: new rules come before or after, never between.
RULES_LOCK = 0x72756C6573


class NoRules(Exception):
    """No version of the retention rules is in force on that day."""


class AlreadyInForce(Exception):
    """A version takes effect on that day already."""


@dataclasses.dataclass(frozen=True)
class Period:
    """How long one category is used and kept after an event, in months and days, and why."""

    category: Category
    start: Start
    ground: str
    keep: tuple[int, int]
    use: tuple[int, int] = (0, 0)


# P7.A: destroyed without delay when the purpose is achieved. A former member may come back for thirty days, and as long
# an old value can be compared when somebody says that the change was not theirs.
GRACE = (0, 30)
_ACHIEVED = tuple(
    Period(category, Start.MEMBERSHIP_ENDED, Rule.Ground.PURPOSE, GRACE)
    for category in Category
    if category != Category.STATUTORY
) + tuple(
    Period(category, Start.VALUE_SUPERSEDED, Rule.Ground.PURPOSE, GRACE)
    for category in (Category.CONTACT, Category.DELIVERY, Category.PAYMENT, Category.PROFILE)
)
_WITHOUT_WORDS = tuple(
    period
    for period in _ACHIEVED
    if (period.category, period.start) != (Category.CORRESPONDENCE, Start.MEMBERSHIP_ENDED)
)
# The law counts from the day the return of a fiscal year is due in Japan, two months after its end. Customer service
# about a transaction (purpose 9) takes a year.
BUILT_IN: dict[str, tuple[Period, ...]] = {
    "jp": (*_ACHIEVED, Period(Category.STATUTORY, Start.TRANSACTION, Rule.Ground.TAX_JP, (86, 0), (12, 0))),
    # Korea's law wants complaints and how they were settled for three years, whatever becomes of the membership.
    "kr": (*_WITHOUT_WORDS, Period(Category.STATUTORY, Start.TRANSACTION, Rule.Ground.TRADE_KR, (60, 0), (12, 0))),
    "sg": (*_ACHIEVED, Period(Category.STATUTORY, Start.TRANSACTION, Rule.Ground.COMPANIES_SG, (60, 0), (12, 0))),
}
_COMPLAINT = Period(Category.CORRESPONDENCE, Start.CASE_CLOSED, Rule.Ground.COMPLAINT, (36, 0), (36, 0))


def built_in() -> dict[str, tuple[Period, ...]]:
    """Entity code → its periods, as this console comes with them."""
    return {entity: (*periods, _COMPLAINT) for entity, periods in BUILT_IN.items()}


def publish_rules(
    periods: Mapping[str, Sequence[Period]],
    *,
    effective_on: datetime.date,
    actor: Staff | None,
    reason: str = Reason.SET_UP,
    change_reason: str = "",
) -> RuleVersion:
    """A new version of all rules, in force from a day on; plans and runs go by it from now. Raises AlreadyInForce."""
    with acting(actor, reason=reason) as act:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [RULES_LOCK])
        # A purger whose connection to the console died has lost its share of that lock, and may be ending keys still.
        store.wait_for_destructions()
        if RuleVersion.objects.filter(effective_on=effective_on).exists():
            raise AlreadyInForce
        newest = RuleVersion.objects.aggregate(newest=Max("number"))["newest"] or 0
        version = RuleVersion.objects.create(
            number=newest + 1, effective_on=effective_on, published_at=timezone.now(), change_reason=change_reason
        )
        known = set(Entity.objects.values_list("code", flat=True))
        Rule.objects.bulk_create(
            Rule(
                version=version,
                entity_id=entity,
                category=period.category,
                start=period.start,
                use_months=period.use[0],
                use_days=period.use[1],
                keep_months=period.keep[0],
                keep_days=period.keep[1],
                ground=period.ground,
            )
            for entity, several in periods.items()
            if entity in known
            for period in several
        )
        act.record(Event.RULES_PUBLISHED, count=version.number)
        return version


def rules_on(day: datetime.date) -> RuleVersion:
    """The version in force on a day (Tokyo). Raises NoRules."""
    version = RuleVersion.objects.filter(effective_on__lte=day).order_by("-effective_on").first()
    if version is None:
        raise NoRules
    return version
