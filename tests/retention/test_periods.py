"""Number 8: periods count as the Civil Code counts them, in Python and in SQL; all pages say the same last day."""

import datetime

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext

from access_control.vault.categories import Category
from retention.due import due_now
from retention.explaining import last_day_to_return, what_happens
from retention.models import Rule, Start
from retention.periods import over_on
from retention.services.planning import make_plan
from retention.services.rules import Period, publish_rules, rules_on
from retention.sheets import lines_as_csv
from retention.showing import Choice, groups_of, lines_of_page
from tests import factories
from tests.retention.conftest import ended

DAY = datetime.timedelta(days=1)
PERIODS = [
    (0, 0),
    (0, 1),
    (0, 30),
    (1, 0),
    (2, 0),
    (2, 1),
    (6, 0),
    (11, 3),
    (12, 0),
    (13, 31),
    (36, 0),
    (60, 0),
    (86, 0),
]


def counted(event, months, days):
    """The third counter: a calendar leafed through by month and day, by one who knows only the articles' words."""
    day = first = event + DAY
    # Article 143: as many months further, the day before the one that answers to the first day …
    year, month = first.year, first.month
    for _month in range(months):
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    if months:
        day = datetime.date(year, month, 1)
        while day.day != first.day:
            day += DAY
            if day.month != month:
                # … or, where the month has no such day, the end of the month: over on the first of the next.
                break
    # Article 141: days are whole days.
    for _day in range(days):
        day += DAY
    return day


def test_three_counters_agree_on_every_day_of_eleven_years():
    """Number 8."""
    first, last = datetime.date(2023, 1, 1), datetime.date(2033, 12, 31)
    days = [first + datetime.timedelta(days=n) for n in range((last - first).days + 1)]
    for months, extra in PERIODS:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT period_over_on(d, %s, %s) FROM unnest(%s::date[]) WITH ORDINALITY AS u (d, n) ORDER BY n",
                [months, extra, days],
            )
            in_sql = [row[0] for row in cursor.fetchall()]
        in_python = [over_on(day, months, extra) for day in days]
        assert in_python == in_sql == [counted(day, months, extra) for day in days], (months, extra)


@pytest.mark.parametrize(
    ("event", "months", "days", "due"),
    [
        # From the issue: the first day is 29 February, which 2027 does not have.
        ("2024-02-28", 36, 0, "2027-03-01"),
        ("2024-02-29", 36, 0, "2027-03-01"),
        ("2023-02-28", 12, 0, "2024-03-01"),
        ("2024-01-30", 1, 0, "2024-03-01"),
        ("2024-01-31", 1, 0, "2024-03-01"),
        ("2023-12-31", 2, 0, "2024-03-01"),
        ("2026-11-24", 0, 30, "2026-12-25"),
        # Seven years and two months from the end of a fiscal year run in whole months.
        ("2026-03-31", 86, 0, "2033-06-01"),
        ("2025-12-31", 60, 0, "2031-01-01"),
    ],
)
def test_what_a_clerk_would_count_on_a_calendar(event, months, days, due):
    """Number 8."""
    assert over_on(datetime.date.fromisoformat(event), months, days) == datetime.date.fromisoformat(due)


@pytest.mark.parametrize(("months", "days"), [(36, 0), (1, 0), (0, 30), (1, 10)])
def test_what_is_due_is_counted_so(months, days, time_machine):
    """Number 8: the query from facts to keys goes by the same counter."""
    time_machine.move_to(datetime.datetime(2046, 2, 28, 3, tzinfo=datetime.UTC), tick=False)
    member = ended(factories.member(), ago=datetime.timedelta())
    rule = Period(Category.CONTACT, Start.MEMBERSHIP_ENDED, Rule.Ground.PURPOSE, (months, days))
    version = publish_rules({"jp": [rule]}, effective_on=datetime.date(2046, 2, 28), actor=None)
    due = counted(datetime.date(2046, 2, 28), months, days)
    assert due_now([member.pk], due - DAY, version=version) == []
    assert {key.due_on for key in due_now([member.pk], due, version=version)} == {due}


@pytest.mark.parametrize(("entity", "year_end", "months"), [("jp", "2019-03-31", 86), ("sg", "2018-12-31", 60)])
def test_books_count_from_the_end_of_their_own_companys_year(entity, year_end, months):
    """Number 8; and number 31: not every company's year starts in April."""
    member = factories.member(member_number="R0000555", entity=entity, addressees=[])
    factories.transaction("R0000555", ordered_on="2018-05-02")
    year_end = datetime.date.fromisoformat(year_end)
    due = counted(year_end, months, 0)
    version = rules_on(due)
    assert due_now([member.pk], due - DAY, version=version) == []
    (key,) = due_now([member.pk], due, version=version)
    assert (key.due_on, key.started_on, key.generation) == (due, year_end, 2018)


def test_member_plan_and_list_say_the_same_last_day(client, officer, time_machine):
    """Number 8: the page of the member says "until", and so does the plan, with the same day."""
    time_machine.move_to(datetime.datetime(2046, 12, 3, 3, tzinfo=datetime.UTC), tick=False)
    member = ended(factories.member(), ago=datetime.timedelta(days=31))
    last = datetime.date(2046, 12, 2)
    assert last_day_to_return(member, ended_on=datetime.date(2046, 11, 2), version=rules_on(last)) == last
    assert {fate.kept_until for fate in what_happens(member, on=datetime.date(2046, 11, 2))} == {last}
    plan = make_plan(datetime.date(2046, 12, 3), actor=None)
    assert {line.kept_until for line in lines_of_page(plan, Choice()).rows} == {last}
    assert {(group.earliest, group.latest) for group in groups_of(plan)} == {(last, last)}
    rows = b"".join(lines_as_csv(plan)).decode("utf-8-sig").splitlines()
    assert all(last.isoformat() in row and (last + DAY).isoformat() not in row for row in rows[1:])
    client.force_login(officer)
    for language in ("en", "ja"):
        page = client.get(reverse("admin:retention_plan_change", args=[plan.pk]), HTTP_ACCEPT_LANGUAGE=language)
        said = page.content.decode()
        assert last.isoformat() in said
        with translation.override(language):
            assert gettext("kept until") in said
