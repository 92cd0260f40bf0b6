"""People, accounts and approvals: what leaving and moving end, and what two persons must agree on."""

import pytest
import time_machine
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from access_control import policies
from access_control.codes import Reason
from access_control.models import LedgerEvent, Person, Staff
from access_control.roles import PERMISSIONS, Role
from access_control.services import (
    AlreadyLeft,
    NotApprovable,
    approve,
    ask_approval,
    change_password,
    leave,
    move,
    open_account,
    use_approval,
)
from members.models import Case, MemberGrant
from tests import factories

HASH = b"\x01" * 32


def reload(staff):
    return Staff.objects.select_related("person").get(pk=staff.pk)


def test_leaving_ends_session_grants_and_sign_in_with_one_update(client, identified):
    agent = identified.owner
    client.force_login(agent)
    member_page = reverse("admin:members_member_change", args=[identified.member_id])
    assert client.get(member_page).status_code == 200
    leave(agent.person, on=timezone.localdate(), actor=None)
    assert client.get(member_page).status_code == 302
    assert not MemberGrant.objects.live().exists()
    assert not client.login(username=agent.username, password=factories.PASSWORD)
    assert not policies.may(reload(agent), "members.find_member")
    assert agent.person.history.count() == 2
    assert LedgerEvent.objects.filter(event="person:left", subject=agent.person_id).count() == 1
    with pytest.raises(AlreadyLeft):
        leave(agent.person, on=timezone.localdate(), actor=None)


def test_an_account_switched_on_again_revives_no_session_and_no_grant(client, identified):
    agent = identified.owner
    client.force_login(agent)
    leave(agent.person, on=timezone.localdate(), actor=None)
    from access_control.ledger import acting

    with acting(None, reason=Reason.HIRED):
        Person.objects.filter(pk=agent.person_id).update(left_on=None)
        Staff.objects.filter(pk=agent.pk).update(is_active=True)
    assert policies.may(reload(agent), "members.find_member")
    assert client.get(reverse("admin:index")).status_code == 302
    assert not MemberGrant.objects.live().exists()


def test_moving_voids_what_was_granted_and_work_is_in_the_teams_queue(identified, second_agent):
    agent = identified.owner
    move(agent.person, access_class=Person.AccessClass.PRIVACY, role=Role.AUDITOR, actor=None)
    moved = reload(agent)
    assert not policies.can(moved, "members.view_member", identified.member)
    assert not policies.may(moved, "members.find_member")
    leave(agent.person, on=timezone.localdate(), actor=None)
    assert policies.restrict(Case.objects.all(), second_agent, "members.work_case").get() == identified


def test_a_person_outside_the_three_classes_may_nothing(agent):
    move(agent.person, access_class="", actor=None)
    assert not any(policies.may(reload(agent), name) for name in PERMISSIONS[Role.AGENT])


def test_unknown_actors_and_actions_may_nothing(agent, hanako):
    from django.contrib.auth.models import AnonymousUser

    assert not policies.may(AnonymousUser(), "members.find_member")
    assert not policies.can(None, "members.find_member")
    assert not policies.can(agent, "members.no_such_thing")
    assert not policies.can(agent, "members.reveal_member")
    assert not policies.can(agent, "members.reveal_member", hanako)
    assert not agent.is_superuser
    assert not agent.has_perm("access_control.view_ledgerevent")


def test_a_weak_password_is_refused(agent):
    with pytest.raises(ValidationError):
        change_password(agent, password="short", actor=agent)
    with pytest.raises(ValidationError):
        open_account(factories.person(), username="someone", role=Role.AGENT, password="1234567890123", actor=None)
    assert reload(agent).check_password(factories.PASSWORD)


def test_changing_a_password_through_the_page_ends_other_sessions(client, agent):
    client.force_login(agent)
    answer = client.post(
        reverse("admin:password_change"),
        {
            "old_password": factories.PASSWORD,
            "new_password1": "a quite different one",
            "new_password2": "a quite different one",
        },
    )
    assert answer.status_code == 302
    assert reload(agent).check_password("a quite different one")
    assert LedgerEvent.objects.filter(event="account:password_changed", actor=agent.pk).count() == 1
    assert "password" not in [field.name for field in Staff.history.model._meta.fields]


def test_sign_in_and_its_failure_are_recorded_without_the_password(client, agent):
    assert not client.login(username=agent.username, password="wrong")
    assert client.login(username=agent.username, password=factories.PASSWORD)
    events = LedgerEvent.objects.filter(subject=agent.person_id, event__startswith="account:sign").order_by("sequence")
    assert list(events.values_list("event", "actor")) == [
        ("account:sign_in_failed", None),
        ("account:signed_in", agent.pk),
    ]


@pytest.fixture
def asked(officer):
    return ask_approval("purge", payload_hash=HASH, actor=officer, reason=Reason.DAILY_WORK)


def test_an_approval_is_given_by_another_person_and_spent_once(asked, supervisor, officer):
    approve(asked, actor=supervisor, reason=Reason.DAILY_WORK)
    use_approval(asked.pk, kind="purge", payload_hash=HASH, actor=officer, reason=Reason.SCHEDULED)
    with pytest.raises(NotApprovable):
        use_approval(asked.pk, kind="purge", payload_hash=HASH, actor=officer, reason=Reason.SCHEDULED)
    with pytest.raises(NotApprovable):
        approve(asked, actor=supervisor, reason=Reason.DAILY_WORK)


@pytest.mark.parametrize(("kind", "payload"), [("import", HASH), ("purge", b"\x02" * 32)])
def test_an_approval_covers_one_payload_only(asked, supervisor, officer, kind, payload):
    approve(asked, actor=supervisor, reason=Reason.DAILY_WORK)
    with pytest.raises(NotApprovable):
        use_approval(asked.pk, kind=kind, payload_hash=payload, actor=officer, reason=Reason.SCHEDULED)


def test_an_approval_not_given_or_expired_is_worth_nothing(asked, supervisor, officer):
    with pytest.raises(NotApprovable):
        use_approval(asked.pk, kind="purge", payload_hash=HASH, actor=officer, reason=Reason.SCHEDULED)
    with time_machine.travel(asked.expires_at, tick=False), pytest.raises(NotApprovable):
        approve(asked, actor=supervisor, reason=Reason.DAILY_WORK)


def test_an_approval_dies_with_the_access_of_either_person(asked, supervisor, officer):
    approve(asked, actor=supervisor, reason=Reason.DAILY_WORK)
    move(supervisor.person, access_class=Person.AccessClass.DIRECT, actor=None)
    with pytest.raises(NotApprovable):
        use_approval(asked.pk, kind="purge", payload_hash=HASH, actor=officer, reason=Reason.SCHEDULED)


def test_the_administrator_enters_people_and_ends_access_through_pages(client, administrator, agent):
    client.force_login(administrator)
    client.post(
        reverse("admin:access_control_person_add"),
        {
            "employee_number": "E9001",
            "display_name": "新人 一郎",
            "entity": "jp",
            "access_class": "",
            "joined_on": "2026-11-01",
        },
    )
    assert Person.objects.get(employee_number="E9001").access_class == ""
    people = reverse("admin:access_control_person_changelist")
    chosen = {"action": "left_today", "_selected_action": str(agent.person_id)}
    asks = client.post(people, chosen)
    assert agent.person.display_name in asks.content.decode()
    assert reload(agent).is_active
    client.post(people, chosen | {"confirmed": "1"})
    assert not reload(agent).is_active


def test_an_auditor_reads_the_ledger_and_changes_nothing(client, auditor, hanako):
    client.force_login(auditor)
    assert client.get(reverse("admin:access_control_ledgerevent_changelist")).status_code == 200
    event = LedgerEvent.objects.first()
    change = reverse("admin:access_control_ledgerevent_change", args=[event.pk])
    assert client.get(change).status_code == 200
    assert client.post(change, {"event": "x"}).status_code == 403
    assert client.get(reverse("admin:access_control_ledgerevent_history", args=[event.pk])).status_code == 403
    assert client.get(reverse("admin:access_control_person_add")).status_code == 403
    assert client.get(reverse("admin:members_case_changelist")).status_code == 403
    assert client.get(reverse("admin:members_member_find")).status_code == 403
