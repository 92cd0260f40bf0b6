"""What is past its date, by the reason it is still there."""

import datetime
import io
import json

import pytest
from django.core.management import call_command
from django.utils import timezone

from retention.leftovers import leftovers
from retention.services.holds import place_legal_hold
from retention.services.planning import approve_plan, make_plan
from tests import factories
from tests.retention.conftest import LONG_AGO, approved, ended, run


def by_reason():
    return {row.reason: (row.items, row.persons) for row in leftovers(now=timezone.now())}


def test_a_clean_house_has_none(hanako):
    assert by_reason() == {}


def test_each_reason_is_told_apart(committed):
    officer, agent = factories.staff("officer"), factories.staff("agent")
    free, held, asked = (ended(factories.member()) for _once in range(3))
    place_legal_hold(held, ground="litigation", actor=officer)
    factories.case(asked, agent)
    assert by_reason() == {"unplanned": (5, 1), "legal_hold": (5, 1), "open_case": (5, 1)}
    plan = make_plan(timezone.localdate(), actor=None)
    assert by_reason() == {"planned": (5, 1), "legal_hold": (5, 1), "open_case": (5, 1)}
    approve_plan(plan, actor=officer)
    assert by_reason() == {"approved": (5, 1), "legal_hold": (5, 1), "open_case": (5, 1)}
    run(plan)
    assert by_reason() == {"legal_hold": (5, 1), "open_case": (5, 1)}
    assert free.pk != held.pk


def test_what_a_run_parked_says_why_and_how_old_it_is(committed, as_role):
    officer = factories.staff("officer")
    member = ended(factories.member())
    plan = approved()
    hold = place_legal_hold(member, ground="litigation", actor=officer)
    assert run(plan).parked == plan.line_count
    from retention.services.holds import lift_legal_hold

    lift_legal_hold(hold, actor=officer)
    [row] = leftovers(now=timezone.now())
    assert (row.reason, row.items, row.parked) == ("parked", 5, {"legal_hold": 5})
    assert row.oldest == timezone.localdate(timezone.now() - LONG_AGO) + datetime.timedelta(days=31)
    assert row.age(timezone.localdate()) == 29
    # A new plan takes it up.
    again = approved()
    assert [one.reason for one in leftovers(now=timezone.now())] == ["approved"]
    assert run(again).destroyed == 5
    assert leftovers(now=timezone.now()) == []


@pytest.mark.parametrize("count", [0, 1])
def test_the_command_counts_by_reason(count):
    for _once in range(count):
        ended(factories.member())
    out = io.StringIO()
    call_command("leftovers", "--json", stdout=out, stderr=io.StringIO())
    said = json.loads(out.getvalue())
    assert said["items"] == 5 * count
    assert [(row["reason"], row["items"], row["oldest_age_days"]) for row in said["rows"]] == [
        ("unplanned", 5, 29)
    ] * count
    out = io.StringIO()
    call_command("leftovers", stdout=out, stderr=io.StringIO())
    assert ("Nothing is past its date." in out.getvalue()) == (count == 0)
