"""Access that a case gives: to whom, for how long, and what ends it."""

import datetime

import pytest
import time_machine
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from access_control import policies
from access_control.codes import Reason
from access_control.ledger import acting
from access_control.models import LedgerEvent, Person, Staff
from access_control.services import leave, move
from members.models import Member, MemberGrant
from members.services.grants import CATEGORIES, GRANTED, end_grants, open_grants, revoke_grants
from tests import factories

REVEAL = "members.reveal_member"
ACTIONS = [f"members.{name}" for name in GRANTED]


def sees(staff, member):
    """What an account may do to a member now, asked both ways."""
    staff = Staff.objects.select_related("person").get(pk=staff.pk)
    allowed = [action for action in ACTIONS if policies.can(staff, action, member)]
    listed = [
        action for action in ACTIONS if policies.restrict(Member.objects.filter(pk=member.pk), staff, action).exists()
    ]
    assert allowed == listed
    return allowed


def test_an_identified_case_lets_its_agent_see_reveal_and_correct_its_member_only(
    agent, second_agent, supervisor, officer, auditor, administrator, identified, hanako
):
    assert sees(agent, hanako) == ACTIONS
    assert sees(agent, factories.member()) == []
    for other in (second_agent, supervisor, officer, auditor, administrator):
        assert sees(other, hanako) == []
    for grant in MemberGrant.objects.all():
        assert (grant.person, grant.staff_epoch, grant.case) == (agent.person, agent.epoch, identified)
        assert grant.categories == list(CATEGORIES)
        assert grant.expires_at - grant.opened_at == datetime.timedelta(days=7)


def test_an_unidentified_case_lets_nobody(agent, call, hanako):
    assert sees(agent, hanako) == []


def test_without_an_object_a_grant_is_never_assumed(agent, identified):
    assert [action for action in ACTIONS if policies.can(agent, action)] == []


def test_a_grant_ends_by_itself_on_the_databases_clock(agent, identified, hanako):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE members_membergrant SET expires_at = clock_timestamp() - interval '1 second'")
    assert sees(agent, hanako) == []
    # Whoever turns the web server's clock back gains nothing.
    with time_machine.travel(timezone.now() - datetime.timedelta(days=30)):
        assert sees(agent, hanako) == []


def test_turning_the_web_servers_clock_forward_takes_nothing_away(agent, identified, hanako):
    with time_machine.travel(timezone.now() + datetime.timedelta(days=30)):
        assert sees(agent, hanako) == ACTIONS


def test_leaving_ends_access_and_coming_back_does_not_revive_it(agent, identified, hanako):
    leave(agent.person, on=factories.TODAY, actor=None)
    assert sees(agent, hanako) == []
    with acting(None, reason=Reason.HIRED):
        Person.objects.filter(pk=agent.person_id).update(left_on=None)
        Staff.objects.filter(pk=agent.pk).update(is_active=True)
    assert MemberGrant.objects.filter(ended_at=None).count() == 3
    assert sees(agent, hanako) == []


def test_moving_ends_access_even_within_the_same_role(agent, identified, hanako):
    move(agent.person, access_class=Person.AccessClass.DIRECT, actor=None)
    assert sees(agent, hanako) == []


@pytest.mark.parametrize(
    "change", [{"is_active": False}, {"role": "auditor"}, {"role": "nobody"}], ids=["inactive", "role", "unknown role"]
)
def test_a_grant_alone_is_worth_nothing(agent, identified, hanako, change):
    with acting(None, reason=Reason.MOVED):
        Staff.objects.filter(pk=agent.pk).update(**change)
    assert sees(agent, hanako) == []


def test_a_person_outside_the_three_classes_has_no_access(agent, identified, hanako):
    with acting(None, reason=Reason.MOVED):
        Person.objects.filter(pk=agent.person_id).update(access_class="")
    assert sees(agent, hanako) == []


def test_opening_again_leaves_one_open_grant_for_each_permission(agent, identified, hanako):
    with acting(agent, reason=Reason.DAILY_WORK, case=identified.pk) as act:
        open_grants(identified, act=act, now=timezone.now())
    assert MemberGrant.objects.filter(ended_at=None).count() == 3
    assert MemberGrant.objects.count() == 6
    assert sees(agent, hanako) == ACTIONS


def test_revoking_ends_the_access_of_a_case_and_is_recorded(agent, supervisor, identified, hanako, events_of):
    assert revoke_grants(identified, actor=supervisor) == 3
    assert sees(agent, hanako) == []
    event = LedgerEvent.objects.filter(subject=hanako.pk).latest("sequence")
    assert (event.event, event.actor, event.reason, event.count) == (
        "grant:ended",
        supervisor.pk,
        Reason.REVOKED,
        3,
    )
    assert set(MemberGrant.objects.values_list("end_reason", flat=True)) == {Reason.REVOKED}


def test_revoking_one_case_leaves_another_cases_access(agent, supervisor, identified, hanako):
    second = factories.identify(factories.case(hanako, agent))
    revoke_grants(identified, actor=supervisor)
    assert sees(agent, hanako) == ACTIONS
    revoke_grants(second, actor=supervisor)
    assert sees(agent, hanako) == []


def test_revoking_what_was_never_granted_records_nothing(officer, call, hanako, events_of):
    assert revoke_grants(call, actor=officer) == 0
    assert "grant:ended" not in events_of(hanako)


@pytest.mark.parametrize("role", ["agent", "second_agent", "auditor", "administrator"])
def test_who_does_not_oversee_revokes_nothing(role, agent, identified, hanako, request):
    with pytest.raises(PermissionDenied):
        revoke_grants(identified, actor=request.getfixturevalue(role))
    assert sees(agent, hanako) == ACTIONS


def test_a_grant_ends_once_and_lives_no_longer(agent, identified, hanako):
    """PostgreSQL: not even the application revives what ended."""
    grants = MemberGrant.objects.filter(case=identified)
    later = timezone.now() + datetime.timedelta(days=90)
    changes = [{"expires_at": later}]
    grants.update(ended_at=timezone.now(), end_reason=Reason.ASKED)
    changes += [{"ended_at": None, "end_reason": ""}, {"ended_at": later}, {"end_reason": Reason.LEFT}]
    for change in changes:
        with pytest.raises(DatabaseError) as refused, transaction.atomic():
            grants.update(**change)
        assert refused.value.__cause__.sqlstate == "CA021"
    assert not MemberGrant.objects.live().filter(case=identified).exists()


def test_ending_is_done_once(agent, identified):
    now = timezone.now()
    with acting(agent, reason=Reason.CASE_CLOSED, case=identified.pk) as act:
        assert end_grants(identified, act=act, now=now, reason=Reason.CASE_CLOSED) == 3
        assert end_grants(identified, act=act, now=now, reason=Reason.REVOKED) == 0
    assert set(MemberGrant.objects.values_list("end_reason", flat=True)) == {Reason.CASE_CLOSED}


def test_a_grant_is_looked_up_for_its_holder_only(agent, second_agent, identified, hanako):
    assert policies.live_grant(agent, REVEAL, hanako).case == identified
    with pytest.raises(PermissionDenied):
        policies.live_grant(second_agent, REVEAL, hanako)


def test_a_reveal_under_way_is_stopped_by_whatever_ended_since(agent, identified, hanako):
    grant = policies.live_grant(agent, REVEAL, hanako)
    policies.hold(agent, REVEAL, targets=[hanako], pk=grant.pk)
    with transaction.atomic():
        MemberGrant.objects.filter(pk=grant.pk).update(ended_at=timezone.now())
        with pytest.raises(PermissionDenied):
            policies.hold(agent, REVEAL, targets=[hanako], pk=grant.pk)
        transaction.set_rollback(True)
    policies.hold(agent, REVEAL, targets=[hanako], pk=grant.pk)
    move(agent.person, access_class=Person.AccessClass.DIRECT, actor=None)
    with pytest.raises(PermissionDenied):
        policies.hold(agent, REVEAL, targets=[hanako], pk=grant.pk)
