"""Ending a membership and coming back (P7): each in a case of its own kind, asked for by the identified member.

From the moment a membership ends the gate refuses every use and provision; what of the data is kept, and until when,
the retention rules derive from that moment. Until the data is destroyed the membership can stand again.
"""

import dataclasses
import datetime
import uuid

from django.utils import timezone

from access_control.codes import Reason
from access_control.ledger import Act, acting
from access_control.models import Staff
from access_control.openings import opening
from access_control.vault import store
from access_control.vault.categories import Category
from members.events import Event
from members.models import Case, Correction, Member, Notice
from members.services.cases import WrongKind, hold_member, lock_case
from members.services.locking import DataDestroyed
from members.services.notices import mails_on_file, queue_notices
from members.services.registration import DATA_CATEGORIES

__all__ = ["AlreadyEnded", "DataDestroyed", "NotEnded", "Undecided", "end_membership", "return_to_membership"]


class AlreadyEnded(Exception):
    """The membership has ended before."""


class NotEnded(Exception):
    """The membership stands; there is nothing to come back to."""


@dataclasses.dataclass(frozen=True)
class Pending:
    """A correction to decide first: the reference of its case, and the item's code."""

    reference: str
    item: str


class Undecided(Exception):
    """Corrections of this member are pending; ending would leave them neither applied nor refused."""

    def __init__(self, pending: tuple[Pending, ...]) -> None:
        super().__init__(f"{len(pending)} corrections are pending")
        self.pending = pending


def pending_corrections(member: Member) -> tuple[Pending, ...]:
    """The corrections of a member that are neither applied nor refused, in whatever case, oldest first."""
    asked = Correction.objects.filter(member=member, state=Correction.State.ASKED).order_by("asked_at")
    return tuple(Pending(*row) for row in asked.values_list("case__reference", "item"))


def end_membership(case: Case, *, actor: Staff, reason: str = Reason.ASKED) -> Member:
    """The membership is over from this moment; the member is told at every mail address on file.

    The member's other open cases stay open. Raises AlreadyEnded, Undecided, WrongKind, NotIdentified,
    PermissionDenied, CaseClosed.
    """
    now = timezone.now()
    with acting(actor, reason=reason, case=case.pk) as act:
        case, member = _hold(case, Case.Kind.ENDING, actor=actor)
        if member.state != Member.State.ACTIVE:
            raise AlreadyEnded
        if pending := pending_corrections(member):
            raise Undecided(pending)
        member.state, member.ended_at = Member.State.ENDED, now
        member.save(update_fields=["state", "ended_at"])
        event = act.record(Event.ENDED, subject=member.pk)
        _tell(case, member, Notice.Kind.ENDED, event, act=act, now=now)
    return member


def return_to_membership(case: Case, *, actor: Staff, reason: str = Reason.CHANGED_MIND) -> Member:
    """The membership stands again, as if it had not ended; the member is told at every mail address on file.

    How long that is possible, the retention rules say: see ``retention.services.memberships``. Raises NotEnded,
    DataDestroyed, WrongKind, NotIdentified, PermissionDenied, CaseClosed.
    """
    now = timezone.now()
    with acting(actor, reason=reason, case=case.pk) as act:
        case, member = _hold(case, Case.Kind.RETURN, actor=actor)
        if member.state == Member.State.ACTIVE:
            raise NotEnded
        if member.state == Member.State.DESTROYED or _destroyed(member):
            raise DataDestroyed
        member.state, member.ended_at = Member.State.ACTIVE, None
        member.save(update_fields=["state", "ended_at"])
        event = act.record(Event.RETURNED, subject=member.pk)
        _tell(case, member, Notice.Kind.RETURNED, event, act=act, now=now)
    return member


def _hold(case: Case, kind: str, *, actor: Staff) -> tuple[Case, Member]:
    case = lock_case(case.pk, actor=actor)
    if case.kind != kind:
        raise WrongKind
    return case, hold_member(case, actor=actor)


def _destroyed(member: Member) -> bool:
    """Whether the newest key of any category is a fence: a destruction that was interrupted before it told the rows."""
    keys = sorted(store.status([member.pk]), key=lambda key: key.ref.generation)
    newest = {key.ref.category: key.alive for key in keys}
    return not all(newest.get(category, True) for category in DATA_CATEGORIES)


def _tell(case: Case, member: Member, kind: str, event: uuid.UUID, *, act: Act, now: datetime.datetime) -> None:
    categories = [Category.CONTACT, Category.CORRESPONDENCE]
    with opening(
        act.actor,
        "members.correct_member",
        subjects=[member.pk],
        categories=categories,
        event=event,
        targets=[member],
        case=case,
    ) as ring:
        queue_notices(case, mails_on_file(member, kind, ring), ring, act=act, now=now)
