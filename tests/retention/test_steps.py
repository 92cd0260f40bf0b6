"""Ending a membership and coming back through the pages: what an agent reads before, types, and sees afterwards."""

import datetime
import re

import pytest
from django.urls import reverse
from django.utils import timezone

from access_control.models import LedgerEvent
from access_control.vault.errors import SealBroken
from members.events import Event
from members.models import Case, ContactPoint, Member, Notice
from members.services.cases import close_case
from members.services.corrections import ask_correction
from members.services.grants import revoke_grants
from retention.services.memberships import end_membership
from retention.services.rules import NoRules
from tests import factories

NUMBER = "R0000888"


@pytest.fixture
def hanako():
    """A member with an order."""
    member = factories.member(member_number=NUMBER)
    factories.transaction(NUMBER, ordered_on="2025-05-02")
    return member


@pytest.fixture
def ending(agent, hanako):
    """A case in which the identified member asks to end the membership."""
    return factories.identify(factories.case(hanako, agent, kind="ending"))


@pytest.fixture
def ended(agent, ending):
    """The former member."""
    return end_membership(ending, actor=agent)


@pytest.fixture
def coming_back(agent, ended):
    """A case in which the identified former member asks to come back."""
    return factories.identify(factories.case(ended, agent, kind="return"))


@pytest.fixture
def shown_to(client):
    """``shown_to(account, case)``: the case's page in English, as one line of text."""

    def look(account, case):
        client.force_login(account)
        return text(client.get(reverse("admin:members_case_change", args=[case.pk]), headers={"accept-language": "en"}))

    return look


@pytest.fixture
def press(client):
    """``press(account, case, step, action, **data)``: the answer to the POST."""

    def act(account, case, step, action, **data):
        client.force_login(account)
        path = reverse("admin:members_case_act", args=[case.pk, step, action])
        return client.post(path, data, headers={"accept-language": "en"})

    return act


def text(response):
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.content.decode().replace("&#x27;", "'"))


def days(number):
    return (timezone.localdate() + datetime.timedelta(days=number)).isoformat()


def step(content, name):
    """One step of the page, with its state."""
    return re.search(
        rf'<li class="step (is-\w+)"[^>]* id="step-{name}">(.*?)(?=<li class="step |</ol> </div> <aside)', content
    )


def test_a_call_that_ends_a_membership(client, agent, hanako, shown_to, press):
    client.force_login(agent)
    found = text(
        client.post(reverse("admin:members_member_find"), {"identifier": NUMBER}, headers={"accept-language": "en"})
    )
    assert '<option value="ending">end of membership</option>' in found
    client.post(reverse("admin:members_member_open", args=[hanako.pk]), {"kind": "ending", "channel": "phone"})
    case = Case.objects.get(member=hanako)
    before = shown_to(agent, case)
    assert "First the caller must be identified." in step(before, "ending")[2]
    assert "e-mail address" not in step(before, "ending")[2]
    press(agent, case, "identity", "check", **factories.RIGHT_ANSWERS)

    asked = step(shown_to(agent, case), "ending")
    assert asked[1] == "is-now"
    for said in (
        "e-mail address, telephone number, mobile telephone number",
        "use, provision to others, advertising",
        "the purpose is achieved",
        "tax law of Japan",
        "fiscal year 2025",
        days(30),
        f"Until {days(30)} the member can come back",
        "That cannot be undone.",
    ):
        assert said in asked[2]
    for value in ("hanako.yamada@example.jp", "山田", "12800"):
        assert value not in asked[2]

    unread = text(press(agent, case, "ending", "end"))
    assert "This field is required." in step(unread, "ending")[2]
    hanako.refresh_from_db()
    assert hanako.state == Member.State.ACTIVE

    answer = press(agent, case, "ending", "end", heard="on")
    assert answer.url == reverse("admin:members_case_change", args=[case.pk])
    hanako.refresh_from_db()
    assert hanako.state == Member.State.ENDED
    after = shown_to(agent, case)
    fact = step(after, "ending")
    assert fact[1] == "is-done"
    assert "The membership ended" in fact[2]
    assert "use, provision to others, advertising" in fact[2]
    assert f"The member can come back until {days(30)}." in fact[2]
    assert "<button" not in fact[2]
    told = step(after, "tell")
    assert told[1] == "is-now"
    assert "your membership has ended" in told[2]
    assert "queued" in told[2]
    press(agent, case, "close", "close", outcome="done")
    closed = shown_to(agent, case)
    assert "The membership ended" in step(closed, "ending")[2]
    assert "e-mail address" not in step(closed, "ending")[2]


def test_telling_is_done_when_the_notice_is_sent(agent, ending, ended, shown_to):
    assert step(shown_to(agent, ending), "tell")[1] == "is-now"
    Notice.objects.update(state="sent", sent_at=timezone.now())
    assert step(shown_to(agent, ending), "tell")[1] == "is-done"


def test_pending_corrections_are_named_with_their_case(agent, hanako, ending, shown_to, press):
    other = factories.identify(factories.case(hanako, agent))
    mail = ContactPoint.objects.get(member=hanako, kind="email")
    ask_correction(other, item="contact.email", row=mail.pk, text="hanako@example.net", actor=agent)
    shown = step(shown_to(agent, ending), "ending")[2]
    assert other.reference in shown
    assert "<button" not in shown
    refused = step(text(press(agent, ending, "ending", "end", heard="on")), "ending")[2]
    assert f"Apply or refuse it first: e-mail address ({other.reference})" in refused
    assert not LedgerEvent.objects.filter(event=Event.ENDED).exists()


def test_without_rules_the_page_says_so_and_nothing_ends(agent, hanako, ending, shown_to, press, monkeypatch):
    def none(day):
        raise NoRules

    monkeypatch.setattr("retention.steps.rules_on", none)
    monkeypatch.setattr("retention.services.memberships.rules_on", none)
    shown = step(shown_to(agent, ending), "ending")[2]
    assert "No retention rules are in force" in shown
    assert "<button" not in shown
    refused = step(text(press(agent, ending, "ending", "end", heard="on")), "ending")[2]
    assert refused.count("No retention rules are in force") == 1
    hanako.refresh_from_db()
    assert hanako.state == Member.State.ACTIVE


def test_a_mail_address_that_does_not_open_ends_nothing(agent, hanako, ending, press, monkeypatch):
    def broken(*arguments, **named):
        raise SealBroken

    monkeypatch.setattr("members.services.membership.mails_on_file", broken)
    refused = step(text(press(agent, ending, "ending", "end", heard="on")), "ending")[2]
    assert "cannot be opened, so nothing was changed" in refused
    hanako.refresh_from_db()
    assert hanako.state == Member.State.ACTIVE


def test_an_ending_that_somebody_else_has_done_is_said_and_not_repeated(agent, hanako, ended, shown_to, press):
    case = factories.identify(factories.case(ended, agent, kind="ending"))
    shown = step(shown_to(agent, case), "ending")
    assert shown[1] == "is-now"
    assert f"The membership ended on {days(0)} already." in shown[2]
    assert press(agent, case, "ending", "end", heard="on").status_code == 302
    assert "The membership has ended before." in shown_to(agent, case)
    assert LedgerEvent.objects.filter(event=Event.ENDED).count() == 1


def test_an_unidentified_call_ends_nothing_by_a_forged_post(agent, hanako, shown_to, press):
    case = factories.case(hanako, agent, kind="ending")
    press(agent, case, "ending", "end", heard="on")
    assert "First the caller must be identified." in shown_to(agent, case)
    hanako.refresh_from_db()
    assert hanako.state == Member.State.ACTIVE


def test_whoever_oversees_sees_how_it_stands_and_no_item(agent, supervisor, ending, shown_to, press):
    shown = step(shown_to(supervisor, ending), "ending")[2]
    assert "e-mail address" not in shown
    assert "<button" not in shown
    press(supervisor, ending, "ending", "end", heard="on")
    assert not LedgerEvent.objects.filter(event=Event.ENDED).exists()
    end_membership(ending, actor=agent)
    assert "The membership ended" in step(shown_to(supervisor, ending), "ending")[2]


def test_without_a_live_grant_nothing_is_listed_and_nothing_ends(agent, supervisor, ending, shown_to, press):
    revoke_grants(ending, actor=supervisor)
    assert "e-mail address" not in step(shown_to(agent, ending), "ending")[2]
    press(agent, ending, "ending", "end", heard="on")
    assert not LedgerEvent.objects.filter(event=Event.ENDED).exists()


def test_looking_works_before_and_after(agent, hanako, ending, shown_to, press):
    mail = ContactPoint.objects.get(member=hanako, kind="email")
    target = f"{mail.pk}:value"
    assert "hanako.yamada@example.jp" in text(press(agent, ending, "look", "reveal", target=target, purpose=3))
    end_membership(ending, actor=agent)
    assert "hanako.yamada@example.jp" in text(press(agent, ending, "look", "reveal", target=target, purpose=3))


def test_a_correction_case_of_a_former_member_keeps_working(agent, ended, shown_to, press):
    case = factories.identify(factories.case(ended, agent))
    mail = ContactPoint.objects.get(member=ended, kind="email")
    press(agent, case, "correction", "ask", target=f"contact.email:{mail.pk}", value="hanako@example.net")
    press(agent, case, "correction", "apply", correction=case.corrections.get().pk)
    shown = shown_to(agent, case)
    assert step(shown, "correction")[1] == "is-done"
    assert step(shown, "ending") is None
    assert step(shown, "return") is None


def test_a_call_that_brings_a_membership_back(agent, ended, coming_back, shown_to, press):
    asked = step(shown_to(agent, coming_back), "return")
    assert asked[1] == "is-now"
    assert f"Coming back must be asked for by {days(30)}; this was asked for on {days(0)}." in asked[2]
    assert press(agent, coming_back, "return", "return").status_code == 302
    ended.refresh_from_db()
    assert ended.state == Member.State.ACTIVE
    after = shown_to(agent, coming_back)
    assert step(after, "return")[1] == "is-done"
    assert "The membership stands again since" in step(after, "return")[2]
    assert "<button" not in step(after, "return")[2]
    assert "your membership stands again" in step(after, "tell")[2]


def test_the_case_that_ended_it_says_that_the_member_has_come_back(agent, ending, coming_back, shown_to, press):
    press(agent, coming_back, "return", "return")
    shown = step(shown_to(agent, ending), "ending")
    assert shown[1] == "is-done"
    assert "Since then the member has come back." in shown[2]
    assert "<button" not in shown[2]


def test_when_the_days_are_over_the_page_says_why_not(agent, ended, shown_to, press, time_machine):
    last = days(30)
    # Later than the database's own clock, by which grants expire.
    time_machine.move_to(timezone.now() + datetime.timedelta(days=31))
    case = factories.identify(factories.case(ended, agent, kind="return"))
    shown = step(shown_to(agent, case), "return")[2]
    assert f"coming back was possible until {last}. This was asked for on {days(0)}." in shown
    assert "<button" not in shown
    refused = step(text(press(agent, case, "return", "return")), "return")[2]
    assert f"Coming back was possible until {last}." in refused
    ended.refresh_from_db()
    assert ended.state == Member.State.ENDED


def test_who_is_a_member_has_nothing_to_come_back_to(agent, hanako, shown_to, press):
    case = factories.identify(factories.case(hanako, agent, kind="return"))
    shown = step(shown_to(agent, case), "return")[2]
    assert "there is nothing to come back to" in shown
    assert "<button" not in shown
    press(agent, case, "return", "return")
    assert "there is nothing to come back to" in shown_to(agent, case)
    assert not Notice.objects.exists()


def test_a_closed_case_says_that_nothing_came_of_it(agent, ending, hanako, shown_to):
    back = factories.case(hanako, agent, kind="return")
    for case, name, said in (
        (ending, "ending", "The membership was not ended."),
        (back, "return", "The member did not come back."),
    ):
        close_case(case, outcome=Case.Outcome.TAKEN_BACK, actor=agent)
        assert said in step(shown_to(agent, case), name)[2]
