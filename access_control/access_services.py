"""Access given by two persons, and the link by which the owner of an account sets its password.

An administrator asks. Another administrator or the privacy officer, who is not the person concerned either, reads
everything that is asked for and agrees; it is done at once, in one transaction. Whoever agreed sees the link once and
hands it over. So the one who asked never learns a way in, and the one who agreed could not have asked.
"""

import dataclasses
import datetime
import hashlib
import secrets
from collections.abc import Sequence

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from access_control import locks, policies, services, sign_in
from access_control.access_models import LOCK_KEPT, AccessRequest, SignInLink
from access_control.codes import Reason, SubjectKind
from access_control.events import Event
from access_control.ids import new_id
from access_control.ledger import Act, acting
from access_control.models import Approval, Entity, Person, Staff
from access_control.roles import AGREES, Role

APPROVAL_KIND = "access"
LINK_LASTS = datetime.timedelta(hours=24)
TOKEN_BYTES = 32
ASKS = {
    AccessRequest.Kind.HIRE: "access_control.add_person",
    AccessRequest.Kind.ACCOUNT: "access_control.add_staff",
    AccessRequest.Kind.MOVE: "access_control.change_person",
    AccessRequest.Kind.LINK: "access_control.change_staff",
}
REASONS = {
    AccessRequest.Kind.HIRE: Reason.HIRED,
    AccessRequest.Kind.ACCOUNT: Reason.HIRED,
    AccessRequest.Kind.MOVE: Reason.MOVED,
    AccessRequest.Kind.LINK: Reason.OWN_ACCOUNT,
}


_FIRST_CLASS = {Role.ADMINISTRATOR: Person.AccessClass.NEEDED, Role.OFFICER: Person.AccessClass.PRIVACY}


class NotFirst(Exception):
    """Two people can ask for access and agree to it, now or by an open link: whoever needs some asks them."""


class OwnRequest(Exception):
    """Whoever asked, or whose access it is, does not agree to it."""


class LinkEnded(Exception):
    """The link was used, has expired, was replaced by a newer one, or never was."""


@dataclasses.dataclass(frozen=True)
class Given:
    """What agreeing gave: the account, if there is one, and the token of its link, shown once."""

    account: Staff | None
    token: str = ""


def ask_hire(
    employee_number: str,
    *,
    display_name: str,
    entity: Entity,
    access_class: str,
    joined_on: datetime.date,
    username: str = "",
    role: str = "",
    actor: Staff,
) -> AccessRequest:
    """Ask that somebody new be given access, and an account with it. Raises ValidationError, PermissionDenied."""
    person = Person(
        employee_number=employee_number,
        display_name=display_name,
        entity=entity,
        access_class=access_class,
        joined_on=joined_on,
    )
    person.full_clean()
    if username or role:
        _check_account(username, role)
    return _ask(AccessRequest.Kind.HIRE, person, access_class=access_class, username=username, role=role, actor=actor)


def ask_account(person: Person, *, username: str, role: str, actor: Staff) -> AccessRequest:
    """Ask that ``person`` be given an account. Raises ValidationError, AlreadyLeft, PermissionDenied."""
    if person.left_on is not None:
        raise services.AlreadyLeft
    if Staff.objects.filter(person=person).exists():
        raise ValidationError(_("This person has an account already."))
    _check_account(username, role)
    return _ask(AccessRequest.Kind.ACCOUNT, person, username=username, role=role, actor=actor)


def ask_move(person: Person, *, access_class: str, role: str = "", actor: Staff) -> AccessRequest:
    """Ask that ``person`` do other work. An empty role leaves the role as it is.

    Raises ValidationError, AlreadyLeft, PermissionDenied.
    """
    if person.left_on is not None:
        raise services.AlreadyLeft
    if access_class and access_class not in Person.AccessClass.values:
        raise ValidationError(_("There is no such access class."))
    if role and not Staff.objects.filter(person=person).exists():
        raise ValidationError(_("This person has no account that could have a role."))
    return _ask(AccessRequest.Kind.MOVE, person, access_class=access_class, role=role, actor=actor)


def ask_link(account: Staff, *, actor: Staff) -> AccessRequest:
    """Ask for a link with which the owner of ``account`` sets a new password. Raises AlreadyLeft, PermissionDenied."""
    if account.person.left_on is not None or not account.is_active:
        raise services.AlreadyLeft
    return _ask(AccessRequest.Kind.LINK, account.person, username=account.username, role=account.role, actor=actor)


def _check_account(username: str, role: str) -> None:
    Staff(username=username, role=role).full_clean(exclude=["password", "person"])


def _ask(kind: AccessRequest.Kind, person: Person, *, actor: Staff, **wanted: str) -> AccessRequest:
    if not policies.can(actor, ASKS[kind]):
        raise PermissionDenied
    request = AccessRequest(
        id=new_id(),
        kind=kind,
        person=person.pk,
        employee_number=person.employee_number,
        display_name=person.display_name,
        entity=person.entity,
        joined_on=person.joined_on,
        **wanted,
    )
    same = AccessRequest.objects.waiting().filter(kind=kind, employee_number=person.employee_number, **wanted)
    if same.exists():
        raise ValidationError(_("The same was asked for already, and waits for a second person."))
    with acting(actor, reason=REASONS[kind]) as act:
        request.approval = services.ask_approval(
            APPROVAL_KIND, payload_hash=request.digest(), actor=actor, reason=REASONS[kind]
        )
        request.save(force_insert=True)
        act.record(Event.ACCESS_ASKED, subject=request.person, subject_kind=SubjectKind.STAFF, note=request.approval_id)
    return request


def agree(request: AccessRequest, *, actor: Staff) -> Given:
    """Another person agrees: it is done, and where an account needs a password its link is made.

    Raises OwnRequest, NotApprovable, AlreadyLeft, TooFewStay, StillUnderWay, PermissionDenied, and ValidationError when
    what was asked for cannot be done any more (the username was given away meanwhile).
    """
    kind = AccessRequest.Kind(request.kind)
    reason = REASONS[kind]
    with acting(actor, reason=reason) as act:
        _lock_persons(request, actor)
        policies.hold(actor, AGREES)
        if actor.person_id in {request.person, request.approval.requester_id}:
            raise OwnRequest
        services.approve(request.approval, actor=actor, reason=reason)
        services.use_approval(
            request.approval_id, kind=APPROVAL_KIND, payload_hash=request.digest(), actor=actor, reason=reason
        )
        return _carry_out(kind, request, act)


def refuse(request: AccessRequest, *, actor: Staff) -> None:
    """The request comes to nothing: refused by who could agree, or taken back by who asked.

    Raises OwnRequest when it is about oneself, NotApprovable when it was decided already, PermissionDenied.
    """
    if actor.person_id != request.approval.requester_id:
        if not policies.can(actor, AGREES):
            raise PermissionDenied
        if actor.person_id == request.person:
            raise OwnRequest
    with acting(actor, reason=REASONS[AccessRequest.Kind(request.kind)]) as act:
        waiting = Approval.objects.filter(pk=request.approval_id, approved_at=None, expires_at__gt=Now())
        if not waiting.update(expires_at=Now()):
            raise services.NotApprovable
        act.record(
            Event.ACCESS_REFUSED, subject=request.person, subject_kind=SubjectKind.STAFF, note=request.approval_id
        )


def _lock_persons(request: AccessRequest, actor: Staff) -> None:
    """Lock both persons and their accounts, in one order: two requests about each other's officers cannot block."""
    concerned = [request.person, actor.person_id]
    with locks.bounded(services.BUSY):
        locks.change(Person.objects.filter(pk__in=concerned))
        locks.change(Staff.objects.filter(person__in=concerned))


def _carry_out(kind: AccessRequest.Kind, request: AccessRequest, act: Act) -> Given:
    actor = act.actor
    if kind is AccessRequest.Kind.HIRE:
        services.hire(
            request.employee_number,
            display_name=request.display_name,
            entity=request.entity,
            access_class=request.access_class,
            joined_on=request.joined_on,
            actor=actor,
            agreed=request,
        )
    person = Person.objects.get(pk=request.person)
    if person.left_on is not None:
        raise services.AlreadyLeft
    if kind is AccessRequest.Kind.MOVE:
        services.move(person, access_class=request.access_class, role=request.role or None, actor=actor, agreed=request)
        return Given(Staff.objects.filter(person=person).first())
    if kind is AccessRequest.Kind.LINK:
        account = Staff.objects.select_related("person").filter(person=person, is_active=True).first()
        if account is None or account.username != request.username:
            raise services.NotApprovable
        return Given(account, make_link(account, act=act))
    if not request.username:
        return Given(None)
    account = services.open_account(
        person, username=request.username, role=request.role, password=None, actor=actor, agreed=request
    )
    return Given(account, make_link(account, act=act))


@dataclasses.dataclass(frozen=True)
class FirstPerson:
    """One of the two with whom an installation begins."""

    employee_number: str
    display_name: str
    entity: Entity
    username: str
    role: Role


def set_up_first_accounts(people: Sequence[FirstPerson], *, joined_on: datetime.date) -> list[Given]:
    """The first persons with accounts and links: after them nobody gives access alone.

    They are also the way back in, on record as such, when no two accounts can ask and agree any more. Exactly these
    persons, entered before, keep their accounts: who has never set a password gets a new link, who has needs none.
    Raises NotFirst, ValidationError.
    """
    with acting(None, reason=Reason.SET_UP) as act:
        if _access_can_be_given():
            raise NotFirst
        if Staff.objects.exists():
            act.record(Event.SET_UP_AGAIN, count=len(people))
        accounts = [_entered_before(new) or _enter(new, joined_on=joined_on) for new in people]
        return [Given(one, "" if one.has_usable_password() else make_link(one, act=act)) for one in accounts]


def _entered_before(new: FirstPerson) -> Staff | None:
    return Staff.objects.filter(
        username=new.username,
        role=new.role,
        is_active=True,
        person__employee_number=new.employee_number,
        person__display_name=new.display_name,
        person__entity=new.entity,
        person__access_class=_FIRST_CLASS[new.role],
        person__left_on=None,
    ).first()


def _enter(new: FirstPerson, *, joined_on: datetime.date) -> Staff:
    person = services.hire(
        new.employee_number,
        display_name=new.display_name,
        entity=new.entity,
        access_class=_FIRST_CLASS[new.role],
        joined_on=joined_on,
        actor=None,
        reason=Reason.SET_UP,
    )
    return services.open_account(
        person, username=new.username, role=new.role, password=None, actor=None, reason=Reason.SET_UP
    )


def _access_can_be_given() -> bool:
    """Whether two accounts can ask and agree, or will by an open link; nobody changes that in this transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_KEPT])
        cursor.execute("SELECT access_can_be_given(true)")
        return bool(cursor.fetchone()[0])


def make_link(account: Staff, *, act: Act) -> str:
    """A new link's token, of which only the hash is kept; an older link of the account has ended."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    SignInLink.objects.filter(account=account, ended_at=None).update(ended_at=Now())
    SignInLink.objects.create(
        account=account,
        token_hash=_hash_of(token),
        staff_epoch=account.epoch,
        made_at=Now(),
        expires_at=Now() + LINK_LASTS,
    )
    act.record(Event.LINK_MADE, subject=account.person_id, subject_kind=SubjectKind.STAFF)
    return token


def account_of_link(token: str, *, made_after: datetime.datetime | None = None) -> Staff | None:
    """The account whose password the token may set now, or None. Changes nothing.

    ``made_after``: an older link sets none, for a backup has brought it back.
    """
    links = SignInLink.objects.all() if made_after is None else SignInLink.objects.filter(made_at__gt=made_after)
    link = (
        links.select_related("account__person__entity")
        .filter(
            token_hash=_hash_of(token),
            ended_at=None,
            expires_at__gt=Now(),
            staff_epoch=F("account__epoch"),
            account__is_active=True,
            account__person__left_on=None,
        )
        .first()
    )
    return link.account if link else None


def use_link(token: str, *, password: str, made_after: datetime.datetime | None = None) -> Staff:
    """The account has the password that its owner chose, and the link has ended.

    Raises LinkEnded, and ValidationError when the password is too weak (the link stays).
    """
    account = account_of_link(token, made_after=made_after)
    if account is None:
        raise LinkEnded
    validate_password(password, account)
    # Hashing is slow on purpose, so it comes before any row is locked.
    account.set_password(password)
    with acting(account, reason=Reason.OWN_ACCOUNT) as act:
        people = locks.change(Person.objects.filter(pk=account.person_id, left_on=None))
        accounts = locks.change(Staff.objects.filter(pk=account.pk, is_active=True, epoch=account.epoch))
        links = locks.change(
            SignInLink.objects.filter(
                token_hash=_hash_of(token), ended_at=None, expires_at__gt=Now(), staff_epoch=account.epoch
            )
        )
        if not (people and accounts and links):
            raise LinkEnded
        link = links[0]
        link.ended_at, link.used = Now(), True
        link.save(update_fields=["ended_at", "used"])
        account.save(update_fields=["password"])
        sign_in.forgive(account.username)
        act.record(Event.LINK_USED, subject=account.person_id, subject_kind=SubjectKind.STAFF)
    return account


def _hash_of(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
