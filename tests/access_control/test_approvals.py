"""An approval holds while both persons are here, each under the account they had (Number 31)."""

import datetime

import pytest
from django.db.models import F

from access_control.codes import Reason
from access_control.ledger import acting
from access_control.models import Person, Staff
from access_control.services import NotApprovable, approval_stands, approve, ask_approval, use_approval
from tests import factories

NAMED = {"kind": "purge", "payload_hash": b"\x01" * 32}


def moved(person):
    """The account has another epoch; the person is here."""
    with acting(None, reason=Reason.MOVED):
        Staff.objects.filter(person=person).update(epoch=F("epoch") + 1)


def gone(person):
    """The person has left, and nothing else was changed."""
    with acting(None, reason=Reason.LEFT):
        Person.objects.filter(pk=person.pk).update(left_on=datetime.date(2026, 11, 1))


@pytest.fixture
def agreed():
    """(approval, who asked, who agreed)."""
    asker, approver = factories.staff("supervisor"), factories.staff("officer")
    approval = ask_approval(**NAMED, actor=asker, reason=Reason.DAILY_WORK)
    return approve(approval, actor=approver, reason=Reason.DAILY_WORK), asker.person, approver.person


def spend(approval):
    use_approval(approval.pk, **NAMED, actor=None, reason=Reason.DAILY_WORK)


@pytest.mark.parametrize("change", [moved, gone])
@pytest.mark.parametrize("who", [1, 2], ids=["asked", "agreed"])
def test_whoever_moved_or_left_voids_it(agreed, change, who):
    """Number 31: before it is used, and for what is done under it afterwards."""
    change(agreed[who])
    with pytest.raises(NotApprovable):
        spend(agreed[0])


@pytest.mark.parametrize("change", [moved, gone])
@pytest.mark.parametrize("who", [1, 2], ids=["asked", "agreed"])
def test_what_was_used_stands_no_more(agreed, change, who):
    """Number 31."""
    spend(agreed[0])
    assert approval_stands(agreed[0].pk, **NAMED)
    change(agreed[who])
    assert not approval_stands(agreed[0].pk, **NAMED)
