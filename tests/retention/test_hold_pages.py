"""The pages of legal holds: placing and lifting one, by whom, and what never gets into an address."""

import re
import uuid

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from access_control.ids import new_id
from access_control.vault import store
from members.models import Case
from members.services.cases import close_case
from retention.models import LegalHold, PlanLine
from retention.services.holds import lift_legal_hold, place_legal_hold
from tests import factories
from tests.retention.conftest import approved, ended, run
from tests.retention.test_plan_pages import today_plan

LIST, PLACE = reverse("admin:retention_legalhold_changelist"), reverse("admin:retention_legalhold_place")


def lift(hold):
    return reverse("admin:retention_legalhold_lift", args=[hold.pk])


def text(answer):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


@pytest.fixture
def at(client):
    """The client, signed in and in English: ``at(officer)``."""

    def sign_in(account):
        client.force_login(account)
        client.cookies["django_language"] = "en"
        return client

    return sign_in


def test_a_hold_is_asked_for_confirmed_and_lifted(at, officer, hanako, call):
    asked = at(officer).post(PLACE, {"who": call.reference, "ground": "litigation"})
    said = text(asked)
    assert "Nothing of this member is destroyed until the hold is lifted" in said
    assert f"…{hanako.pk.hex[-8:]}" in said
    assert not LegalHold.objects.exists()
    hidden = dict(re.findall(r'name="(who|ground|confirmed)" value="([^"]+)"', asked.content.decode()))
    placed = at(officer).post(PLACE, hidden)
    assert placed.url == LIST
    hold = LegalHold.objects.get()
    assert (hold.member, hold.ground, hold.placed_by) == (hanako, "litigation", officer)
    assert all(key.frozen for key in store.left([hanako.pk]))
    listed = at(officer).get(LIST)
    assert f"…{hanako.pk.hex[-8:]}" in text(listed)
    assert hanako.pk.hex not in listed.content.decode().replace("-", "")
    assert "stands" in text(listed)
    assert lift(hold) in listed.content.decode()
    assert "it cannot be brought back" in text(at(officer).get(lift(hold)))
    hold.refresh_from_db()
    assert hold.lifted_at is None
    assert at(officer).post(lift(hold)).url == LIST
    hold.refresh_from_db()
    assert hold.lifted_by == officer
    assert "The hold was lifted before" in text(at(officer).post(lift(hold), follow=True))
    assert "The hold was lifted before" in text(at(officer).get(lift(hold)))
    for query, listed in (("?stands=1", 0), ("?stands=0", 1), ("?stands=x", 1)):
        assert at(officer).get(LIST + query).content.decode().count('class="field-member_short"') == listed


def test_a_member_is_named_by_an_id_as_well(at, officer, hanako):
    data = {"who": str(hanako.pk), "ground": "authority", "confirmed": "1"}
    assert at(officer).post(PLACE, data).url == LIST
    assert LegalHold.objects.get().member == hanako


def test_what_is_held_is_left_out_of_the_next_plan_until_it_is_lifted(at, officer, hanako):
    ended(hanako)
    hold = place_legal_hold(hanako, ground="misuse", actor=officer)
    assert not PlanLine.objects.filter(plan=today_plan(), subject=hanako.pk).exists()
    other = place_legal_hold(hanako, ground="incident", actor=officer)
    assert "Other holds of this member stand" in text(at(officer).get(lift(hold)))
    assert "an incident is being investigated" in text(at(officer).get(lift(hold)))
    lift_legal_hold(other, actor=officer)
    assert "Other holds" not in text(at(officer).get(lift(hold)))


@pytest.mark.parametrize("who", ["", "0000-0000", "x", "山田 花子", str(uuid.UUID(int=7))])
def test_nobody_is_held_by_mistake(at, officer, hanako, who):
    answer = at(officer).post(PLACE, {"who": who, "ground": "litigation", "confirmed": "1"})
    assert answer.status_code == 200
    assert 'class="errorlist"' in answer.content.decode()
    assert not LegalHold.objects.exists()


def test_a_card_number_is_not_echoed(at, officer):
    answer = at(officer).post(PLACE, {"who": "4111 1111 1111 1111", "ground": "litigation"})
    assert "4111" not in answer.content.decode()


def test_twice_for_the_same_reason_is_refused_in_words(at, officer, hanako):
    place_legal_hold(hanako, ground="misuse", actor=officer)
    data = {"who": str(hanako.pk), "ground": "misuse", "confirmed": "1"}
    assert "on hold for this reason already" in text(at(officer).post(PLACE, data))
    assert LegalHold.objects.count() == 1


def test_when_nothing_is_left_the_page_says_so(committed, at):
    officer, agent = factories.staff("officer"), factories.staff("agent")
    member = factories.member()
    case = close_case(factories.case(member, agent), outcome=Case.Outcome.DONE, actor=agent)
    ended(member)
    run(approved())
    data = {"who": case.reference, "ground": "misuse", "confirmed": "1"}
    assert "everything was destroyed" in text(at(officer).post(PLACE, data))
    assert not LegalHold.objects.exists()


def test_an_auditor_sees_holds_and_places_or_lifts_none(at, auditor, officer, hanako):
    hold = place_legal_hold(hanako, ground="misuse", actor=officer)
    content = at(auditor).get(LIST).content.decode()
    assert f"…{hanako.pk.hex[-8:]}" in content
    assert PLACE not in content
    assert lift(hold) not in content
    for method in (at(auditor).get, at(auditor).post):
        assert method(PLACE).status_code == 403
        assert method(lift(hold)).status_code == 403
    hold.refresh_from_db()
    assert hold.lifted_at is None


@pytest.mark.parametrize("role", ["agent", "administrator", "records"])
def test_nobody_else_sees_holds(at, role, officer, hanako):
    hold = place_legal_hold(hanako, ground="misuse", actor=officer)
    account = factories.staff(role)
    for address in (LIST, PLACE, lift(hold)):
        assert at(account).get(address).status_code == 403
    assert at(account).post(lift(hold)).status_code == 403


def test_a_forged_form_places_and_lifts_nothing(officer, hanako):
    hold = place_legal_hold(hanako, ground="misuse", actor=officer)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(officer)
    data = {"who": str(hanako.pk), "ground": "litigation", "confirmed": "1"}
    assert strict.post(PLACE, data).status_code == 403
    assert strict.post(lift(hold)).status_code == 403
    assert LegalHold.objects.get().lifted_at is None


def test_a_hold_that_is_none_is_not_found(at, officer):
    assert at(officer).get(reverse("admin:retention_legalhold_lift", args=[new_id()])).status_code == 404


def test_the_list_costs_as_many_queries_for_twenty_holds_as_for_ten(at, officer):
    def cost():
        with CaptureQueriesContext(connection) as captured:
            answer = at(officer).get(LIST)
        return len(captured), answer.content.decode().count("<tr>")

    def ten():
        for _hold in range(10):
            place_legal_hold(factories.member(), ground="misuse", actor=officer)

    ten()
    cost()
    before, few = cost()
    ten()
    after, many = cost()
    assert (few, many) == (11, 21)
    assert after == before
