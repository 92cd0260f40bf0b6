"""Signing in. The backend knows passwords and nothing of permissions; those are asked of ``policies``."""

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import make_password
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from access_control.codes import Reason
from access_control.events import Event
from access_control.ledger import acting
from access_control.models import Staff


class StaffBackend(BaseBackend):
    """Signs in active accounts of people who have not left. Every attempt is in the ledger."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: Any
    ) -> Staff | None:
        """The account, or None. Unknown names cost as long as wrong passwords."""
        if username is None or password is None:
            return None
        staff = Staff.objects.select_related("person").filter(username=username).first()
        if staff is None:
            make_password(password)
            return None
        with acting(staff, reason=Reason.SIGNED_IN) as act:
            if staff.check_password(password) and staff.is_active and staff.person.left_on is None:
                act.record(Event.SIGNED_IN)
                return staff
            act.record(Event.SIGN_IN_FAILED)
        return None

    def get_user(self, user_id: Any) -> Staff | None:
        """The account of a session, with its person, read anew for every request."""
        staff = Staff.objects.select_related("person", "person__entity").filter(pk=user_id).first()
        return staff if staff and staff.is_active and staff.person.left_on is None else None


def actor_of(request: HttpRequest) -> Staff:
    """The account that makes the request. Raises PermissionDenied for anybody else."""
    if not isinstance(request.user, Staff):
        raise PermissionDenied
    return request.user
