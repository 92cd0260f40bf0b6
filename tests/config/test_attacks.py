"""What was once tried against the pages, and must go on failing."""

import datetime
import logging
import threading

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connections
from django.urls import reverse
from django.utils import timezone

from access_control.requests import JsonLines
from access_control.services import leave
from members.models import Case, ContactPoint, Correction
from members.services import corrections
from members.services.cases import CaseClosed, add_note, close_case, hand_over, read_notes
from members.services.grants import revoke_grants
from tests import factories
from tests.databases import somebody_waits

CARD = "4111 1111 1111 1111"
NOTE = "折り返しは午後に"


def page_of(case):
    return reverse("admin:members_case_change", args=[case.pk])


def act(client, case, step, action, **data):
    return client.post(reverse("admin:members_case_act", args=[case.pk, step, action]), data)


@pytest.mark.parametrize(
    "query",
    [
        "username=x&password__startswith=md5",
        "password__startswith=md5",
        "username__regex=(",
        "person__employee_number=T1",
        "is_active__exact=%00",
    ],
)
def test_a_list_filters_by_what_it_offers_only(client, auditor, query):
    client.force_login(auditor)
    whole = client.get(reverse("admin:access_control_staff_changelist"))
    assert whole.status_code == 200
    answer = client.get(reverse("admin:access_control_staff_changelist") + "?" + query)
    # Refused, or sent back to the list without the question.
    assert answer.status_code in {302, 400}


def test_notes_about_a_member_end_with_the_access(client, identified, supervisor):
    agent = identified.owner
    add_note(identified, text=NOTE, actor=agent)
    client.force_login(agent)
    assert NOTE in client.get(page_of(identified)).content.decode()
    revoke_grants(identified, actor=supervisor)
    assert NOTE not in client.get(page_of(identified)).content.decode()
    factories.reopen_grants(identified)
    case = close_case(identified, outcome=Case.Outcome.DONE, actor=agent)
    assert NOTE not in client.get(page_of(case)).content.decode()
    with pytest.raises(CaseClosed):
        read_notes(case, actor=agent)


def test_closed_cases_of_somebody_who_left_are_nobodys(client, identified, second_agent):
    agent = identified.owner
    add_note(identified, text=NOTE, actor=agent)
    close_case(identified, outcome=Case.Outcome.DONE, actor=agent)
    client.force_login(second_agent)
    assert client.get(page_of(identified)).status_code == 404
    leave(agent.person, on=timezone.localdate(), actor=None)
    assert client.get(page_of(identified)).status_code == 404


def test_a_card_number_is_echoed_by_no_form(client, identified, hanako):
    other = factories.case(hanako, identified.owner)
    row = ContactPoint.objects.get(member=hanako, kind="email")
    client.force_login(identified.owner)
    answers = [
        act(client, other, "identity", "check", birth_date=CARD, last_four="1234"),
        client.post(reverse("admin:members_member_find"), {"identifier": CARD}),
        act(client, identified, "case", "note", text=CARD + " " + "あ" * 2_001),
        act(client, identified, "correction", "ask", target="no:such", value=CARD),
        act(client, identified, "correction", "ask", target=f"contact.email:{row.pk}", value=CARD),
    ]
    for answer in answers:
        assert answer.status_code == 200
        said = answer.content.decode()
        assert "4111" not in said
        assert "カード番号" in said or "card number" in said
    assert not Correction.objects.exists()


def test_a_correction_in_flight_makes_a_revocation_wait(committed, monkeypatch):
    agent, supervisor, member = factories.staff("agent"), factories.staff("supervisor"), factories.member()
    case = factories.identify(factories.case(member, agent))
    row = ContactPoint.objects.get(member=member, kind="email")
    holding, finish, revoked = threading.Event(), threading.Event(), threading.Event()
    true_locate = corrections._locate

    def slow(*arguments):
        holding.set()
        assert finish.wait(timeout=30)
        return true_locate(*arguments)

    monkeypatch.setattr(corrections, "_locate", slow)

    def ask():
        corrections.ask_correction(case, item="contact.email", row=row.pk, text="x@example.net", actor=agent)
        connections.close_all()

    def revoke():
        revoke_grants(case, actor=supervisor)
        revoked.set()
        connections.close_all()

    asker, revoker = threading.Thread(target=ask), threading.Thread(target=revoke)
    asker.start()
    assert holding.wait(timeout=30)
    revoker.start()
    assert somebody_waits()
    assert not revoked.is_set()
    finish.set()
    asker.join(timeout=30)
    revoker.join(timeout=30)
    assert revoked.is_set()


def test_nobody_hands_a_case_to_themselves(identified, supervisor):
    with pytest.raises(PermissionDenied):
        hand_over(identified, to=supervisor, actor=supervisor)


def test_access_of_somebody_entered_ahead_of_the_first_day_can_be_ended():
    newcomer = factories.staff("agent", joined_on=timezone.localdate() + datetime.timedelta(days=30))
    leave(newcomer.person, on=timezone.localdate(), actor=None)
    newcomer.refresh_from_db()
    assert not newcomer.is_active


def test_before_identification_nothing_says_whether_a_value_is_there(client, call, hanako):
    client.force_login(call.owner)
    there = act(client, call, "look", "reveal", target=f"{hanako.pk}:birth_date", purpose=3)
    absent = act(client, call, "look", "reveal", target=f"{hanako.pk}:no_such", purpose=3)
    strip = lambda answer: answer.content.decode().split('id="step-look"')[1].split("</li>")[0]  # noqa: E731
    assert "no_grant" in strip(there)
    assert strip(there) == strip(absent)


def test_masked_names_stand_in_lists_while_access_lives_only(client, identified, supervisor):
    client.force_login(identified.owner)
    pages = [reverse("admin:members_case_changelist"), reverse("admin:index")]
    assert all("山＊" in client.get(page).content.decode() for page in pages)
    revoke_grants(identified, actor=supervisor)
    assert not any("山＊" in client.get(page).content.decode() for page in pages)


def test_a_forged_host_is_not_quoted_in_the_log():
    record = logging.LogRecord(
        "django.security.DisallowedHost", logging.ERROR, "", 1, "Invalid HTTP_HOST: %s", ("a@b",), None
    )
    assert "HTTP_HOST" not in JsonLines().format(record)
    preformatted = logging.LogRecord("django.security.DisallowedHost", logging.ERROR, "", 1, "hanako@x", None, None)
    assert "hanako" not in JsonLines().format(preformatted)


def test_another_charset_and_other_methods_are_refused(client, identified):
    client.force_login(identified.owner)
    find = reverse("admin:members_member_find")
    strange = client.post(
        find, b"identifier=x", content_type="application/x-www-form-urlencoded; charset=unicode_escape"
    )
    assert strange.status_code == 400
    for method in (client.put, client.patch, client.delete):
        assert method(find).status_code in {403, 405}
        assert method(reverse("admin:members_member_change", args=[identified.member_id])).status_code in {403, 405}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (
            {"payment_means": [{"kind": "mobile", "phone": "03-1234-1234", "number": "4111111111111111"}]},
            "payment_means[0].?",
        ),
        ({"contacts": [{"kind": "email", "value": "a@example.jp", "cvv": "123"}]}, "contacts[0].?"),
        ({"yamada_hanako": 1}, "#14"),
    ],
)
def test_undeclared_fields_of_an_import_are_named_by_place_only(change, field):
    from members.intake import Rejected

    with pytest.raises(Rejected) as rejected:
        factories.new_member(**change)
    assert field in {fault.field for fault in rejected.value.faults}
    assert "yamada" not in str(rejected.value)


def test_what_is_not_found_is_the_consoles_own_page_also_in_debug(client, second_agent, identified, settings):
    settings.DEBUG = True
    client.force_login(second_agent)
    answer = client.get(page_of(identified))
    assert answer.status_code == 404
    assert b"URLconf" not in answer.content
    assert b"site-header" in answer.content or "個人情報コンソール" in answer.content.decode()
