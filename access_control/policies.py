"""The only ways to ask whether somebody may: :func:`can` and :func:`restrict`. Closed by default.

May = a person of an allowed class ∧ still employed ∧ an active account ∧ a role that carries the action ∧, for what
needs one, a live grant on the object. Unknown actor, unknown action, missing grant: no. Nobody is a superuser.
"""

import uuid
from typing import Any, TypeVar

from django.core.exceptions import PermissionDenied
from django.db import connection, models
from django.db.models import Exists, OuterRef

from access_control.grants import grant_model_for
from access_control.roles import NEEDS_GRANT, PERMISSIONS

M = TypeVar("M", bound=models.Model)


def may(actor: Any, action: str) -> bool:
    """Whether person, account and role carry ``action`` ("app.codename"), leaving objects aside."""
    person = getattr(actor, "person", None)
    if person is None:
        return False
    if not actor.is_active:
        return False
    if person.left_on is not None:
        return False
    if not person.access_class:
        return False
    return action in PERMISSIONS.get(actor.role, frozenset())


def restrict(queryset: models.QuerySet[M], actor: Any, action: str) -> models.QuerySet[M]:
    """The rows of ``queryset`` on which ``actor`` may do ``action`` now; none when there is no rule for them."""
    if not may(actor, action):
        return queryset.none()
    model = queryset.model
    if action in NEEDS_GRANT:
        grants = grant_model_for(model)
        if grants is None:
            return queryset.none()
        app_label, codename = action.split(".")
        live = grants.objects.live().filter(
            content_object=OuterRef("pk"),
            user=actor,
            permission__codename=codename,
            permission__content_type__app_label=app_label,
        )
        return queryset.filter(Exists(live))
    rule = getattr(model, "restriction", None)
    return queryset.none() if rule is None else queryset.filter(rule(actor, action))


def can(actor: Any, action: str, target: models.Model | None = None) -> bool:
    """Whether ``actor`` may do ``action``, on ``target`` when one is given. Without one, a grant is never assumed."""
    if target is None:
        return may(actor, action) and action not in NEEDS_GRANT
    return restrict(type(target)._default_manager.filter(pk=target.pk), actor, action).exists()


def live_grant(actor: Any, action: str, target: models.Model, **by: Any) -> Any:
    """The grant, narrowed ``by`` its columns, that lets ``actor`` do ``action`` on ``target``.

    Raises PermissionDenied when there is none.
    """
    grants = grant_model_for(type(target))
    if grants is None or not may(actor, action):
        raise PermissionDenied
    app_label, codename = action.split(".")
    found = (
        grants.objects.live()
        .filter(
            content_object=target,
            user=actor,
            permission__codename=codename,
            permission__content_type__app_label=app_label,
            **by,
        )
        .order_by("-opened_at")
        .first()
    )
    if found is None:
        raise PermissionDenied
    return found


def hold(actor: Any, action: str, target: models.Model, **by: Any) -> None:
    """Find the grant for ``action`` on ``target`` and hold it like :func:`hold_for_reveal`. Raises PermissionDenied."""
    hold_for_reveal(actor, live_grant(actor, action, target, **by))


def hold_role(actor: Any, action: str, *rows: models.Model) -> None:
    """Re-check account, person and role, then that ``rows`` are still there, under share locks held to the end.

    For what needs no grant. A departure, a move or a destruction waits, and is true once it returns. Raises
    PermissionDenied. Rows are held in the order given: a member before what belongs to them.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.role, p.access_class FROM access_control_staff s"
            " JOIN access_control_person p ON p.id = s.person_id"
            " WHERE s.id = %s AND s.epoch = %s AND s.is_active AND p.left_on IS NULL FOR SHARE OF s, p",
            [actor.pk, actor.epoch],
        )
        role, access_class = cursor.fetchone() or ("", "")
        if not access_class or action not in PERMISSIONS.get(role, frozenset()):
            raise PermissionDenied
        for row in rows:
            cursor.execute(f"SELECT 1 FROM {row._meta.db_table} WHERE id = %s FOR SHARE", [row.pk])
            if cursor.fetchone() is None:
                raise PermissionDenied


def hold_grant(actor: Any, grant: Any) -> None:
    """Re-check account, person and grant under share locks, in that order; the transaction holds them to its end."""
    _hold(actor, grant, with_object=False)


def hold_for_reveal(actor: Any, grant: Any) -> None:
    """Re-check account, grant and object under share locks, in that order; the transaction holds them to its end.

    A revocation, a departure or a destruction waits for a reveal in flight, and is true once it returns. Raises
    PermissionDenied when any of the three no longer holds. Raw SQL, because the ORM has no FOR SHARE.
    """
    _hold(actor, grant, with_object=True)


def _hold(actor: Any, grant: Any, *, with_object: bool) -> None:
    table = grant._meta.db_table
    target = grant._meta.get_field("content_object").related_model._meta.db_table
    checks: list[tuple[str, list[uuid.UUID | int]]] = [
        (
            "SELECT 1 FROM access_control_staff s JOIN access_control_person p ON p.id = s.person_id"
            " WHERE s.id = %s AND s.epoch = %s AND s.is_active AND p.left_on IS NULL FOR SHARE OF s, p",
            [actor.pk, grant.staff_epoch],
        ),
        (
            f"SELECT 1 FROM {table} WHERE id = %s AND ended_at IS NULL AND expires_at > clock_timestamp() FOR SHARE",
            [grant.pk],
        ),
    ]
    if with_object:
        checks.append((f"SELECT 1 FROM {target} WHERE id = %s FOR SHARE", [grant.content_object_id]))
    with connection.cursor() as cursor:
        for sql, parameters in checks:
            cursor.execute(sql, parameters)
            if cursor.fetchone() is None:
                raise PermissionDenied
