"""Signing in. The backend knows passwords and nothing of permissions; those are asked of ``policies``."""

from typing import Any

from axes.backends import AxesStandaloneBackend
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import make_password
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from access_control import sign_in
from access_control.codes import Reason, SubjectKind
from access_control.events import Event
from access_control.ledger import acting
from access_control.models import Staff


class StaffBackend(AxesStandaloneBackend, BaseBackend):
    """Signs in active accounts of people who have not left, after few enough wrong tries.

    Every attempt at an account is in the ledger; a name that is none is not, since anything may have been typed there.
    """

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: Any
    ) -> Staff | None:
        """The account, or None. Unknown names cost as long as wrong passwords, and are locked like accounts.

        Raises Locked while account or address is locked, whatever the password.
        """
        if username is None or password is None:
            return None
        this = sign_in.claim_try(username)
        if this.locked_until is not None:
            sign_in.mark_locked(request, this.locked_until)
            raise sign_in.Locked(this.locked_until)
        staff = Staff.objects.select_related("person").filter(username=username).first()
        if staff is None:
            make_password(password)
            sign_in.failed(request, this, None)
            return None
        if not (staff.check_password(password) and staff.is_active and staff.person.left_on is None):
            sign_in.failed(request, this, staff)
            return None
        sign_in.forgive(this.name, here=sign_in.client_address())
        with acting(staff, reason=Reason.SIGNED_IN) as act:
            act.record(Event.SIGNED_IN, subject=staff.person_id, subject_kind=SubjectKind.STAFF)
        return staff

    def get_user(self, user_id: Any) -> Staff | None:
        """The account of a session, with its person, read anew for every request."""
        staff = Staff.objects.select_related("person", "person__entity").filter(pk=user_id).first()
        return staff if staff and staff.is_active and staff.person.left_on is None else None


def knows_password(staff: Staff, password: str) -> bool:
    """Whether it is the password of an account that is signed in; a wrong one counts as it does at sign-in.

    So an open session tells nobody whether a guess is right. Raises Locked.
    """
    this = sign_in.claim_try(staff.username)
    if this.locked_until is not None:
        raise sign_in.Locked(this.locked_until)
    if not staff.check_password(password):
        sign_in.failed(None, this, staff)
        return False
    sign_in.forgive(this.name, here=sign_in.client_address())
    return True


def actor_of(request: HttpRequest) -> Staff:
    """The account that makes the request. Raises PermissionDenied for anybody else."""
    if not isinstance(request.user, Staff):
        raise PermissionDenied
    return request.user
