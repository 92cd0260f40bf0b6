"""Twice the rows, the same queries: every list and page asks both databases as often for four rows as for eight."""

import contextlib

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from access_control.services import leave
from members.models import Case, ContactPoint
from members.services.cases import add_note, close_case
from members.services.corrections import apply_correction, ask_correction
from tests import factories
from tests.conftest import ALIASES


@pytest.fixture
def queries(client):
    """How many queries a page costs: ``queries(account, view, *args)``; with ``data`` it is posted."""

    def count(account, view, *args, data=None):
        client.force_login(account)
        path = reverse(f"admin:{view}", args=args)
        # The first look warms what is kept for the life of a process, such as content types.
        for _look in range(2):
            with contextlib.ExitStack() as stack:
                captured = [stack.enter_context(CaptureQueriesContext(connections[alias])) for alias in ALIASES]
                answer = client.post(path, data) if data else client.get(path)
                content = answer.content.decode()
            assert answer.status_code == 200
        return sum(map(len, captured)), content

    return count


ROWS = 4


def same_for_twice_as_many(make, look, rows):
    """Some made, looked at, as many more made: ``rows`` counts them on the page, for as many queries."""
    for _row in range(ROWS):
        make()
    before, first = look()
    for _row in range(ROWS):
        make()
    after, second = look()
    assert (rows(first), rows(second)) == (ROWS, 2 * ROWS)
    assert after == before


def rows_of_list(content):
    """Rows of a stock list."""
    return content.count('class="action-select"') or content.count("<tr>") - 1


def entries(content):
    """Entries of a timeline in the main part of a page."""
    return content.count('class="timeline-head"')


def case_of(agent):
    """A case about a member of its own, the caller identified: so a case, a member under a grant, and a mask."""
    return factories.identify(factories.case(factories.member(), agent))


@pytest.mark.parametrize("view", ["members_case_changelist", "members_member_changelist"])
def test_lists_of_cases_and_members(queries, agent, view):
    same_for_twice_as_many(lambda: case_of(agent), lambda: queries(agent, view), rows_of_list)


def test_list_of_cases_of_everybody(queries, agent, supervisor):
    same_for_twice_as_many(lambda: case_of(agent), lambda: queries(supervisor, "members_case_changelist"), rows_of_list)


def test_start_shows_at_most_ten_cases(queries, agent):
    for _row in range(10):
        case_of(agent)
    before, first = queries(agent, "index")
    for _row in range(10):
        case_of(agent)
    after, second = queries(agent, "index")
    assert (rows_of_list(first), rows_of_list(second)) == (10, 10)
    assert after == before


def test_start_shows_at_most_ten_cases_left_behind(queries, supervisor, administrator):
    counts = []
    for _round in range(2):
        leaver = factories.staff("agent")
        for _row in range(10):
            factories.case(factories.member(), leaver)
        leave(leaver.person, on=timezone.localdate(), actor=administrator)
        counts.append(queries(supervisor, "index"))
    (before, first), (after, second) = counts
    assert (rows_of_list(first), rows_of_list(second)) == (10, 10)
    assert after == before


@pytest.mark.parametrize("view", ["access_control_person_changelist", "access_control_staff_changelist"])
def test_lists_of_people_and_accounts(queries, administrator, officer, view):
    there_before = rows_of_list(queries(officer, view)[1])
    same_for_twice_as_many(
        lambda: factories.staff("agent"),
        lambda: queries(officer, view),
        lambda content: rows_of_list(content) - there_before,
    )


def test_ledger(queries, agent, auditor, hanako):
    def look():
        return queries(auditor, "access_control_ledgerevent_changelist")

    before, first = look()
    for _row in range(20):
        factories.case(hanako, agent)
    after, second = look()
    assert rows_of_list(second) > rows_of_list(first)
    assert after == before


def test_list_of_statutory_records(queries):
    """Each of a member of its own, so that one fetch is shown to be for all of them."""
    keeper = factories.staff("records")
    numbers = iter(range(100))

    def make():
        number = f"T91{next(numbers):05d}"
        factories.member(member_number=number)
        factories.transaction(number)

    same_for_twice_as_many(make, lambda: queries(keeper, "members_transaction_changelist"), rows_of_list)


def test_hits(queries, agent):
    def look():
        return queries(agent, "members_member_find", data={"identifier": "03-5550-1234"})

    def hits(content):
        return content.count('<form method="post" class="choice-row"')

    factories.member()
    before, first = look()
    for _row in range(9):
        factories.member()
    after, second = look()
    assert (hits(first), hits(second)) == (1, 5)
    assert after == before


def test_notes_of_a_case(queries, agent, identified):
    same_for_twice_as_many(
        lambda: add_note(identified, text="折り返しは午後", actor=agent),
        lambda: queries(agent, "members_case_change", identified.pk),
        lambda content: content.count("折り返しは午後"),
    )


def test_corrections_of_a_case_and_history_of_its_member(queries, agent, identified):
    row = ContactPoint.objects.get(member=identified.member, kind="email")
    numbers = iter(range(100))

    def correct():
        asked = ask_correction(
            identified, item="contact.email", row=row.pk, text=f"hanako{next(numbers)}@example.net", actor=agent
        )
        apply_correction(asked, actor=agent)

    def look():
        case, page = queries(agent, "members_case_change", identified.pk)
        history, timeline = queries(agent, "members_member_history", identified.member_id)
        assert page.count("badge--ok") >= timeline.count('class="arrow"') >= ROWS
        return (case, history), timeline

    same_for_twice_as_many(correct, look, lambda timeline: timeline.count('class="arrow"'))


def test_a_member_with_many_cases_shows_the_newest_twenty(queries, agent, identified):
    member = identified.member

    def another():
        close_case(factories.case(member, agent), outcome=Case.Outcome.DONE, actor=agent)

    def look():
        return queries(agent, "members_member_change", member.pk)

    for _row in range(9):
        another()
    before, first = look()
    for _row in range(20):
        another()
    after, second = look()
    link = reverse("admin:members_case_changelist") + "0"
    assert (first.count(f'href="{link}'), second.count(f'href="{link}')) == (10, 20)
    assert after == before


def test_fiscal_years_and_corrections_of_a_member_under_what_is_kept(queries, agent):
    member = factories.member(member_number="Q0000001")
    case = factories.identify(factories.case(member, agent, kind="ending"))
    years = iter(range(2004, 2026))

    def another():
        factories.transaction("Q0000001", ordered_on=f"{next(years)}-05-02")

    def look():
        page, content = queries(agent, "members_member_change", member.pk)
        ending, sheets = queries(agent, "members_case_change", case.pk)
        return (page, ending), (content.count('class="fact"'), sheets.count('class="fact"'))

    another()
    on_page, in_case = look()[1]

    def more_years(facts):
        assert facts[0] - on_page == facts[1] - in_case
        return facts[0] - on_page

    same_for_twice_as_many(another, look, more_years)
