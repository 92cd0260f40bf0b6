"""The pages of certificates: what they say, what leaves the house by them, and which lines are whose."""

import base64
import json
import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from access_control import signing
from access_control.ids import new_id
from access_control.models import LedgerEvent
from members.models import Case
from members.services.cases import close_case
from retention.events import Event
from retention.models import Certificate
from retention.services.certificates import lines_of
from retention.services.planning import approve_plan, make_plan
from tests import factories
from tests.retention.conftest import approved, ended, run, verify


def page(plan, view="change"):
    return reverse(f"admin:retention_certificate_{view}", args=[plan.pk])


def text(answer):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


@pytest.fixture
def at():
    """A client, signed in and in English: ``at(officer)``."""

    def sign_in(account):
        client = Client()
        client.force_login(account)
        client.cookies["django_language"] = "en"
        return client

    return sign_in


def events(event):
    return list(LedgerEvent.objects.filter(event=event).order_by("sequence").values_list("actor_name", "note"))


def test_a_certificate_from_the_page_to_the_outsider(committed, at):
    officer, auditor, agent = (factories.staff(role) for role in ("officer", "auditor", "agent"))
    case = factories.case(gone := factories.member(), agent)
    close_case(case, outcome=Case.Outcome.DONE, actor=agent)
    ended(gone)
    plan = approved()
    run(plan)
    certificate = Certificate.objects.get()

    # The page, before anybody has verified and after.
    said = text(at(auditor).get(page(plan)))
    assert f"{plan.line_count} items were destroyed. They were about 1 person." in said
    assert "unreadable since" in said
    assert said.count("not yet") == 1
    assert "nobody to tell" in said
    assert "not verified" in said
    assert f"verify_purge {plan.reference}" in said
    assert "JST" in said
    for fact in ("root", "journal", "key", "plan_hash"):
        assert json.loads(certificate.document)[fact] in said
    verify(plan)
    assert "0 findings" in text(at(auditor).get(page(plan)))
    assert plan.reference in text(at(auditor).get(reverse("admin:retention_certificate_changelist")))

    # What an outsider gets, and that it was taken out.
    answer = at(auditor).get(page(plan, "file"))
    assert answer.streaming
    assert answer["Content-Disposition"] == f'attachment; filename="certificate-{plan.reference}.json"'
    content = b"".join(answer)
    file = json.loads(content)
    assert file["lines"] == list(lines_of(plan.pk, bytes(certificate.salt)))
    key = at(auditor).get(page(plan, "key")).content.decode()
    assert signing.is_signed(file["document"].encode(), base64.b64decode(file["signature"]), key)
    assert gone.pk.hex not in content.decode().replace("-", "")
    assert gone.pk.hex[-8:] not in content.decode()
    assert events(Event.CERTIFICATE_TAKEN) == [(auditor.username, plan.pk)]

    # Which lines are about a person: by id or by a case, posted, in the ledger.
    assert "Which lines are about a person?" not in text(at(auditor).get(page(plan)))
    assert at(auditor).post(page(plan, "find"), {"who": str(gone.pk)}).status_code == 403
    for who in (str(gone.pk), gone.pk.hex.upper(), case.reference, case.reference.lower().replace("-", "")):
        found = at(officer).post(page(plan, "find"), {"who": who})
        said = text(found)
        own = [line.split(" ")[:2] for line in file["lines"]]
        assert {pseudonym for _id, pseudonym in own if pseudonym in said} == {own[0][1]}
        assert all(pk in said for pk, _pseudonym in own)
    assert events(Event.CERTIFICATE_SEARCHED) == [(officer.username, plan.pk)] * 4
    subjects = LedgerEvent.objects.filter(event=Event.CERTIFICATE_SEARCHED).values_list("subject", flat=True)
    assert set(subjects) == {gone.pk}
    nobody = text(at(officer).post(page(plan, "find"), {"who": str(new_id())}))
    assert "No line of this certificate is about this person" in nobody
    for wrong in ("0000-0000", "x", ""):
        assert "is called" not in text(at(officer).post(page(plan, "find"), {"who": wrong}))
    refused = at(officer).post(page(plan, "find"), {"who": "4111 1111 1111 1111"}).content.decode()
    assert "4111" not in refused
    assert at(officer).get(page(plan, "find")).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(officer)
    assert strict.post(page(plan, "find"), {"who": str(gone.pk)}).status_code == 403


def test_a_certificate_of_nothing_reads_well(committed, at):
    officer = factories.staff("officer")
    plan = approve_plan(make_plan(timezone.localdate(), actor=None), actor=officer)
    run(plan)
    said = text(at(officer).get(page(plan)))
    assert "Nothing was destroyed." in said
    assert "not yet" not in said
    assert json.loads(b"".join(at(officer).get(page(plan, "file"))))["lines"] == []


def test_the_list_costs_as_many_queries_for_two_certificates_as_for_one(committed, at):
    officer = factories.staff("officer")

    def another():
        run(approve_plan(make_plan(timezone.localdate(), actor=None), actor=officer))

    def cost():
        with CaptureQueriesContext(connection) as captured:
            answer = client.get(reverse("admin:retention_certificate_changelist"))
        return len(captured), answer.content.decode().count("<tr>")

    another()
    client = at(officer)
    cost()
    before, one = cost()
    another()
    another()
    after, three = cost()
    assert (one, three) == (2, 4)
    assert after == before


@pytest.mark.parametrize("role", ["agent", "administrator", "records"])
def test_nobody_else_sees_certificates(at, role):
    account = factories.staff(role)
    plan = make_plan(timezone.localdate(), actor=None)
    assert at(account).get(reverse("admin:retention_certificate_changelist")).status_code == 403
    for view in ("change", "file", "key"):
        assert at(account).get(page(plan, view)).status_code == 403
    assert at(account).post(page(plan, "find"), {"who": str(new_id())}).status_code == 403


def test_a_plan_without_a_certificate_has_none(at, officer):
    plan = make_plan(timezone.localdate(), actor=None)
    for view in ("change", "file", "key"):
        assert at(officer).get(page(plan, view)).status_code == 404
        assert at(officer).post(page(plan, view)).status_code == 405
