"""Opening, handing over, noting and closing cases."""

import datetime
import uuid
from collections.abc import Sequence

from django.core.exceptions import PermissionDenied
from django.utils import timezone
from django.utils.translation import gettext

from access_control import policies
from access_control.codes import Reason, SubjectKind
from access_control.ledger import Act, acting
from access_control.models import Staff
from access_control.vault.categories import Category, generation_of_case
from access_control.vault.errors import NoKey, SealBroken
from access_control.vault.ring import KeyRing, add_fetched, add_keys, keys_for, new_ring
from access_control.vault.seal import KeyRef
from members import normal_forms
from members.events import Event
from members.models import Case, CaseNote, Correction, Member, MemberGrant
from members.services.grants import end_grants, open_grants

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


def lock_case(case_id: uuid.UUID, *, actor: Staff) -> Case:
    """The open case, locked for change. Raises PermissionDenied when it is not the actor's, CaseClosed."""
    queryset = Case.objects.filter(pk=case_id).select_related("owner", "owner__person")
    case = policies.restrict(queryset, actor, "members.work_case").select_for_update(of=("self",), no_key=True).first()
    if case is None:
        raise PermissionDenied
    if case.state == Case.State.CLOSED:
        raise CaseClosed
    return case


def hold_member(case: Case, *, actor: Staff) -> Member:
    """The identified member of a locked case, locked for change, under the grant that the case gave.

    A revocation waits for what is under way, as it does for a reveal. Raises NotIdentified, PermissionDenied.
    """
    if case.member is None or case.identified_at is None:
        raise NotIdentified
    grant = policies.live_grant(actor, "members.correct_member", case.member, case=case)
    policies.hold_grant(actor, grant)
    return Member.objects.select_for_update(no_key=True).get(pk=case.member.pk)


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
    """A new case of the actor's. Its deadline counts from arrival. Raises PermissionDenied.

    ``found_by``: the kinds of identifier that found the member (see ``finding.found_by``); they prove nothing in it.
    """
    if not policies.can(actor, "members.open_case"):
        raise PermissionDenied
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
        if member is not None:
            # A destruction comes before or after, never between: whoever is being answered keeps their data.
            Member.objects.select_for_update(no_key=True).get(pk=member.pk)
        case.save(force_insert=True)
        act.record(Event.CASE_OPENED, subject=member.pk if member else None)
    return case


def correspondence_ring(subject: uuid.UUID, case_id: uuid.UUID, ring: KeyRing, *, event: uuid.UUID) -> int:
    """Put the case's correspondence key on ``ring``, made when it is not there yet; returns its generation."""
    ref = KeyRef(subject, Category.CORRESPONDENCE, generation_of_case(case_id))
    if not ring.holds(ref) and ref not in add_keys(ring, [ref]):
        add_fetched(ring, [subject], [Category.CORRESPONDENCE], event=event)
    return ref.generation


def refuse_forbidden_numbers(text: str) -> None:
    """Raises ForbiddenNumber when the text holds a card number or an Individual Number (P2)."""
    if normal_forms.holds_card_number(text) or normal_forms.holds_my_number(text):
        raise ForbiddenNumber


def add_note(case: Case, *, text: str, actor: Staff, reason: str = Reason.DAILY_WORK) -> CaseNote:
    """A sealed note on the case. Raises PermissionDenied, CaseClosed, ForbiddenNumber."""
    refuse_forbidden_numbers(text)
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
        with new_ring() as ring:
            generation = correspondence_ring(subject, case.pk, ring, event=event)
            ring.seal(note, generation=generation, text=text)
        note.save(force_insert=True)
        return note


def read_notes(case: Case, *, actor: Staff) -> list[tuple[CaseNote, str]]:
    """The notes of the actor's open case in clear, oldest first; recorded before anything is opened.

    Notes about an identified member need the case's live grant, like everything of the member. Raises PermissionDenied,
    CaseClosed.
    """
    if case.state == Case.State.CLOSED:
        raise CaseClosed
    if not policies.can(actor, "members.work_case", case):
        raise PermissionDenied
    subjects = [case.pk]
    if MemberGrant.objects.live().filter(user=actor, case=case).exists():
        subjects += [case.member_id] if case.member_id else []
    notes = list(case.notes.filter(subject_id__in=subjects).select_related("author", "author__person"))
    if not notes:
        return []
    with acting(actor, reason=Reason.DAILY_WORK, case=case.pk) as act:
        event = act.record(Event.NOTES_READ, subject=case.member_id, count=len(notes))
    with keys_for({note.subject_id for note in notes}, [Category.CORRESPONDENCE], event=event) as ring:
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

    Raises PermissionDenied, CaseClosed.
    """
    if not policies.can(actor, "members.oversee_case") or not policies.may(to, "members.work_case"):
        raise PermissionDenied
    # Else whoever was revoked could give the access back alone.
    if to.person_id == actor.person_id:
        raise PermissionDenied
    now = timezone.now()
    with acting(actor, reason=reason, case=case.pk) as act:
        case = Case.objects.select_for_update(no_key=True).get(pk=case.pk)
        if case.state == Case.State.CLOSED:
            raise CaseClosed
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
        case = lock_case(case.pk, actor=actor)
        if case.corrections.filter(state=Correction.State.ASKED).exists():
            raise CorrectionPending
        case.state, case.closed_at, case.outcome = Case.State.CLOSED, now, outcome
        case.save(update_fields=["state", "closed_at", "outcome"])
        end_grants(case, act=act, now=now, reason=Reason.CASE_CLOSED)
        act.record(Event.CASE_CLOSED, subject=case.member_id)
        return case
