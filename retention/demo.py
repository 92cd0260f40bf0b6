"""What the demo needs of this app: rules, memberships that ended before, and a legal hold."""

import datetime

from django.utils import timezone

from access_control.codes import Reason
from access_control.ledger import acting
from access_control.models import Staff
from consent.policy_text import REVISED
from members.models import Case, Member
from retention.models import LegalHold, RuleVersion
from retention.services.holds import place_legal_hold
from retention.services.rules import built_in, publish_rules

# Memberships that ended in the marketplace before its data came here, and how many days ago.
ENDED_BEFORE = 12
ENDED_DAYS_AGO = 45


def load(now: datetime.datetime) -> None:
    """Rules in force, some memberships ended and due, one of them on hold; what is there already stays."""
    if not RuleVersion.objects.exists():
        publish_rules(built_in(), effective_on=REVISED, actor=None)
    if Member.objects.exclude(state=Member.State.ACTIVE).exists() or LegalHold.objects.exists():
        return
    in_a_case = Case.objects.filter(member__isnull=False).values("member")
    # Not the first: she is the caller of the README's walk.
    chosen = list(Member.objects.exclude(pk__in=in_a_case).order_by("pk")[1 : 1 + ENDED_BEFORE])
    ended_at = timezone.localtime(now) - datetime.timedelta(days=ENDED_DAYS_AGO)
    with acting(None, reason=Reason.IMPORTED):
        Member.objects.filter(pk__in=[member.pk for member in chosen], joined_on__lte=ended_at.date()).update(
            state=Member.State.ENDED, ended_at=ended_at
        )
    officer = Staff.objects.filter(username="officer").select_related("person").first()
    if chosen and officer is not None:
        place_legal_hold(chosen[-1], ground=LegalHold.Ground.LITIGATION, actor=officer)
