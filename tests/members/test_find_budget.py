"""Number 17: an account may search so often within an hour, and less often by name."""

import datetime
import threading

import pytest
from django.db import connections
from django.urls import reverse
from django.utils import timezone

from access_control.models import LedgerEvent
from members.services import finding
from members.services.finding import FindBudgetSpent, find
from tests import factories


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A budget that a test can use up."""
    monkeypatch.setattr(finding, "FINDS_AN_HOUR", 6)
    monkeypatch.setattr(finding, "NAMES_AN_HOUR", 3)


def by_name(actor):
    return find("山田 花子", "1980-02-03", actor=actor)


def spent(actor, search=by_name):
    with pytest.raises(FindBudgetSpent) as refusal:
        search(actor)
    return refusal.value


def by_number(actor):
    return find("03-5550-1234", actor=actor)


def test_number_17_guessing_by_name_ends_with_the_hours_budget(agent, second_agent, hanako, monkeypatch):
    for _n in range(3):
        assert by_name(agent).hits
    asked = []
    monkeypatch.setattr(finding.store, "find", lambda *args, **kwargs: asked.append(args) or [])
    refusal = spent(agent)
    assert asked == []
    assert refusal.by_name
    last = LedgerEvent.objects.filter(event="member:found").order_by("at").first()
    assert (refusal.free_at - last.at).total_seconds() == 3600
    refused = LedgerEvent.objects.get(event="member:find_refused")
    assert (refused.actor, refused.subject, refused.items) == (agent.pk, None, ["member.name"])
    # Other identifiers, and other accounts, go on.
    by_number(agent)
    by_name(second_agent)


def test_number_17_searching_in_general_has_a_budget_too(agent, hanako):
    for _n in range(6):
        assert by_number(agent).hits
    assert not spent(agent, by_number).by_name
    spent(agent)


def test_number_17_what_is_older_than_the_window_counts_no_more(agent, hanako, monkeypatch):
    for _n in range(3):
        by_name(agent)
    spent(agent)
    # The ledger's times are the database's and cannot be moved, so the window is.
    monkeypatch.setattr(finding, "BUDGET_WINDOW", datetime.timedelta(0))
    assert by_name(agent).hits


def test_number_17_the_page_says_why_and_until_when(client, agent, hanako):
    client.force_login(agent)
    address = reverse("admin:members_member_find")
    typed = {"identifier": "山田 花子", "second": "1980-02-03"}
    for _n in range(3):
        assert client.post(address, typed).context["found"].hits
    page = client.post(address, typed)
    assert page.status_code == 200
    assert page.context["found"] is None
    free_at = spent(agent).free_at
    assert timezone.localtime(free_at).strftime("%H:%M") in page.content.decode()
    # What was typed is still there.
    assert "山田 花子" in page.content.decode()


def test_number_17_searches_at_once_are_counted_one_by_one(committed):
    agent = factories.staff("agent")
    together, outcomes = threading.Barrier(8), []

    def search():
        together.wait()
        try:
            by_name(agent)
            outcomes.append("searched")
        except FindBudgetSpent:
            outcomes.append("refused")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=search) for _n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused"] * 5 + ["searched"] * 3
