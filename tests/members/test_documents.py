"""The second way to be identified: a supervisor sees a document, when too little is on file to compare."""

import datetime

import pytest
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, transaction
from django.urls import reverse
from django.utils import timezone

from access_control import policies
from access_control.ledger import acting
from access_control.services import leave
from members.events import Event
from members.models import Case, IdentityDocument, IdentityTry, MemberGrant
from members.services.cases import CaseClosed, close_case, open_case
from members.services.documents import EnoughOnFile, ImpossibleDate, OwnCase, OwnerGone, confirm_document
from members.services.finding import find, found_by
from members.services.identity import AlreadyIdentified, NobodyToCompare, facts_that_prove, today
from tests import factories

ISSUED = datetime.date(2024, 5, 2)
LITTLE = {"birth_date": None, "addressees": []}


@pytest.fixture
def unknown(agent):
    """A case of the agent's about a member of whom only contacts are on file."""
    return factories.case(factories.member(**LITTLE), agent)


def confirm(case, actor, **fields):
    return confirm_document(case, **({"kind": "passport", "issued_on": ISSUED, "actor": actor} | fields))


def test_a_supervisor_confirms_a_document_and_the_agent_gets_the_access(unknown, agent, supervisor, events_of):
    """Number 19: event, history and grants; the supervisor gets none."""
    document = confirm(unknown, supervisor)
    unknown.refresh_from_db()
    assert unknown.identified_at
    assert unknown.owner == agent
    assert (document.kind, document.issued_on, document.confirmed_by) == ("passport", ISSUED, supervisor)
    assert policies.can(agent, "members.reveal_member", unknown.member)
    assert not policies.can(supervisor, "members.reveal_member", unknown.member)
    expected = [Event.DOCUMENT_CONFIRMED, Event.IDENTITY_CONFIRMED, "grant:opened"]
    assert events_of(unknown.member_id)[-3:] == expected
    row = unknown.history.order_by("-history_id").first()
    assert (row.history_user_id, row.identified_at) == (supervisor.pk, unknown.identified_at)
    assert not IdentityTry.objects.exists()


def test_no_number_can_be_kept():
    """Number 19: there is no column for one."""
    names = {field.name for field in IdentityDocument._meta.concrete_fields}
    assert names == {"id", "case", "member", "kind", "issued_on", "confirmed_by", "at"}


def test_who_works_on_the_case_does_not_confirm_in_it(supervisor):
    """Number 19: neither by the service nor past it."""
    case = factories.case(factories.member(**LITTLE), supervisor)
    with pytest.raises(OwnCase):
        confirm(case, supervisor)
    with pytest.raises(DatabaseError) as refused, transaction.atomic():
        IdentityDocument.objects.create(
            case=case,
            member=case.member,
            kind="passport",
            issued_on=ISSUED,
            confirmed_by=supervisor,
            at=timezone.now(),
        )
    assert refused.value.__cause__.sqlstate == "CA010"
    case.refresh_from_db()
    assert case.identified_at is None


@pytest.mark.parametrize("role", ["agent", "officer", "auditor", "administrator", "records"])
def test_nobody_but_a_supervisor_confirms(unknown, role):
    with pytest.raises(PermissionDenied):
        confirm(unknown, factories.staff(role))
    assert not MemberGrant.objects.exists()


def test_where_two_facts_can_be_asked_for_they_are(call, supervisor):
    """Number 19: the second way does not lead around the three tries."""
    with pytest.raises(EnoughOnFile):
        confirm(call, supervisor)


def test_a_fact_that_finding_told_leaves_too_little(agent, supervisor):
    """Number 19: found by the telephone, with only a date of birth beside it."""
    member = factories.member(addressees=[])
    assert find("03-5550-1234", actor=agent).hits
    found = found_by(member, actor=agent)
    case = open_case(member, kind="correction", channel="phone", actor=agent, found_by=found)
    assert confirm(case, supervisor).case == case


def test_what_the_supervisor_found_makes_nothing_too_little(client, call, supervisor):
    """The agent can still ask for two facts, so the supervisor's searches open no second way; the page offers none."""
    assert find("山田 花子", "1980-02-03", actor=supervisor).hits
    assert find("山田 花子", "1234", actor=supervisor).hits
    assert len(facts_that_prove(call, actor=supervisor)) < 2
    with pytest.raises(EnoughOnFile):
        confirm(call, supervisor)
    client.force_login(supervisor)
    assert 'name="issued_on"' not in page_of(client, call)
    assert not MemberGrant.objects.exists()


def test_a_document_is_confirmed_once(unknown, supervisor):
    confirm(unknown, supervisor)
    with pytest.raises(AlreadyIdentified):
        confirm(unknown, supervisor)
    assert IdentityDocument.objects.count() == 1


def test_what_is_no_moment_for_a_document(agent, supervisor):
    with pytest.raises(NobodyToCompare):
        confirm(open_case(None, kind="inquiry", channel="phone", actor=agent), supervisor)
    case = factories.case(factories.member(**LITTLE), agent)
    close_case(case, outcome=Case.Outcome.NOT_IDENTIFIED, actor=agent)
    with pytest.raises(CaseClosed):
        confirm(case, supervisor)
    left = factories.case(factories.member(**LITTLE), agent)
    leave(agent.person, on=factories.TODAY, actor=None)
    with pytest.raises(OwnerGone):
        confirm(left, supervisor)


@pytest.mark.parametrize("day", [datetime.date(1949, 12, 31), datetime.date(9999, 1, 1)])
def test_no_document_is_of_such_a_day(unknown, supervisor, day):
    with pytest.raises(ImpossibleDate):
        confirm(unknown, supervisor, issued_on=day)
    with pytest.raises(DatabaseError), transaction.atomic():
        IdentityDocument.objects.create(
            case=unknown,
            member=unknown.member,
            kind="passport",
            issued_on=day,
            confirmed_by=supervisor,
            at=timezone.now(),
        )
    assert confirm(unknown, supervisor, issued_on=today())


def test_a_document_confirmed_is_never_changed(unknown, supervisor):
    document = confirm(unknown, supervisor)
    with acting(supervisor, reason="asked"), pytest.raises(DatabaseError), transaction.atomic():
        IdentityDocument.objects.filter(pk=document.pk).update(kind="number_card")


def page_of(client, case):
    return client.get(reverse("admin:members_case_change", args=[case.pk])).content.decode()


def test_the_page_leads_the_supervisor_through_it(client, unknown, agent, supervisor):
    """Number 19: the agent is told what to ask for; nothing is chosen beforehand."""
    client.force_login(agent)
    page = page_of(client, unknown)
    assert 'name="birth_date"' not in page
    assert 'name="issued_on"' not in page
    client.force_login(supervisor)
    page = page_of(client, unknown)
    assert '<option value="" selected>' in page
    address = reverse("admin:members_case_act", args=[unknown.pk, "identity", "document"])
    assert client.post(address, {"kind": "", "issued_on": "令和6年5月2日"}).status_code == 200
    assert client.post(address, {"kind": "passport", "issued_on": "2月30日"}).status_code == 200
    assert not IdentityDocument.objects.exists()
    for _twice in range(2):
        assert client.post(address, {"kind": "passport", "issued_on": "令和6年5月2日"}).status_code == 302
    assert IdentityDocument.objects.get().issued_on == ISSUED
    assert supervisor.get_full_name() in page_of(client, unknown)


def test_the_page_offers_only_what_proves_and_never_says_which_fact_matched(client, agent, hanako):
    """Number 19: not before, not after, and not in what happened."""
    client.force_login(agent)
    client.post(reverse("admin:members_member_find"), {"identifier": "090-1000-5678"})
    client.post(reverse("admin:members_member_open", args=[hanako.pk]), {"kind": "correction", "channel": "phone"})
    case = Case.objects.get(member=hanako)
    assert 'name="last_four"' not in page_of(client, case)
    check = reverse("admin:members_case_act", args=[case.pk, "identity", "check"])
    assert client.post(check, {"birth_date": "1980-02-03", "postcode": "530-0001"}).status_code == 302
    mostly_right = page_of(client, case)
    assert client.post(check, {"birth_date": "1980-02-04", "postcode": "530-0002"}).status_code == 302
    wrong = page_of(client, case)
    for page in (mostly_right, wrong):
        assert page.count("badge--stop") == 1
        assert "badge--ok" not in page.split('id="step-look"')[0]
    # What finding told may be typed all the same; it counts for nothing.
    assert client.post(check, {"birth_date": "1980-02-03", "last_four": "5678"}).status_code == 200
    assert IdentityTry.objects.count() == 2
