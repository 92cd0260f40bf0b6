"""The member's page: what of each category is kept, why and until when; what was destroyed, and what is on hold."""

import dataclasses
import datetime
import re
import uuid

import pytest
from django.urls import reverse
from django.utils import timezone, translation

from access_control.vault import store
from access_control.vault.categories import Category
from members.models import Addressee, Case, ContactPoint
from members.services.cases import close_case
from members.services.corrections import apply_correction, ask_correction
from retention.panels import retention_panel
from retention.services.holds import lift_legal_hold, place_legal_hold
from retention.services.memberships import end_membership
from retention.services.rules import NoRules
from tests import factories
from tests.retention.test_explaining import last_day

NUMBER = "R0000999"
DATA = (Category.IDENTITY, Category.CONTACT, Category.DELIVERY, Category.PAYMENT, Category.PROFILE)


@pytest.fixture
def hanako():
    """A member with orders in two fiscal years, the first of which nobody asks about any more."""
    member = factories.member(member_number=NUMBER)
    for day in ("2023-05-02", "2026-05-02"):
        factories.transaction(NUMBER, ordered_on=day)
    return member


def rows(member):
    """(category, year) → row of the panel."""
    member.refresh_from_db()
    return {(row.category, row.year): row for row in retention_panel(None, member)["rows"]}


def test_of_a_member_data_is_in_use_and_only_the_laws_years_have_dates(hanako):
    found = rows(hanako)
    assert {key[0]: row.state for key, row in found.items() if key[1] is None} == dict.fromkeys(DATA, "use")
    assert {row.kept_until for key, row in found.items() if key[1] is None} == {None}
    old, new = found[Category.STATUTORY, 2023], found[Category.STATUTORY, 2026]
    assert (old.state, old.used_until, old.kept_until) == ("kept", None, datetime.date(2031, 5, 31))
    assert (new.state, new.used_until, new.kept_until) == (
        "use",
        datetime.date(2028, 3, 31),
        datetime.date(2034, 5, 31),
    )


def test_a_pending_correction_suspends_its_category(agent, hanako):
    case = factories.identify(factories.case(hanako, agent))
    home = Addressee.objects.get(member=hanako)
    ask_correction(case, item="addressee.address", row=home.pk, text="東京都港区芝1-1", actor=agent)
    states = {key[0]: row.state for key, row in rows(hanako).items() if key[1] is None}
    assert states[Category.DELIVERY] == "suspended"
    assert states[Category.CONTACT] == "use"


def test_a_corrected_value_has_its_own_last_day(agent, hanako):
    case = factories.identify(factories.case(hanako, agent))
    mail = ContactPoint.objects.get(member=hanako, kind="email")
    wish = ask_correction(case, item="contact.email", row=mail.pk, text="hanako@example.net", actor=agent)
    apply_correction(wish, actor=agent)
    contact = rows(hanako)[Category.CONTACT, None]
    until = timezone.localdate() + datetime.timedelta(days=30)
    assert (contact.state, contact.kept_until) == ("use", None)
    assert (contact.earlier, contact.earlier_until) == (1, until)


def test_cases_have_a_date_once_they_are_closed(agent, hanako):
    case = factories.identify(factories.case(hanako, agent))
    mail = ContactPoint.objects.get(member=hanako, kind="email")
    wish = ask_correction(case, item="contact.email", row=mail.pk, text="hanako@example.net", actor=agent)
    words = rows(hanako)[Category.CORRESPONDENCE, None]
    assert (words.state, words.kept_until, words.earlier) == ("use", None, 0)
    apply_correction(wish, actor=agent)
    close_case(case, outcome=Case.Outcome.DONE, actor=agent)
    words = rows(hanako)[Category.CORRESPONDENCE, None]
    today = timezone.localdate()
    assert (words.state, words.kept_until.year) == ("kept", today.year + 3)


def test_of_a_former_member_nothing_is_used_and_everything_has_a_last_day(agent, hanako):
    end_membership(factories.identify(factories.case(hanako, agent, kind="ending")), actor=agent)
    found = rows(hanako)
    for category in (*DATA, Category.CORRESPONDENCE):
        row = found[category, None]
        assert (row.state, row.used_until, row.kept_until) == ("kept", None, last_day(hanako))
        assert row.ground
        assert not row.overdue


def test_what_is_past_its_day_is_said_to_be_due(agent, hanako, time_machine):
    end_membership(factories.identify(factories.case(hanako, agent, kind="ending")), actor=agent)
    hanako.refresh_from_db()
    midnight = timezone.make_aware(datetime.datetime.combine(last_day(hanako), datetime.time.max))
    time_machine.move_to(midnight, tick=False)
    assert not rows(hanako)[Category.CONTACT, None].overdue
    time_machine.move_to(midnight + datetime.timedelta(seconds=1), tick=False)
    assert rows(hanako)[Category.CONTACT, None].overdue


def test_what_was_destroyed_says_when_and_under_which_line(hanako, monkeypatch):
    line, at = uuid.uuid4(), timezone.now()
    fenced = [
        dataclasses.replace(key, alive=False, destroyed_at=at, certificate_line=line)
        if key.ref.category == Category.PAYMENT
        else key
        for key in store.status([hanako.pk])
    ]
    monkeypatch.setattr("retention.panels.store.status", lambda subjects: fenced)
    found = rows(hanako)
    payment = found[Category.PAYMENT, None]
    assert (payment.state, payment.destroyed_at, payment.line) == ("destroyed", at, line)
    assert found[Category.CONTACT, None].state == "use"


def test_only_holds_that_stand_are_shown(supervisor, hanako):
    hold = place_legal_hold(hanako, ground="litigation", actor=supervisor)
    assert retention_panel(None, hanako)["holds"] == [hold]
    lift_legal_hold(hold, actor=supervisor)
    assert retention_panel(None, hanako)["holds"] == []


def test_without_rules_the_panel_says_so(hanako, monkeypatch):
    def none(day):
        raise NoRules

    monkeypatch.setattr("retention.panels.rules_on", none)
    panel = retention_panel(None, hanako)
    assert panel["no_rules"]
    assert {row.kept_until for row in panel["rows"]} == {None}


def test_the_page_shows_it_in_words_to_whoever_has_access(client, agent, supervisor, hanako):
    case = factories.identify(factories.case(hanako, agent, kind="ending"))
    end_membership(case, actor=agent)
    place_legal_hold(hanako, ground="authority", actor=supervisor)
    hanako.refresh_from_db()
    client.force_login(agent)
    address = reverse("admin:members_member_change", args=[hanako.pk])
    shown = re.sub(r"\s+", " ", client.get(address, headers={"accept-language": "en"}).content.decode())
    with translation.override("en"):
        for said in (
            f"Legal hold since {timezone.localdate()}: an authority demanded it.",
            "kept, not used",
            f"kept until {last_day(hanako)}",
            "the purpose is achieved",
            "tax law of Japan",
            "fiscal year 2026",
            "used until 2028-03-31",
        ):
            assert said in shown
