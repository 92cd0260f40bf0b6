"""The second way to identify a caller: a supervisor sees a document, when too little is on file to compare."""

import datetime

from django.core.exceptions import PermissionDenied
from django.utils import timezone

from access_control import locks, policies
from access_control.codes import Purpose, Reason
from access_control.ledger import acting
from access_control.models import Staff
from members.events import Event
from members.models import Case, IdentityDocument, Member, MemberGrant
from members.services.cases import CaseClosed
from members.services.identity import (
    FACTS_NEEDED,
    AlreadyIdentified,
    NobodyToCompare,
    confirm_identity,
    facts_that_prove,
    today,
)

OLDEST = datetime.date(1950, 1, 1)


class EnoughOnFile(Exception):
    """Two facts on file can be asked for, so the caller is identified by these, within three tries a day."""


class OwnCase(PermissionDenied):
    """Whoever works on a case does not confirm a document in it."""


class OwnerGone(Exception):
    """The agent of the case may work on none any more. The case is handed over first."""


class ImpossibleDate(Exception):
    """No document was issued on a day to come, or so long ago."""


def confirm_document(
    case: Case, *, kind: str, issued_on: datetime.date, actor: Staff, reason: str = Reason.IDENTIFIED
) -> IdentityDocument:
    """The caller is the member, says a supervisor who saw the document: the case's agent gets its grants.

    Kind and date of the document are kept, no number. Raises PermissionDenied, OwnCase, OwnerGone, CaseClosed,
    NobodyToCompare, AlreadyIdentified, EnoughOnFile, ImpossibleDate.
    """
    if kind not in IdentityDocument.Kind.values:
        raise ValueError("No such kind of document.")
    if not OLDEST <= issued_on <= today():
        raise ImpossibleDate
    if case.member is None:
        raise NobodyToCompare
    with acting(actor, reason=reason, case=case.pk) as act:
        policies.hold(actor, "members.confirm_document")
        locks.change(MemberGrant.objects.filter(case=case, ended_at=None))
        member = locks.change_one(Member, case.member.pk)
        case = locks.change_one(Case, case.pk)
        _require_confirmable(case, actor)
        document = IdentityDocument.objects.create(
            case=case, member=member, kind=kind, issued_on=issued_on, confirmed_by=actor, at=timezone.now()
        )
        act.record(Event.DOCUMENT_CONFIRMED, subject=member.pk, purpose=Purpose.IDENTITY)
        confirm_identity(case, act=act)
    return document


def _require_confirmable(case: Case, actor: Staff) -> None:
    if case.state == Case.State.CLOSED:
        raise CaseClosed
    if case.owner.person_id == actor.person_id:
        raise OwnCase
    if case.identified_at:
        raise AlreadyIdentified
    if not policies.may(case.owner, "members.work_case"):
        raise OwnerGone
    if not too_little_on_file(case):
        raise EnoughOnFile


def too_little_on_file(case: Case) -> bool:
    """Whether the caller cannot prove to whoever works on the case to be the member.

    What a supervisor has found makes no difference: their searches would open this way to every case.
    """
    return len(facts_that_prove(case, actor=case.owner)) < FACTS_NEEDED


def may_confirm(case: Case, actor: Staff) -> bool:
    """Whether ``actor`` may confirm a document of this case's caller."""
    return (
        case.state == Case.State.OPEN
        and case.member_id is not None
        and case.identified_at is None
        and case.owner.person_id != actor.person_id
        and policies.can(actor, "members.confirm_document")
    )
