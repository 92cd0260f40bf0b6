"""Grants: what opening, closing and revoking do to an agent's access to a member."""

import datetime

from django.contrib.auth.models import Permission
from django.db import transaction
from django.utils import timezone

from access_control import locks, policies
from access_control.codes import Purpose, Reason
from access_control.events import Event
from access_control.ledger import Act, acting
from access_control.models import Staff
from access_control.vault.categories import Category
from members.models import Case, MemberGrant

# A grant outlives no working week, however long its case stays open.
GRANT_LASTS = datetime.timedelta(days=7)
GRANTED = ("view_member", "reveal_member", "correct_member")
CATEGORIES = (Category.IDENTITY, Category.CONTACT, Category.DELIVERY, Category.PAYMENT, Category.PROFILE)


def open_grants(case: Case, *, act: Act, now: datetime.datetime) -> list[MemberGrant]:
    """The case's agent may see, reveal and correct its member, until the case closes or ``GRANT_LASTS`` is over."""
    agent = case.owner
    assert case.member_id is not None
    MemberGrant.objects.filter(case=case, user=agent, ended_at=None).update(ended_at=now, end_reason=Reason.DAILY_WORK)
    permissions = Permission.objects.filter(content_type__app_label="members", codename__in=GRANTED)
    grants = MemberGrant.objects.bulk_create(
        MemberGrant(
            permission=permission,
            user=agent,
            person=agent.person,
            content_object_id=case.member_id,
            case=case,
            staff_epoch=agent.epoch,
            purpose=Purpose.COMPLAINT,
            categories=list(CATEGORIES),
            opened_at=now,
            expires_at=now + GRANT_LASTS,
        )
        for permission in permissions
    )
    act.record(Event.GRANT_OPENED, subject=case.member_id, purpose=Purpose.COMPLAINT, count=len(grants))
    return grants


def end_grants(case: Case, *, act: Act, now: datetime.datetime, reason: str) -> int:
    """Every open grant of the case is over; returns how many.

    The caller's commit waits for openings under way, also under grants that somebody else has just ended. It raises
    StillUnderWay when one has not ended in time.
    """
    grants = locks.change(MemberGrant.objects.filter(case=case, ended_at=None))
    if grants:
        keys = [grant.pk for grant in grants]
        MemberGrant.objects.filter(pk__in=keys).update(ended_at=now, end_reason=reason)
        act.record(Event.GRANT_ENDED, subject=case.member_id, count=len(grants), reason=reason)
    ended = MemberGrant.objects.filter(case=case).exclude(ended_at=None)
    transaction.on_commit(lambda: locks.wait_for_openings(list(ended)))
    return len(grants)


def revoke_grants(case: Case, *, actor: Staff, reason: str = Reason.REVOKED) -> int:
    """Somebody who oversees cases ends the access that a case gave. When it returns, nothing is opened under it.

    Raises PermissionDenied, StillUnderWay.
    """
    with acting(actor, reason=reason, case=case.pk) as act:
        policies.hold(actor, "members.revoke_grant")
        return end_grants(case, act=act, now=timezone.now(), reason=reason)
