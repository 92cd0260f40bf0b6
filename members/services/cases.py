"""Opening, handing over, noting and closing cases."""

import datetime
import uuid
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext

from access_control import locks, policies
from access_control.characters import refuse_strange_characters
from access_control.codes import Reason, SubjectKind
from access_control.ledger import Act, acting
from access_control.models import Staff
from access_control.openings import opening
from access_control.vault.categories import Category, generation_of_case
from access_control.vault.errors import NoKey, SealBroken
from access_control.vault.ring import KeyRing, add_fetched, add_keys, new_ring
from access_control.vault.seal import KeyRef
from members import rule_books
from members.events import Event
from members.models import Case, CaseNote, Correction, Member, MemberGrant
from members.services.grants import end_grants, open_grants
from members.services.locking import DataDestroyed, freeze_with_member, lock_member

# APPI, article 39: a court action becomes possible two weeks after arrival, so the answer is due before.
ANSWER_WITHIN = datetime.timedelta(days=14)


class CaseClosed(Exception):
    """The case is closed; nothing more happens in it."""


class CorrectionPending(Exception):
    """A correction is neither applied nor refused; the case cannot close over it."""


class ForbiddenNumber(Exception):
    """The text holds a card number or an Individual Number, which are never stored."""


class NotIdentified(Exception):
    """The caller was not identified; an unidentified request changes and stops nothing (P5.B)."""


class WrongKind(Exception):
    """Another kind of case is needed for this; the caller asked for something else."""


def lock_case(case_id: uuid.UUID, *, actor: Staff, ending_grants: bool = False) -> Case:
    """The open case, locked for change, after the account, the grants and the member.

    The account works on cases still, and its end waits for what is under way. ``ending_grants``: the open grants of the
    case are locked for change; else the actor's own are kept. Raises PermissionDenied when the case is not the actor's,
    CaseClosed.
    """
    policies.hold(actor, "members.work_case")
    mine = policies.restrict(Case.objects.filter(pk=case_id), actor, "members.work_case")
    return _locked(mine, actor=actor, ending_grants=ending_grants)


class _GrantsOpened(Exception):
    """Grants were opened while their case was waited for; they would have to be locked before it."""


def _locked(cases: QuerySet[Case], *, actor: Staff, ending_grants: bool) -> Case:
    """The one open case among ``cases``, with what is locked before it. Raises PermissionDenied, CaseClosed."""
    while True:
        try:
            with locks.attempt():
                return _locked_in_order(cases, actor=actor, ending_grants=ending_grants)
        except _GrantsOpened:
            continue


def _locked_in_order(cases: QuerySet[Case], *, actor: Staff, ending_grants: bool) -> Case:
    case = cases.first()
    if case is None:
        raise PermissionDenied
    grants = MemberGrant.objects.filter(case=case, ended_at=None)
    held = locks.change(grants) if ending_grants else locks.keep(grants.filter(user=actor))
    if case.member_id is not None:
        # A destruction comes before or after, never between: whoever is being answered keeps their data.
        locks.change_one(Member, case.member_id)
    locked = locks.change(cases)
    if not locked:
        raise PermissionDenied
    if locked[0].state == Case.State.CLOSED:
        raise CaseClosed
    if ending_grants and grants.exclude(pk__in=[grant.pk for grant in held]).exists():
        raise _GrantsOpened
    return locked[0]


def hold_member(case: Case, *, actor: Staff) -> Member:
    """The identified member of a locked case, locked for change, under the grant that the case gave.

    Whoever ends the grant waits for what is under way; this waits for a destruction of the member.
    Raises NotIdentified, PermissionDenied.
    """
    if case.member is None or case.identified_at is None:
        raise NotIdentified
    if not policies.keep_grants(actor, "members.correct_member", [case.member], case=case):
        raise PermissionDenied
    return lock_member(case.member.pk).member


def open_case(
    member: Member | None,
    *,
    kind: str,
    channel: str,
    actor: Staff,
    reason: str = Reason.ASKED,
    arrived_at: datetime.datetime | None = None,
    found_by: Sequence[str] = (),
) -> Case:
    """A new case of the actor's. Its deadline counts from arrival. Raises DataDestroyed, PermissionDenied.

    ``found_by``: the kinds of identifier that found the member (see ``finding.found_by``); they prove nothing in it.
    """
    arrived = arrived_at or timezone.now()
    case = Case(
        kind=kind,
        channel=channel,
        member=member,
        owner=actor,
        arrived_at=arrived,
        due_on=timezone.localdate(arrived) + ANSWER_WITHIN,
        found_by=list(found_by),
    )
    with acting(actor, reason=reason, case=case.pk) as act:
        policies.hold(actor, "members.open_case")
        if member is not None:
            # A destruction comes before or after, never between: whoever is being answered keeps their data.
            locked = lock_member(member.pk)
            if not locked.holds_data:
                raise DataDestroyed
        case.save(force_insert=True)
        act.record(Event.CASE_OPENED, subject=member.pk if member else None)
    return case


def correspondence_ring(subject: uuid.UUID, case_id: uuid.UUID, ring: KeyRing, *, event: uuid.UUID) -> int:
    """Put the case's correspondence key on ``ring``, made when it is not there yet; returns its generation."""
    ref = KeyRef(subject, Category.CORRESPONDENCE, generation_of_case(case_id))
    if not ring.holds(ref) and ref not in add_keys(ring, [ref]):
        add_fetched(ring, [subject], [Category.CORRESPONDENCE], event=event)
    return ref.generation


def refuse_forbidden_numbers(text: str, *, answered: bool = False) -> bool:
    """Whether the text holds what looks like a card number or an Individual Number (P2), and may be kept all the same.

    ``answered``: the actor says on record that it is neither. Raises ForbiddenNumber when nobody says so.
    """
    seen = bool(rule_books.TEXT.forbidden_in(text))
    if seen and not answered:
        raise ForbiddenNumber
    return seen


def add_note(
    case: Case, *, text: str, actor: Staff, reason: str = Reason.DAILY_WORK, neither_number: bool = False
) -> CaseNote:
    """A sealed note on the case. Raises PermissionDenied, CaseClosed, ForbiddenNumber, ValidationError (characters).

    ``neither_number``: the actor answers for it that no number in the text is a card's or an Individual Number.
    """
    refuse_strange_characters(text, lines=True)
    kept = refuse_forbidden_numbers(text, answered=neither_number)
    with acting(actor, reason=reason, case=case.pk) as act:
        case = lock_case(case.pk, actor=actor)
        subject = case.member_id if case.member_id and case.identified_at else case.pk
        note = CaseNote(case=case, subject_id=subject, author=actor, at=timezone.now())
        event = act.record(
            Event.NOTE_ADDED,
            subject=subject,
            subject_kind=SubjectKind.MEMBER if subject == case.member_id else SubjectKind.CASE,
            note=note.pk,
        )
        if kept:
            act.record(
                Event.NUMBER_KEPT,
                subject=subject,
                subject_kind=SubjectKind.MEMBER if subject == case.member_id else SubjectKind.CASE,
                reason=Reason.NEITHER_NUMBER,
                note=note.pk,
            )
        with new_ring() as ring:
            generation = correspondence_ring(subject, case.pk, ring, event=event)
            ring.seal(note, generation=generation, text=text)
        if subject == case.pk:
            freeze_with_member(case)
        note.save(force_insert=True)
        return note


def read_notes(case: Case, *, actor: Staff) -> list[tuple[CaseNote, str]]:
    """The notes of the actor's open case in clear, oldest first; recorded before anything is opened.

    Notes about an identified member need the case's live grant, like everything of the member. Account, case and grants
    are held until all are open. Raises PermissionDenied, CaseClosed.
    """
    grants = MemberGrant.objects.live().filter(user=actor, case=case)
    with acting(actor, reason=Reason.DAILY_WORK, case=case.pk) as act:
        held = _open_and_mine(case, actor=actor)
        subjects = [held.pk]
        if held.member_id is not None and grants.exists():
            subjects.append(held.member_id)
        notes = list(held.notes.filter(subject_id__in=subjects).select_related("author", "author__person"))
        if not notes:
            return []
        event = act.record(Event.NOTES_READ, subject=held.member_id, count=len(notes))
    return _opened_notes(case, notes, event=event, actor=actor)


def _open_and_mine(case: Case, *, actor: Staff) -> Case:
    """The case as it is now, held open and with the actor to the end. Raises PermissionDenied, CaseClosed."""
    policies.hold(actor, "members.work_case")
    found = locks.share(policies.restrict(Case.objects.filter(pk=case.pk), actor, "members.work_case"))
    if not found:
        raise PermissionDenied
    if found[0].state == Case.State.CLOSED:
        raise CaseClosed
    return found[0]


def _opened_notes(
    case: Case, notes: Sequence[CaseNote], *, event: uuid.UUID, actor: Staff
) -> list[tuple[CaseNote, str]]:
    """The second look, under locks: a note about the member only under the grants that are live still."""
    subjects = {note.subject_id for note in notes}
    about = [case.member] if case.member is not None and case.member_id in subjects else []
    action = "members.view_member" if about else "members.work_case"
    by: dict[str, Any] = {"case": case} if about else {}
    with acting(actor, reason=Reason.DAILY_WORK, case=case.pk):
        policies.hold(actor, action, targets=about, **by)
        _open_and_mine(case, actor=actor)
        words = [Category.CORRESPONDENCE]
        with opening(actor, action, subjects=subjects, categories=words, event=event, targets=about, **by) as ring:
            return [(note, _text_of(note, ring)) for note in notes]


def _text_of(note: CaseNote, ring: KeyRing) -> str:
    """What the note says, or that it cannot be opened: the others are read all the same."""
    try:
        return ring.open_sealed(note, "text")
    except (SealBroken, NoKey):
        return gettext("This note cannot be opened. It is recorded as an incident; tell the privacy officer.")


def mark_contested(case: Case, *, act: Act, now: datetime.datetime) -> None:
    """The caller could not be identified: the request stays on record and stops nothing (P5.B)."""
    Case.objects.filter(pk=case.pk, contested_at=None).update(contested_at=now)
    act.record(Event.CASE_CONTESTED, subject=case.member_id)


def hand_over(case: Case, *, to: Staff, actor: Staff, reason: str = Reason.DAILY_WORK) -> Case:
    """Hand the case to another agent: the first one's grants end; an identified case grants the second anew.

    Raises PermissionDenied, CaseClosed, StillUnderWay.
    """
    # Else whoever was revoked could give the access back alone.
    if to.person_id == actor.person_id:
        raise PermissionDenied
    now = timezone.now()
    with acting(actor, reason=reason, case=case.pk) as act:
        policies.hold_accounts((actor, "members.oversee_case"), (to, "members.work_case"))
        case = _locked(Case.objects.filter(pk=case.pk), actor=actor, ending_grants=True)
        end_grants(case, act=act, now=now, reason=Reason.MOVED)
        case.owner = to
        case.save(update_fields=["owner"])
        if case.identified_at:
            open_grants(case, act=act, now=now)
        act.record(Event.CASE_REASSIGNED, subject=case.member_id)
        return case


def close_case(case: Case, *, outcome: str, actor: Staff, reason: str = Reason.CASE_CLOSED) -> Case:
    """The case is over, and with it every grant it gave. Raises PermissionDenied, CaseClosed, CorrectionPending."""
    now = timezone.now()
    with acting(actor, reason=reason, case=case.pk) as act:
        case = lock_case(case.pk, actor=actor, ending_grants=True)
        if case.corrections.filter(state=Correction.State.ASKED).exists():
            raise CorrectionPending
        case.state, case.closed_at, case.outcome = Case.State.CLOSED, now, outcome
        case.save(update_fields=["state", "closed_at", "outcome"])
        end_grants(case, act=act, now=now, reason=Reason.CASE_CLOSED)
        act.record(Event.CASE_CLOSED, subject=case.member_id)
        return case
