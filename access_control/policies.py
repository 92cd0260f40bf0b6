"""The only ways to ask whether somebody may: :func:`can` and :func:`restrict`. Closed by default.

May = a person of an allowed class ∧ still employed ∧ an active account ∧ a role that carries the action ∧, for what
needs one, a live grant on the object. Unknown actor, unknown action, missing grant: no. Nobody is a superuser.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import Exists, OuterRef

from access_control import locks
from access_control.grants import grant_model_for
from access_control.models import Person, Staff
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


def still_may(actor: Staff | None, action: str) -> bool:
    """:func:`may`, asked of the database: the account may have ended or moved since it was read. The system may."""
    if actor is None:
        return True
    account = Staff.objects.select_related("person").filter(pk=actor.pk, epoch=actor.epoch).first()
    return may(account, action)


def restrict(queryset: models.QuerySet[M], actor: Any, action: str) -> models.QuerySet[M]:
    """The rows of ``queryset`` on which ``actor`` may do ``action`` now; none when there is no rule for them."""
    if not may(actor, action):
        return queryset.none()
    model = queryset.model
    if action in NEEDS_GRANT:
        grants = grant_model_for(model)
        if grants is None:
            return queryset.none()
        return queryset.filter(Exists(_live(grants, actor, action).filter(content_object=OuterRef("pk"))))
    rule = getattr(model, "restriction", None)
    return queryset.none() if rule is None else queryset.filter(rule(actor, action))


def _live(grants: Any, actor: Any, action: str) -> models.QuerySet[Any]:
    """The live grants of ``actor`` for ``action``."""
    app_label, codename = action.split(".")
    live: models.QuerySet[Any] = grants.objects.live().filter(
        user=actor, permission__codename=codename, permission__content_type__app_label=app_label
    )
    return live


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
    found = _live(grants, actor, action).filter(content_object=target, **by).order_by("-opened_at").first()
    if found is None:
        raise PermissionDenied
    return found


def keep_grants(actor: Any, action: str, targets: Iterable[models.Model], **by: Any) -> dict[Any, Any]:
    """The live grants, narrowed ``by`` their columns, that let ``actor`` do ``action``: target → the newest.

    Account and grants are kept to the end of the transaction. A target without one is left out. Raises PermissionDenied
    when the account itself may not.
    """
    hold_accounts((actor, action))
    found, wanted = locks.found_true(), list(targets)
    place = (actor.pk, action, *sorted((name, getattr(value, "pk", value)) for name, value in by.items()))
    new = [target for target in wanted if (*place, target.pk) not in found]
    if new and (grants := grant_model_for(type(new[0]))) is not None:
        kept = locks.keep(_live(grants, actor, action).filter(content_object__in=new, **by))
        for grant in sorted(kept, key=lambda one: (one.opened_at, one.pk)):
            found[*place, grant.content_object_id] = grant
    return {target.pk: found[*place, target.pk] for target in wanted if (*place, target.pk) in found}


def hold(
    actor: Any,
    action: str | None = None,
    *,
    targets: Sequence[models.Model] = (),
    rows: Sequence[models.Model] = (),
    **by: Any,
) -> None:
    """Re-check account, role, a grant on each of ``targets``, and ``rows``; hold them to the end of the transaction.

    Whoever ends one of them, by a departure, a move, a revocation or a destruction, returns only after that end.
    Without ``action`` the role is not asked; the system (None) has neither account nor grants. Rows are held in the
    order given: a member before what belongs to them. Raises PermissionDenied when anything has ended.
    """
    if actor is not None:
        hold_accounts((actor, action))
        if action in NEEDS_GRANT and not targets:
            raise PermissionDenied
        if targets and len(keep_grants(actor, str(action), targets, **by)) < len(set(targets)):
            raise PermissionDenied
    for row in rows:
        if not locks.share(type(row)._default_manager.filter(pk=row.pk)):
            raise PermissionDenied


def hold_accounts(*who: tuple[Any, str | None]) -> None:
    """As :func:`hold`, for several accounts at once, each with the action that its role must carry, or None."""
    found = locks.found_true()
    new = [actor for actor, _action in who if (actor.pk, actor.epoch) not in found]
    if new:
        people = {person.pk: person for person in locks.keep(_employed(new))}
        for account in locks.keep(Staff.objects.filter(pk__in=[actor.pk for actor in new], is_active=True)):
            if account.person_id in people:
                account.person = people[account.person_id]
                found[account.pk, account.epoch] = account
    for actor, action in who:
        held = found.get((actor.pk, actor.epoch))
        if held is None or (action is not None and not may(held, action)):
            raise PermissionDenied


def _employed(accounts: Sequence[Any]) -> models.QuerySet[Person]:
    return Person.objects.filter(pk__in=[account.person_id for account in accounts], left_on=None)
