"""Locks are taken in one order, and whoever ends access wins (number 11)."""

import datetime
import re
import threading

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from django.urls import reverse
from django.utils.translation import override

from access_control import locks, policies
from access_control.access_services import ask_move
from access_control.codes import Reason
from access_control.ledger import acting
from access_control.locks import LockOrder, StillUnderWay
from access_control.models import AccessRequest, LedgerEvent, Person, Staff
from access_control.services import BUSY, leave, move
from members.models import Case, Member, MemberGrant
from members.services.grants import revoke_grants
from members.services.identity import check_identity
from tests import factories
from tests.databases import somebody_waits

REVEAL = "members.reveal_member"


def test_a_step_down_the_order_is_refused_whoever_is_there(agent, identified, hanako):
    """Number 11: person, account, grant, member, case; each pair the other way round is a mistake that is found."""
    ladder = [
        Person.objects.filter(pk=agent.person_id),
        Staff.objects.filter(pk=agent.pk),
        MemberGrant.objects.filter(case=identified),
        Member.objects.filter(pk=hanako.pk),
        Case.objects.filter(pk=identified.pk),
    ]
    with locks.in_order():
        for step in ladder:
            assert locks.keep(step)
    for high, upper in enumerate(ladder):
        for lower in ladder[:high]:
            with locks.in_order():
                locks.keep(upper)
                with pytest.raises(LockOrder):
                    locks.change(lower)


def test_two_rows_of_a_kind_are_locked_up_their_ids(agent, second_agent):
    """Number 11."""
    first, second = sorted([agent.pk, second_agent.pk])
    with locks.in_order():
        assert [row.pk for row in locks.change(Staff.objects.filter(pk__in=[second, first]))] == [first, second]
    with locks.in_order():
        locks.change_one(Staff, second)
        with pytest.raises(LockOrder):
            locks.change_one(Staff, first)


def test_what_belongs_to_a_case_comes_last(agent, identified, hanako):
    """Number 11."""
    with locks.in_order():
        locks.share(hanako.contactpoint_set.all())
        with pytest.raises(LockOrder):
            locks.change_one(Member, hanako.pk)


def test_what_is_locked_already_may_be_asked_for_again_and_what_was_undone_is_forgotten(agent, identified, hanako):
    """Number 11."""
    with locks.in_order():
        locks.change_one(Member, hanako.pk)
        with pytest.raises(ZeroDivisionError), locks.attempt():
            1 / bool(locks.change_one(Case, identified.pk).closed_at)
        with pytest.raises(LockOrder):
            locks.change_one(Staff, agent.pk)
        locks.share(Member.objects.filter(pk=hanako.pk))


def test_a_row_that_is_not_there_is_said_to_be_missing(hanako):
    with pytest.raises(Staff.DoesNotExist):
        locks.change_one(Staff, hanako.pk)
    assert locks.keep(Staff.objects.none()) == []


CHANGES = [
    (Staff, {"is_active": False}),
    (Staff, {"epoch": 9}),
    (Staff, {"role": "auditor"}),
    (Person, {"left_on": factories.TODAY}),
    (Person, {"access_class": ""}),
    (MemberGrant, {"ended_at": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)}),
    (MemberGrant, {"expires_at": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)}),
]


@pytest.mark.parametrize(("model", "change"), CHANGES, ids=[f"{m.__name__} {next(iter(c))}" for m, c in CHANGES])
def test_each_condition_is_asked_again_in_the_database(agent, identified, hanako, model, change):
    """Number 31: one condition at a time is taken away, behind the back of the account in the page's hands."""
    policies.hold(agent, REVEAL, targets=[hanako], rows=[hanako])
    row = {Staff: {"pk": agent.pk}, Person: {"pk": agent.person_id}, MemberGrant: {"case": identified}}[model]
    with acting(None, reason=Reason.MOVED):
        model.objects.filter(**row).update(**change)
    with pytest.raises(PermissionDenied):
        policies.hold(agent, REVEAL, targets=[hanako], rows=[hanako])
    if model is not MemberGrant:
        with pytest.raises(PermissionDenied):
            policies.hold(agent, "members.find_member")


def test_a_grant_for_one_thing_is_none_for_another(agent, identified, hanako):
    """Number 31: the codename of the grant is asked, wherever grants are."""
    with acting(None, reason=Reason.REVOKED):
        MemberGrant.objects.filter(permission__codename="reveal_member").update(ended_at=identified.arrived_at)
    assert policies.can(agent, "members.view_member", hanako)
    assert not policies.can(agent, REVEAL, hanako)
    with pytest.raises(PermissionDenied):
        policies.live_grant(agent, REVEAL, hanako)
    with pytest.raises(PermissionDenied):
        policies.hold(agent, REVEAL, targets=[hanako])


def test_what_needs_a_grant_is_never_held_by_role_alone(agent, identified, hanako):
    """Number 31."""
    with pytest.raises(PermissionDenied):
        policies.hold(agent, REVEAL)


def test_a_row_that_has_gone_is_not_held(agent, identified, hanako):
    """Number 31: the object of the grant is looked at again too."""
    policies.hold(agent, REVEAL, targets=[hanako], rows=[hanako])
    with pytest.raises(PermissionDenied):
        policies.hold(agent, REVEAL, targets=[hanako], rows=[Member(pk=agent.pk)])


def test_a_model_without_a_rule_of_sight_shows_nothing(officer):
    """Number 31: closed by default."""
    from members.models import CaseNote

    assert not hasattr(CaseNote, "restriction")
    assert policies.may(officer, "members.view_case") or policies.may(officer, "retention.view_plan")
    action = "members.view_case" if policies.may(officer, "members.view_case") else "retention.view_plan"
    assert policies.restrict(CaseNote.objects.all(), officer, action).query.is_empty()


@pytest.mark.parametrize("change", [{"is_active": False}, {"role": "auditor"}])
def test_may_asks_the_account(agent, change):
    """Number 31."""
    assert policies.may(agent, "members.find_member")
    for name, value in change.items():
        setattr(agent, name, value)
    assert not policies.may(agent, "members.find_member")


def test_may_asks_whether_the_person_has_left(agent):
    """Number 31."""
    agent.person.left_on = factories.TODAY
    assert not policies.may(agent, "members.find_member")


@pytest.mark.parametrize("change", [{"is_active": False}, {"person": {"left_on": factories.TODAY}}, {"epoch": 2}])
def test_a_live_grant_asks_the_account_and_the_person(agent, identified, change):
    """Number 31."""
    assert MemberGrant.objects.live().count() == 3
    with acting(None, reason=Reason.MOVED):
        if "person" in change:
            Person.objects.filter(pk=agent.person_id).update(**change["person"])
        else:
            Staff.objects.filter(pk=agent.pk).update(**change)
    assert MemberGrant.objects.live().count() == 0


# Who waits for whom


@pytest.fixture
def scene(committed):
    agent, supervisor, member = factories.staff("agent"), factories.staff("supervisor"), factories.member()
    return agent, supervisor, factories.identify(factories.case(member, agent))


class Opening(threading.Thread):
    """An opening under way: holds what an opening holds until ``finish`` is set."""

    def __init__(self, agent, member):
        super().__init__()
        self.agent, self.member = agent, member
        self.held, self.finish = threading.Event(), threading.Event()

    def run(self):
        try:
            with locks.in_order(), transaction.atomic():
                policies.hold(self.agent, REVEAL, targets=[self.member], rows=[self.member])
                self.held.set()
                assert self.finish.wait(timeout=60)
        finally:
            connections.close_all()


@pytest.fixture
def opening(scene):
    agent, _supervisor, case = scene
    thread = Opening(agent, case.member)
    thread.start()
    assert thread.held.wait(timeout=30)
    yield thread
    thread.finish.set()
    thread.join(timeout=30)


ENDS = {
    "leave": lambda agent, supervisor, case: leave(agent.person, on=factories.TODAY, actor=None),
    "move": lambda agent, supervisor, case: move(agent.person, access_class="direct", actor=None),
    "revoke": lambda agent, supervisor, case: revoke_grants(case, actor=supervisor),
}


@pytest.mark.parametrize("end", ENDS)
def test_whoever_ends_access_is_on_record_before_they_wait_so_nothing_new_begins(scene, opening, end):
    """Number 11: an opening under way is waited for; a new one that comes meanwhile is refused and waits for nobody."""
    agent, _supervisor, case = scene
    returned = threading.Event()

    def ending():
        try:
            ENDS[end](*scene)
            returned.set()
        finally:
            connections.close_all()

    ender = threading.Thread(target=ending)
    ender.start()
    assert somebody_waits()
    assert not returned.is_set()
    assert not MemberGrant.objects.live().filter(case=case).exists()
    with pytest.raises(PermissionDenied), locks.in_order(), transaction.atomic():
        policies.hold(agent, REVEAL, targets=[case.member])
    opening.finish.set()
    ender.join(timeout=30)
    assert returned.is_set()


@pytest.mark.parametrize("end", ENDS)
def test_what_is_stuck_is_waited_for_a_bounded_time_and_the_end_stands(scene, opening, end, monkeypatch):
    """Number 11: then a sentence says what to do, and nothing new is opened all the same."""
    agent, _supervisor, case = scene
    monkeypatch.setattr(locks, "LONGEST_WAIT", datetime.timedelta(milliseconds=200))
    with pytest.raises(StillUnderWay) as stuck:
        ENDS[end](*scene)
    assert stuck.value.done
    assert not MemberGrant.objects.live().filter(case=case).exists()
    assert LedgerEvent.objects.filter(event__in=["person:left", "person:moved", "grant:ended"]).count() == 1
    with pytest.raises(PermissionDenied):
        policies.hold(agent, REVEAL, targets=[case.member])


def test_an_account_that_somebody_locks_for_good_is_waited_for_a_bounded_time_too(scene, as_role, monkeypatch):
    """Number 11: then nothing was changed, and the sentence says so."""
    agent, _supervisor, _case = scene
    monkeypatch.setattr(locks, "LONGEST_WAIT", datetime.timedelta(milliseconds=200))
    with as_role("app") as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT 1 FROM access_control_staff WHERE id = %s FOR SHARE", [agent.pk])
        with pytest.raises(StillUnderWay) as stuck:
            leave(agent.person, on=factories.TODAY, actor=None)
        cursor.execute("ROLLBACK")
    assert not stuck.value.done
    assert str(stuck.value) == str(BUSY)
    agent.refresh_from_db()
    assert agent.is_active
    leave(agent.person, on=factories.TODAY, actor=None)


@pytest.fixture
def held(scene, as_role, monkeypatch):
    """The agent's account is held by another session for as long as the test lasts."""
    monkeypatch.setattr(locks, "LONGEST_WAIT", datetime.timedelta(milliseconds=200))
    with as_role("app") as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT 1 FROM access_control_staff WHERE id = %s FOR SHARE", [scene[0].pk])
        yield scene[0].person
        cursor.execute("ROLLBACK")


def test_a_page_that_meets_a_held_row_says_so_in_a_sentence(client, held):
    """Whatever page it is: the person reads that nothing was changed, and what to do; nothing was."""
    administrator, officer = factories.staff("administrator"), factories.staff("officer")
    wanted = ask_move(held, access_class="privacy", role="auditor", actor=administrator)
    client.force_login(administrator)
    page = client.post(reverse("admin:access_control_person_move", args=[held.pk]), {"access_class": ""})
    assert page.status_code == 409
    assert str(BUSY) in page.content.decode()
    client.force_login(officer)
    agreeing = {"decision": "agree", "shown": wanted.digest().hex()}
    page = client.post(reverse("admin:access_control_accessrequest_change", args=[wanted.pk]), agreeing)
    assert page.status_code == 409
    assert str(BUSY) in page.content.decode()
    held.refresh_from_db()
    assert held.access_class == "direct"
    assert AccessRequest.objects.waiting().filter(pk=wanted.pk).exists()


def test_a_command_that_meets_a_held_row_says_so_in_a_sentence(held):
    with override("en"):
        busy = re.escape(str(BUSY))
    with pytest.raises(CommandError, match=busy) as refusal:
        call_command("end_access", held.employee_number)
    assert refusal.value.returncode == 1


def test_the_list_of_people_says_ended_only_of_whoever_has(client, held):
    administrator, other = factories.staff("administrator"), factories.person()
    client.force_login(administrator)
    clicked = {"action": "left_today", "confirmed": "1", "_selected_action": [held.pk, other.pk]}
    page = client.post(reverse("admin:access_control_person_changelist"), clicked, follow=True)
    assert [(said.level_tag, str(said)[0]) for said in page.context["messages"]] == [
        ("warning", held.display_name[0]),
        ("success", "1"),
    ]
    held.refresh_from_db()
    assert held.left_on is None


def test_the_list_of_people_says_ended_also_where_a_page_is_stuck(client, scene, opening, monkeypatch):
    """The departure is on record and nothing new is opened, so it has ended, and the sentence says what is left."""
    monkeypatch.setattr(locks, "LONGEST_WAIT", datetime.timedelta(milliseconds=200))
    client.force_login(factories.staff("administrator"))
    clicked = {"action": "left_today", "confirmed": "1", "_selected_action": [scene[0].person_id]}
    page = client.post(reverse("admin:access_control_person_changelist"), clicked, follow=True)
    assert [said.level_tag for said in page.context["messages"]] == ["warning", "success"]


def test_grants_that_open_while_a_case_is_waited_for_are_ended_with_it(scene, as_role):
    """Number 11: whoever ends the grants of a case looks again, and starts anew in order, when more have come."""
    agent, supervisor, first = scene
    case = factories.case(first.member, agent)
    identifying = threading.Thread(
        target=lambda: (
            check_identity(case, said=factories.RIGHT_ANSWERS, actor=agent),
            connections.close_all(),
        )
    )
    from members.services.cases import hand_over

    second = factories.staff("agent")
    failures = []

    def handing():
        try:
            hand_over(case, to=second, actor=supervisor)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test must say so
            failures.append(error)
        finally:
            connections.close_all()

    with as_role("app") as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT 1 FROM members_member WHERE id = %s FOR SHARE", [case.member_id])
        identifying.start()
        assert somebody_waits()
        other = threading.Thread(target=handing)
        other.start()
        cursor.execute("ROLLBACK")
        identifying.join(timeout=30)
        other.join(timeout=30)
    assert failures == []
    live = MemberGrant.objects.live().filter(case=case)
    assert set(live.values_list("user", flat=True)) == {second.pk}
