"""Every write to persons, accounts and approvals."""

import datetime
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from access_control import locks
from access_control.access_models import SignInLink
from access_control.characters import refuse_strange_characters
from access_control.codes import Reason, SubjectKind
from access_control.events import Event
from access_control.ledger import acting
from access_control.models import Approval, Entity, Person, Staff
from access_control.roles import Role

if TYPE_CHECKING:
    from access_control.access_models import AccessRequest

APPROVAL_LASTS = datetime.timedelta(days=7)
BUSY = _("Somebody else is changing this person or account. Nothing was changed; try again.")
# Raised by the trigger ``access_stays_with_two``.
_TOO_FEW_STAY = "CA019"


class AlreadyLeft(Exception):
    """The person has left the company already."""


class TooFewStay(Exception):
    """Without this person nobody could be given access any more. ``str()`` says what to do first."""

    def __str__(self) -> str:
        return str(
            _(
                "Without this person no two people could ask for and agree to access. Nothing was changed. First let"
                " another person be given the role, and set their password; then end this one's access. If that cannot"
                " wait, whoever runs the host ends it at once (end_access)."
            )
        )


class NotApprovable(Exception):
    """The approval was given, used or has expired, or it names another payload."""


class SamePerson(Exception):
    """Whoever asked does not agree: another person must."""


class SecondPersonNeeded(PermissionDenied):
    """Nobody gives access alone: it is asked for (``access_services``), and another person agrees."""


def _require_agreement(actor: Staff | None, agreed: "AccessRequest | None") -> None:
    """Only setting up needs no second person. That ``agreed`` was agreed to is PostgreSQL's to check (CA016)."""
    if actor is not None and agreed is None:
        raise SecondPersonNeeded


def hire(
    employee_number: str,
    *,
    display_name: str,
    entity: Entity,
    access_class: str,
    joined_on: datetime.date,
    actor: Staff | None,
    reason: str = Reason.HIRED,
    agreed: "AccessRequest | None" = None,
) -> Person:
    """Enter an employee. An empty ``access_class`` means: no access to personal data, whatever the account.

    Raises SecondPersonNeeded when a person alone would give an access class, and ValidationError when somebody has the
    number already, or number or name holds a strange character.
    """
    if access_class:
        _require_agreement(actor, agreed)
    for text in (employee_number, display_name):
        refuse_strange_characters(text)
    with acting(actor, reason=reason) as act:
        person = Person(
            **({"id": agreed.person} if agreed else {}),
            employee_number=employee_number,
            display_name=display_name,
            entity=entity,
            access_class=access_class,
            joined_on=joined_on,
        )
        _add(person)
        act.record(Event.PERSON_HIRED, subject=person.pk, subject_kind=SubjectKind.STAFF)
        return person


def open_account(
    person: Person,
    *,
    username: str,
    role: Role | str,
    password: str | None,
    actor: Staff | None,
    reason: str = Reason.HIRED,
    agreed: "AccessRequest | None" = None,
) -> Staff:
    """Give ``person`` an account; without a password nobody signs in before its owner has set one.

    Raises ValidationError when the password is too weak, the username is taken or holds a strange character, and
    SecondPersonNeeded when a person alone would open it.
    """
    _require_agreement(actor, agreed)
    refuse_strange_characters(username)
    staff = Staff(username=username, person=person, role=role)
    if password is not None:
        validate_password(password, staff)
    staff.set_password(password)
    with acting(actor, reason=reason) as act:
        _add(staff)
        act.record(Event.ACCOUNT_OPENED, subject=person.pk, subject_kind=SubjectKind.STAFF)
        return staff


def _add(row: Person | Staff) -> None:
    """The row is there. Raises ValidationError when it may not be, also when another one was faster."""
    row.full_clean()
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        # Whoever was faster is there now, and found in words.
        row.full_clean()
        raise


def change_password(staff: Staff, *, password: str, actor: Staff, reason: str = Reason.OWN_ACCOUNT) -> Staff:
    """The account has a new password; sessions opened with the old one end, and so does a one-time link.

    Raises ValidationError when too weak.
    """
    validate_password(password, staff)
    staff.set_password(password)
    with acting(actor, reason=reason) as act:
        staff.save(update_fields=["password"])
        SignInLink.objects.filter(account=staff, ended_at=None).update(ended_at=Now())
        act.record(Event.PASSWORD_CHANGED, subject=staff.person_id, subject_kind=SubjectKind.STAFF)
        return staff


def leave(person: Person, *, on: datetime.date, actor: Staff | None, reason: str = Reason.LEFT) -> Person:
    """The person has left: sessions, grants and approvals of their account are void from now (P8.B2).

    Waits for openings under way. When it returns, the account opens nothing any more. Raises AlreadyLeft; TooFewStay,
    unless the system ends it; StillUnderWay when an opening has not ended in time: the departure is on record all the
    same, and nothing new is opened.
    """
    with _two_stay(), acting(actor, reason=reason) as act:
        person, accounts = _to_end(person)
        if person.left_on is not None:
            raise AlreadyLeft
        # Access ends now also for somebody entered ahead of the first day.
        person.left_on = max(on, person.joined_on)
        person.save(update_fields=["left_on"])
        Staff.objects.filter(person=person).update(is_active=False, epoch=F("epoch") + 1)
        transaction.on_commit(lambda: locks.wait_for_openings(accounts))
        act.record(Event.PERSON_LEFT, subject=person.pk, subject_kind=SubjectKind.STAFF)
        return person


def move(
    person: Person,
    *,
    access_class: str,
    role: str | None = None,
    actor: Staff | None,
    reason: str = Reason.MOVED,
    agreed: "AccessRequest | None" = None,
) -> Person:
    """The person does other work: what they were granted before is void from now (P8.B2).

    Waits as :func:`leave` does. Raises AlreadyLeft, TooFewStay, StillUnderWay, and SecondPersonNeeded when a person
    alone would give an access class or a role.
    """
    if access_class or role:
        _require_agreement(actor, agreed)
    with _two_stay(), acting(actor, reason=reason) as act:
        person, accounts = _to_end(person)
        if person.left_on is not None:
            raise AlreadyLeft
        person.access_class = access_class
        person.save(update_fields=["access_class"])
        changes = {"role": role} if role else {}
        Staff.objects.filter(person=person).update(epoch=F("epoch") + 1, **changes)
        transaction.on_commit(lambda: locks.wait_for_openings(accounts))
        act.record(Event.PERSON_MOVED, subject=person.pk, subject_kind=SubjectKind.STAFF)
        return person


@contextmanager
def _two_stay() -> Iterator[None]:
    """Says in words what PostgreSQL refuses: that too few would be left who can give access."""
    try:
        yield
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", "") != _TOO_FEW_STAY:
            raise
        raise TooFewStay from error


def _to_end(person: Person) -> tuple[Person, list[Staff]]:
    """Person and account, locked for a change that ends access."""
    with locks.bounded(BUSY):
        person = locks.change_one(Person, person.pk)
        return person, locks.change(Staff.objects.filter(person=person))


def ask_approval(kind: str, *, payload_hash: bytes, actor: Staff | None, reason: str) -> Approval:
    """Ask another person to agree to exactly this payload, within ``APPROVAL_LASTS``. The system may ask as well."""
    now = timezone.now()
    with acting(actor, reason=reason) as act:
        approval = Approval.objects.create(
            kind=kind,
            payload_hash=payload_hash,
            requester=actor.person if actor else None,
            requester_epoch=actor.epoch if actor else None,
            requested_at=now,
            expires_at=now + APPROVAL_LASTS,
        )
        act.record(Event.APPROVAL_ASKED, note=approval.pk)
        return approval


def approve(approval: Approval, *, actor: Staff, reason: str) -> Approval:
    """Agree. The database refuses the requester as approver. Raises NotApprovable."""
    now = timezone.now()
    with acting(actor, reason=reason) as act:
        approval = locks.change_one(Approval, approval.pk)
        if approval.approved_at or approval.expires_at <= now:
            raise NotApprovable
        approval.approver, approval.approver_epoch, approval.approved_at = actor.person, actor.epoch, now
        approval.save(update_fields=["approver", "approver_epoch", "approved_at"])
        act.record(Event.APPROVAL_GIVEN, note=approval.pk)
        return approval


def agree_as_two(kind: str, *, payload_hash: bytes, actor: Staff, reason: str) -> Approval | None:
    """The first person's call asks (None); that of another one agrees, and returns the approval.

    What somebody asked who has left or moved since waits for nobody. Raises SamePerson.
    """
    with acting(actor, reason=reason):
        with connection.cursor() as cursor:
            # Two who call at the same moment: one after the other.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{kind} {payload_hash.hex()}"])
        waiting = Approval.objects.filter(
            kind=kind,
            payload_hash=payload_hash,
            approved_at=None,
            expires_at__gt=timezone.now(),
            requester__left_on=None,
            requester__account__epoch=F("requester_epoch"),
        )
        asked = waiting.order_by("requested_at").first()
        if asked is None:
            ask_approval(kind, payload_hash=payload_hash, actor=actor, reason=reason)
            return None
        if asked.requester_id == actor.person_id:
            raise SamePerson
        return approve(asked, actor=actor, reason=reason)


def use_approval(approval_id: uuid.UUID, *, kind: str, payload_hash: bytes, actor: Staff | None, reason: str) -> None:
    """Spend an approval, once, if both persons' accounts are as they were. Raises NotApprovable."""
    now = timezone.now()
    with acting(actor, reason=reason) as act:
        approvals = standing_approvals(kind, payload_hash).filter(pk=approval_id, used_at=None, expires_at__gt=now)
        if not approvals.update(used_at=now):
            raise NotApprovable
        act.record(Event.APPROVAL_USED, note=approval_id)


def approval_stands(approval_id: uuid.UUID, *, kind: str, payload_hash: bytes) -> bool:
    """Whether a used approval still stands: nobody who asked or agreed has left or moved since."""
    return standing_approvals(kind, payload_hash).filter(pk=approval_id, used_at__isnull=False).exists()


def keep_approval(approval_id: uuid.UUID) -> None:
    """Until this transaction ends, whoever would change the approval, or end what it is for, waits."""
    locks.share(Approval.objects.filter(pk=approval_id))


def standing_approvals(kind: str, payload_hash: bytes) -> QuerySet[Approval]:
    """Approvals that were given, spent or not, by persons of whom none has left or moved since."""
    return Approval.objects.filter(
        Q(requester=None) | Q(requester__left_on=None, requester__account__epoch=F("requester_epoch")),
        kind=kind,
        payload_hash=payload_hash,
        approved_at__isnull=False,
        approver__left_on=None,
        approver__account__epoch=F("approver_epoch"),
    )
