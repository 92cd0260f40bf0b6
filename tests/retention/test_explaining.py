"""What happens to a former member's data, in words and dates: the dates by which it is destroyed later."""

import datetime

import pytest
from django.utils import timezone, translation

from access_control.vault.categories import Category
from members.services.corrections import apply_correction, ask_correction
from retention.due import due_now
from retention.explaining import (
    grouped,
    last_day_to_return,
    law_keeps,
    notice_context,
    what_happens,
    year_over,
)
from retention.models import Rule, RuleVersion
from retention.services.memberships import end_membership
from retention.services.rules import BUILT_IN, NoRules, Period, Start, built_in, publish_rules, rules_on
from tests import factories

NUMBER = "R0000777"
FAR = datetime.date(2999, 12, 31)


@pytest.fixture
def hanako():
    """A member with orders in two fiscal years, the second of them in its last and its first month."""
    member = factories.member(member_number=NUMBER)
    for day in ("2024-04-01", "2026-03-31", "2025-04-01"):
        factories.transaction(NUMBER, ordered_on=day)
    return member


def last_day(member):
    """The last day to come back, by the rules in force today."""
    ended_on = timezone.localdate(member.ended_at)
    return last_day_to_return(member, ended_on=ended_on, version=rules_on(timezone.localdate()))


@pytest.mark.parametrize(("first_month", "first_day"), [(4, datetime.date(2026, 4, 1)), (1, datetime.date(2026, 1, 1))])
def test_a_fiscal_year_is_over_when_the_next_one_starts(first_month, first_day):
    assert year_over(2025, first_month) == first_day


def test_every_category_says_what_stops_what_is_kept_why_and_until_when(hanako):
    on = datetime.date(2026, 1, 31)
    with translation.override("en"):
        fates = what_happens(hanako, on=on)
        said = {(fate.category, fate.year): fate for fate in fates}
        assert list(said) == [
            (Category.IDENTITY, None),
            (Category.CONTACT, None),
            (Category.DELIVERY, None),
            (Category.PAYMENT, None),
            (Category.PROFILE, None),
            (Category.CORRESPONDENCE, None),
            (Category.STATUTORY, 2024),
            (Category.STATUTORY, 2025),
        ]
        contact = said[Category.CONTACT, None]
        assert [str(item) for item in contact.items] == [
            "e-mail address",
            "telephone number",
            "mobile telephone number",
        ]
        assert [str(one) for one in contact.stops] == ["use", "provision to others", "advertising"]
        assert str(contact.ground) == str(Rule.Ground.PURPOSE.label)
        assert (contact.use_ends, contact.due_on) == (on, datetime.date(2026, 3, 3))
        # People are told the last day, inclusive.
        assert contact.kept_until == datetime.date(2026, 3, 2)
        orders = said[Category.STATUTORY, 2025]
        assert next(str(one) for one in orders.stops) == "use for anything but questions about these orders"
        assert str(orders.ground).startswith("tax law of Japan")
        # Two months after the year's end the return is due, and from then on seven years, to the end of the last day.
        assert (orders.used_until, orders.kept_until) == (datetime.date(2027, 3, 31), datetime.date(2033, 5, 31))
        assert "buyer's address" in [str(item) for item in orders.items]
    assert law_keeps(fates) == fates[-2:]


def test_only_what_is_on_file_is_named():
    member = factories.member(payment_means=[], occupation="", sex="")
    with translation.override("en"):
        fates = {fate.category: [str(item) for item in fate.items] for fate in what_happens(member, on=factories.TODAY)}
    assert Category.PAYMENT not in fates
    assert Category.STATUTORY not in fates
    assert fates[Category.PROFILE] == ["date of birth"]


def test_no_value_is_in_what_is_said(hanako):
    said = str(what_happens(hanako, on=factories.TODAY))
    for value in ("山田", "hanako", "5550", "4242", "千代田", "12800"):
        assert value not in said


def test_what_was_said_before_is_what_is_due_afterwards(agent, hanako):
    case = factories.identify(factories.case(hanako, agent, kind="ending"))
    today = timezone.localdate()
    said = {(fate.category, fate.year): fate.due_on for fate in what_happens(hanako, on=today)}
    end_membership(case, actor=agent)
    due = due_now([hanako.pk], FAR, version=rules_on(today))
    assert {
        (key.category, key.generation if key.category == Category.STATUTORY else None): key.due_on for key in due
    } == said
    hanako.refresh_from_db()
    assert {(fate.category, fate.year): fate.due_on for fate in what_happens(hanako, on=today)} == said


def test_a_superseded_value_goes_no_later_than_what_is_said(agent, hanako, monkeypatch):
    case = factories.identify(factories.case(hanako, agent))
    birth = ask_correction(case, item="member.birth_date", row=hanako.pk, text="1981-03-04", actor=agent)
    apply_correction(birth, actor=agent)
    hanako.refresh_from_db()
    monkeypatch.setitem(factories.RIGHT_ANSWERS, "birth_date", "1981-03-04")
    end_membership(factories.identify(factories.case(hanako, agent, kind="ending")), actor=agent)
    today = timezone.localdate()
    said = {fate.category: fate.due_on for fate in what_happens(hanako, on=today)}
    profile = [key for key in due_now([hanako.pk], FAR, version=rules_on(today)) if key.category == Category.PROFILE]
    assert len(profile) == 2
    assert {key.due_on for key in profile} == {said[Category.PROFILE]}


@pytest.mark.parametrize("entity", ["kr", "sg"])
def test_the_law_of_the_site_joined_says_how_long(entity):
    member = factories.member(member_number="R0000778", entity=entity, addressees=[])
    factories.transaction("R0000778", ordered_on="2025-05-02")
    (year,) = law_keeps(what_happens(member, on=factories.TODAY))
    assert (year.year, year.kept_until) == (2025, datetime.date(2030, 12, 31))


def test_newer_rules_move_the_dates_at_once(agent, hanako):
    today = timezone.localdate()
    case = factories.identify(factories.case(hanako, agent, kind="ending"))
    end_membership(case, actor=agent)
    hanako.refresh_from_db()
    assert last_day(hanako) == today + datetime.timedelta(days=30)
    publish_rules(
        {
            entity: [
                Period(
                    period.category,
                    period.start,
                    period.ground,
                    (0, 40) if period.start == Start.MEMBERSHIP_ENDED else period.keep,
                    period.use,
                )
                for period in periods
            ]
            for entity, periods in built_in().items()
        },
        effective_on=today,
        actor=None,
    )
    assert last_day(hanako) == today + datetime.timedelta(days=40)
    assert {fate.due_on for fate in what_happens(hanako, on=today) if not fate.year} == {
        today + datetime.timedelta(days=41)
    }


def test_without_rules_in_force_nothing_is_said(hanako):
    with pytest.raises(NoRules):
        what_happens(hanako, on=datetime.date(2016, 2, 21))


def test_rules_that_forget_a_site_or_a_category_are_not_passed_over(hanako):
    version = RuleVersion(number=99, effective_on=FAR)
    with pytest.raises(NoRules):
        what_happens(hanako, on=factories.TODAY, version=version)
    day = datetime.date(2026, 10, 1)
    periods = [period for period in BUILT_IN["jp"] if period.category not in (Category.PAYMENT, Category.STATUTORY)]
    publish_rules({"jp": periods}, effective_on=day, actor=None)
    fates = {fate.category: fate for fate in what_happens(hanako, on=day)}
    for forgotten in (Category.PAYMENT, Category.STATUTORY):
        assert (fates[forgotten].due_on, fates[forgotten].ground) == (None, "")


def test_correspondence_may_count_from_the_closing_of_its_case(hanako):
    day = datetime.date(2026, 10, 1)
    ended = (Start.MEMBERSHIP_ENDED, Category.CORRESPONDENCE)
    periods = [period for period in built_in()["jp"] if (period.start, period.category) != ended]
    publish_rules({"jp": periods}, effective_on=day, actor=None)
    fates = {fate.category: fate for fate in what_happens(hanako, on=day)}
    words = fates[Category.CORRESPONDENCE]
    assert words.due_on is None
    assert (words.ground, words.counted_from) == (Rule.Ground.COMPLAINT.label, Start.CASE_CLOSED.label)


def test_a_notice_says_what_was_so_when_it_was_queued(agent, hanako, time_machine):
    # Later than the database's own clock, by which grants expire.
    time_machine.move_to(datetime.datetime(2046, 11, 2, 3, tzinfo=datetime.UTC), tick=False)
    case = factories.identify(factories.case(hanako, agent, kind="ending"))
    end_membership(case, actor=agent)
    time_machine.shift(datetime.timedelta(days=2))
    context = notice_context(case.notices.get())
    assert (context["today"], context["last_day"]) == (datetime.date(2046, 11, 2), datetime.date(2046, 12, 2))
    assert context["groups"] == grouped(what_happens(hanako, on=datetime.date(2046, 11, 2)))


def test_what_is_the_same_is_said_together_and_the_laws_years_one_by_one(hanako):
    together = grouped(what_happens(hanako, on=datetime.date(2026, 1, 31)))
    assert [[fate.year or fate.category for fate in group.fates] for group in together] == [
        [Category.IDENTITY, Category.CONTACT, Category.DELIVERY, Category.PAYMENT, Category.PROFILE],
        [Category.CORRESPONDENCE],
        [2024, 2025],
    ]
    # From April 2026 nobody asks about the orders of 2024 any more.
    later = grouped(what_happens(hanako, on=datetime.date(2026, 4, 1)))
    assert [fate.year for group in later[-2:] for fate in group.fates] == [2024, 2025]
    assert later[-2].stops_said != later[-1].stops_said
