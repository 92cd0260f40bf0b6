"""Ending and coming back, as far as the retention rules allow it: what is kept must have a date, and grace an end.

The change itself is ``members.services.membership``'s; this is the door that pages and commands go through.
"""

import datetime

from django.utils import timezone

from access_control.codes import Reason
from access_control.ledger import acting
from access_control.models import Staff
from members.models import Case, Member
from members.services import membership
from members.services.cases import hold_member, lock_case
from retention.explaining import last_day_for, rules_for
from retention.services.rules import rules_on


class GraceOver(Exception):
    """The days in which a former member may come back were over when this was asked for; ``last`` was the last."""

    def __init__(self, last: datetime.date) -> None:
        super().__init__(last.isoformat())
        self.last = last


def end_membership(case: Case, *, actor: Staff, reason: str = Reason.ASKED) -> Member:
    """The membership is over from this moment.

    Raises NoRules when no rule says until when the data is kept: nobody could be told. Else as
    :func:`members.services.membership.end_membership`.
    """
    with acting(actor, reason=reason, case=case.pk):
        if case.member is not None:
            rules_for(case.member, version=rules_on(timezone.localdate()))
        return membership.end_membership(case, actor=actor, reason=reason)


def return_to_membership(case: Case, *, actor: Staff, reason: str = Reason.CHANGED_MIND) -> Member:
    """The membership stands again, and nothing of it is due any more.

    The day the wish arrived counts: that the company is slow must not cost the member their data, and while the case
    is open none of it is destroyed. Rules that were shortened since count for no wish that came before. Raises
    GraceOver, NoRules, and as
    :func:`members.services.membership.return_to_membership`.
    """
    with acting(actor, reason=reason, case=case.pk):
        locked = lock_case(case.pk, actor=actor)
        member = hold_member(locked, actor=actor)
        if member.state == Member.State.ENDED and member.ended_at is not None:
            arrived_on = timezone.localdate(locked.arrived_at)
            last = last_day_for(member, ended_on=timezone.localdate(member.ended_at), arrived_on=arrived_on)
            if arrived_on > last:
                raise GraceOver(last)
        return membership.return_to_membership(case, actor=actor, reason=reason)
