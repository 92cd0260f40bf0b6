"""Ending and coming back within what the retention rules allow."""

import dataclasses
import datetime

import pytest
from django.core.exceptions import PermissionDenied
from django.urls import reverse
from django.utils import timezone

from access_control.models import LedgerEvent
from members.events import Event
from members.models import Case, Member, Notice
from members.services.cases import NotIdentified, WrongKind, open_case
from members.services.membership import NotEnded
from retention.due import due_now
from retention.models import PlanExclusion, Start
from retention.services.memberships import (
    GraceOver,
    end_membership,
    return_to_membership,
)
from retention.services.planning import make_plan
from retention.services.rules import NoRules, built_in, publish_rules, rules_on
from tests import factories
from tests.retention.test_explaining import last_day

# Later than the database's own clock, by which grants expire.
NOON = datetime.datetime(2046, 11, 2, 3, tzinfo=datetime.UTC)


@pytest.fixture(autouse=True)
def noon(time_machine):
    time_machine.move_to(NOON, tick=False)


@pytest.fixture
def ended(agent, hanako):
    """A former member since 2 November 2046."""
    return end_membership(factories.identify(factories.case(hanako, agent, kind="ending")), actor=agent)


def coming_back(member, agent, **fields):
    """A case in which the identified former member asks to come back."""
    return factories.identify(open_case(member, kind="return", channel="letter", actor=agent, **fields))


def due(member):
    return due_now([member.pk], datetime.date(2099, 1, 1), version=rules_on(timezone.localdate()))


def excluded(member):
    plan = make_plan(timezone.localdate(), actor=None)
    return PlanExclusion.objects.filter(plan=plan, subject=member.pk).values_list("line_count", "reason")


def test_coming_back_takes_everything_out_of_due(agent, ended, events_of):
    assert last_day(ended) == datetime.date(2046, 12, 2)
    assert {key.due_on for key in due(ended)} == {datetime.date(2046, 12, 3)}
    back = return_to_membership(coming_back(ended, agent), actor=agent)
    assert back.state == Member.State.ACTIVE
    assert due(back) == []
    assert events_of(ended).count(Event.RETURNED) == 1
    assert list(Notice.objects.order_by("queued_at", "pk").values_list("kind", flat=True)) == ["ended", "returned"]


def test_the_last_day_is_a_day_to_come_back_and_the_next_is_not(agent, ended, time_machine):
    # 23:59 in Tokyo, then 00:00.
    time_machine.move_to(datetime.datetime(2046, 12, 2, 14, 59, tzinfo=datetime.UTC), tick=False)
    factories.identify(in_time := factories.case(ended, agent, kind="return"))
    time_machine.move_to(datetime.datetime(2046, 12, 2, 15, 0, tzinfo=datetime.UTC), tick=False)
    late = coming_back(ended, agent)
    with pytest.raises(GraceOver) as over:
        return_to_membership(late, actor=agent)
    assert over.value.last == datetime.date(2046, 12, 2)
    ended.refresh_from_db()
    assert ended.state == Member.State.ENDED
    assert not LedgerEvent.objects.filter(event=Event.RETURNED).exists()
    # What arrived in time is in time, however long the company takes.
    assert return_to_membership(in_time, actor=agent).state == Member.State.ACTIVE


def test_a_letter_counts_from_its_arrival(agent, ended, time_machine):
    time_machine.move_to(NOON + datetime.timedelta(days=31), tick=False)
    letter = coming_back(ended, agent, arrived_at=NOON + datetime.timedelta(days=28))
    assert return_to_membership(letter, actor=agent).state == Member.State.ACTIVE


def test_a_letter_that_came_in_time_wins_whenever_it_is_opened(agent, ended, time_machine):
    """Number 8: past the day on which the data is due, and although shorter rules have come into force since."""
    time_machine.move_to(datetime.datetime(2046, 12, 30, 3, tzinfo=datetime.UTC), tick=False)
    assert {key.due_on for key in due(ended)} == {datetime.date(2046, 12, 3)}
    shorter = {
        entity: [
            dataclasses.replace(period, keep=(0, 5)) if period.start == Start.MEMBERSHIP_ENDED else period
            for period in periods
        ]
        for entity, periods in built_in().items()
    }
    publish_rules(shorter, effective_on=datetime.date(2046, 12, 20), actor=None)
    last = datetime.datetime(2046, 12, 2, 14, 59, tzinfo=datetime.UTC)
    letter = coming_back(ended, agent, arrived_at=last)
    assert {why for _line, why in excluded(ended)} == {"open_case"}
    late = coming_back(ended, agent, arrived_at=last + datetime.timedelta(minutes=1))
    with pytest.raises(GraceOver):
        return_to_membership(late, actor=agent)
    assert return_to_membership(letter, actor=agent).state == Member.State.ACTIVE


def test_a_case_may_be_opened_with_the_day_the_letter_came(client, agent, ended):
    """Number 8: the page takes the day of arrival, and neither a day to come nor a slip of the pen."""
    client.force_login(agent)
    address = reverse("admin:members_member_open", args=[ended.pk])
    asked = {"kind": "return", "channel": "letter"}
    for day in ("2046-11-03", "2044-11-02", "yesterday"):
        client.post(address, asked | {"arrived_on": day})
    assert not Case.objects.filter(kind="return").exists()
    client.post(address, asked | {"arrived_on": "2046-10-30"})
    opened = Case.objects.get(kind="return")
    assert timezone.localdate(opened.arrived_at) == datetime.date(2046, 10, 30)
    client.post(address, asked)
    assert Case.objects.filter(kind="return", arrived_at=NOON).exists()


def test_who_comes_back_and_leaves_again_has_the_whole_grace_again(agent, ended, time_machine):
    back = return_to_membership(coming_back(ended, agent), actor=agent)
    time_machine.shift(datetime.timedelta(days=20))
    again = end_membership(factories.identify(factories.case(back, agent, kind="ending")), actor=agent)
    assert last_day(again) == datetime.date(2046, 12, 22)


def test_without_rules_no_membership_ends(agent, hanako, monkeypatch):
    def none(day):
        raise NoRules

    case = factories.identify(factories.case(hanako, agent, kind="ending"))
    monkeypatch.setattr("retention.services.memberships.rules_on", none)
    with pytest.raises(NoRules):
        end_membership(case, actor=agent)
    hanako.refresh_from_db()
    assert hanako.state == Member.State.ACTIVE
    assert not Notice.objects.exists()


def test_refusals_of_the_lower_door_come_through(agent, second_agent, hanako, ended):
    with pytest.raises(NotIdentified):
        end_membership(open_case(None, kind="ending", channel="phone", actor=agent), actor=agent)
    with pytest.raises(NotIdentified):
        return_to_membership(factories.case(ended, agent, kind="return"), actor=agent)
    with pytest.raises(PermissionDenied):
        return_to_membership(coming_back(ended, agent), actor=second_agent)
    inquiry = factories.identify(factories.case(ended, agent, kind=Case.Kind.INQUIRY))
    with pytest.raises(WrongKind):
        return_to_membership(inquiry, actor=agent)
    standing = factories.member()
    with pytest.raises(NotEnded):
        return_to_membership(coming_back(standing, agent), actor=agent)
