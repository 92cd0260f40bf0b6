"""The policy board as a page: who may see it, what it shows, and what it costs."""

import datetime
import re

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from access_control.codes import Reason
from access_control.controls import MOST_ROWS, State
from access_control.ledger import acting
from consent.policy_text import CLAUSES
from members.models import Case
from retention.board import CONTROLS
from tests import factories
from tests.conftest import ALIASES

LONG_AGO = datetime.date(2020, 1, 1)


@pytest.fixture
def look(client):
    """The board as an account sees it: ``look(account, state="not_kept")``."""

    def page(account, *, language="en", **query):
        client.force_login(account)
        return client.get(reverse("admin:policy_board"), query, headers={"accept-language": language})

    return page


def sentences_on(content):
    return re.findall(r'<article class="sentence" id="(\w+)"', content)


def overdue(agent, member, many=1, **fields):
    """Correction cases whose deadline has passed."""
    made = [factories.case(member, agent) for _one in range(many)]
    with acting(None, reason=Reason.DAILY_WORK):
        Case.objects.filter(pk__in=[case.pk for case in made]).update(due_on=LONG_AGO, **fields)
    return made


@pytest.mark.parametrize("role", ["officer", "auditor"])
def test_officer_and_auditor_see_every_sentence_with_its_controls(look, role):
    answer = look(factories.staff(role))
    assert answer.status_code == 200
    content = answer.content.decode()
    assert sentences_on(content) == [sentence.id for clause in CLAUSES for sentence in clause.sentences]
    for clause in CLAUSES:
        assert f'<section class="card card--flush" id="{clause.id}"' in content
    for control in answer.context["clauses"][8]["sentences"][0]["controls"]:
        assert control["result"].control in CONTROLS
    assert "VeriSign" in content
    assert "for this page" in content


@pytest.mark.parametrize("role", ["agent", "supervisor", "administrator"])
def test_nobody_else_sees_it_or_a_way_to_it(look, client, role):
    account = factories.staff(role)
    assert look(account).status_code == 403
    assert reverse("admin:policy_board") not in client.get(reverse("admin:index")).content.decode()


def test_the_start_page_leads_officer_and_auditor_to_it(client, officer):
    client.force_login(officer)
    assert client.get(reverse("admin:index")).content.decode().count(f'href="{reverse("admin:policy_board")}') == 4


def test_who_is_not_signed_in_is_sent_to_the_sign_in_page(client):
    answer = client.get(reverse("admin:policy_board"))
    assert answer.status_code == 302
    assert answer.url.startswith("/login/")


def test_it_is_for_reading_only(client, officer):
    client.force_login(officer)
    for method in ("post", "put", "patch", "delete"):
        assert getattr(client, method)(reverse("admin:policy_board")).status_code == 405


def test_the_published_text_is_in_the_language_of_the_page(look, officer):
    said = CLAUSES[8].sentences[3]
    japanese = look(officer, language="ja").content.decode()
    assert said.ja in japanese
    assert said.en not in japanese
    english = look(officer, language="en").content.decode()
    assert said.en in english
    assert said.ja not in english


def test_a_state_chooses_the_sentences_that_stand_so(look, officer, agent, hanako):
    (case,) = overdue(agent, hanako)
    answer = look(officer, state="not_kept")
    content = answer.content.decode()
    assert sentences_on(content) == ["P5_A1"]
    assert content.count('<a href="?state=not_kept" aria-current="true">') == 1
    assert case.reference in content
    # The summary counts all sentences, whatever is chosen, and agrees with what each figure leads to.
    for tile in answer.context["summary"]:
        shown = sentences_on(look(officer, state=tile["query"].partition("=")[2]).content.decode())
        assert len(shown) == tile["figure"]
    assert sentences_on(look(officer, state="cannot_compute").content.decode()) == []
    assert len(sentences_on(look(officer, state="no_such_state").content.decode())) == 53


def test_a_control_that_fails_leaves_the_rest_of_the_page_standing(committed, look, as_role):
    officer = factories.staff("officer")
    with as_role("owner") as cursor:
        cursor.execute("ALTER TABLE consent_provision RENAME TO consent_provision_elsewhere")
    content = look(officer, state=State.CANNOT_COMPUTE).content.decode()
    assert sentences_on(content) == ["P4_A1", "P4_B1", "P4_C2", "P4_C3", "P8_A1"]


def test_what_is_behind_a_figure_is_escaped(look, officer, agent, hanako):
    overdue(agent, hanako, reference="A&B<i>C")
    content = look(officer).content.decode()
    assert "A&amp;B&lt;i&gt;C" in content
    assert "A&B" not in content


def test_a_case_is_found_from_the_board_by_whoever_may_see_cases(look, officer, auditor, agent, hanako):
    (case,) = overdue(agent, hanako)
    link = f'href="{reverse("admin:members_case_changelist")}?q={case.reference}"'
    assert link in look(officer).content.decode()
    seen_by_the_auditor = look(auditor).content.decode()
    assert case.reference in seen_by_the_auditor
    assert link not in seen_by_the_auditor


def test_a_hundred_rows_are_named_and_the_rest_is_counted(look, officer, agent, hanako):
    overdue(agent, hanako, many=MOST_ROWS + 3)
    content = look(officer, state="not_kept").content.decode()
    assert content.count("<code>") == MOST_ROWS
    assert "and 3 more" in content
    assert f">{MOST_ROWS + 3}<" in content


def test_the_page_shows_nothing_of_a_member(look, officer, identified):
    overdue(identified.owner, identified.member)
    content = look(officer, language="ja").content.decode()
    for value in ("山田", "花子", "hanako", "5550", "1980"):
        assert value not in content


def test_ten_rows_more_cost_no_query_more(look, officer, agent, hanako):
    def queries():
        with (
            CaptureQueriesContext(connections[ALIASES[0]]) as ours,
            CaptureQueriesContext(connections[ALIASES[1]]) as it,
        ):
            content = look(officer).content.decode()
        return len(ours) + len(it), content.count("<code>")

    queries()
    overdue(agent, hanako, many=10)
    before, rows = queries()
    overdue(agent, hanako, many=10)
    for _one in range(10):
        factories.member()
    after, more_rows = queries()
    assert more_rows - rows == 10
    assert after == before


def test_figures_are_computed_for_each_look(look, officer, agent, hanako):
    (case,) = overdue(agent, hanako)
    assert sentences_on(look(officer, state="not_kept").content.decode()) == ["P5_A1"]
    with acting(None, reason=Reason.DAILY_WORK):
        Case.objects.filter(pk=case.pk).update(due_on=timezone.localdate())
    assert sentences_on(look(officer, state="not_kept").content.decode()) == []
