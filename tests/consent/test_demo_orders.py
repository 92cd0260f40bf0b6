"""Made-up orders: the same for the same seed, of people who were members, some of them due already."""

import datetime
import json
from collections import Counter

import pytest

from consent.demo.orders import MOST_ORDERS, YEARS, orders
from consent.demo.people import WELL_KNOWN, people
from members.intake import parse_transaction

TODAY = datetime.date(2026, 11, 2)


@pytest.fixture(scope="module")
def rows():
    return list(people(4_000, seed=7, today=TODAY))


@pytest.fixture(scope="module")
def ordered(rows):
    return list(orders(rows, seed=7, today=TODAY))


def test_every_order_is_a_good_row(ordered):
    for row in ordered:
        parse_transaction(row, today=TODAY)


def test_the_same_seed_gives_the_same_orders_and_a_longer_run_begins_with_them(rows, ordered):
    shorter = list(orders(rows[:100], seed=7, today=TODAY))
    assert json.dumps(shorter) == json.dumps(ordered[: len(shorter)])
    assert shorter != list(orders(rows[:100], seed=8, today=TODAY))


def test_one_member_in_two_has_ordered_one_to_six_times(rows, ordered):
    counts = Counter(row["member_number"] for row in ordered)
    assert 0.47 < len(counts) / len(rows) < 0.53
    assert set(counts.values()) == set(range(1, MOST_ORDERS + 1))
    assert counts[WELL_KNOWN.member_number]


def test_nobody_ordered_before_joining_and_some_fiscal_years_are_due(rows, ordered):
    joined = {row["member_number"]: row["joined_on"] for row in rows}
    assert all(joined[row["member_number"]] <= row["ordered_on"] <= TODAY.isoformat() for row in ordered)
    first = min(row["ordered_on"] for row in ordered)
    assert first >= (TODAY - datetime.timedelta(days=YEARS * 365)).isoformat()
    # Seven years after its last day the fiscal year 2018 of the Japanese books is over.
    due = [row for row in ordered if row["ordered_on"] < "2019-04-01"]
    assert 0.02 < len(due) / len(ordered) < 0.4


def test_an_order_bears_the_members_own_name_and_address_or_those_of_an_addressee(rows, ordered):
    known = {}
    for row in rows:
        places = {(row["name"], to["address"]) for to in row["addressees"][:1]}
        places |= {(to["name"], to["address"]) for to in row["addressees"][1:]}
        known[row["member_number"]] = places or {(row["name"], None)}
    assert all((row["name"], row["address"]) in known[row["member_number"]] for row in ordered)
    assert len({row["order"] for row in ordered}) > 0.99 * len(ordered)
