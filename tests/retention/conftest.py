"""A member whose membership ended long ago, and runs as the purger."""

import contextlib
import datetime

from django.utils import timezone

from access_control.codes import Reason
from access_control.ledger import acting
from members.models import Member
from retention.services.planning import approve_plan, make_plan
from retention.services.purging import run_plan
from retention.services.verifying import verify_plan
from tests import factories
from tests.databases import become

LONG_AGO = datetime.timedelta(days=60)


@contextlib.contextmanager
def as_(role):
    """Inside, both databases are used as ``role``."""
    become(role)
    try:
        yield
    finally:
        become("app")


def ended(member, *, ago=LONG_AGO):
    """The membership ended some time ago."""
    with acting(None, reason=Reason.ASKED):
        Member.objects.filter(pk=member.pk).update(state=Member.State.ENDED, ended_at=timezone.now() - ago)
    member.refresh_from_db()
    return member


def decided_long_ago(correction):
    """The correction was decided some time ago."""
    with acting(None, reason=Reason.ASKED):
        type(correction).objects.filter(pk=correction.pk).update(decided_at=timezone.now() - LONG_AGO)


def approved(day=None):
    """A plan for today that an officer has approved."""
    plan = make_plan(day or timezone.localdate(), actor=None)
    return approve_plan(plan, actor=factories.staff("officer"))


def run(plan):
    """The run, as the role that may."""
    with as_("purger"):
        return run_plan(plan)


def verify(plan):
    """The verification, as the role that may."""
    with as_("reader"):
        return verify_plan(plan)
