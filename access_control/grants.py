"""The grant: one row that lets one person do one thing to one object, for one case, until it ends.

The only module that imports django-guardian, whose direct foreign-key base class alone is used: guardian's backend,
checker and shortcuts would honour expired grants and superusers.
"""

from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from guardian.models import UserObjectPermissionBase

from access_control.codes import Purpose, Reason
from access_control.locks import Rank
from access_control.vault.categories import Category


class GrantQuerySet(models.QuerySet[Any]):
    """Grants by life."""

    def live(self) -> "GrantQuerySet":
        """Not ended, not expired on the database's clock, and made under the account's present epoch."""
        return self.filter(
            ended_at=None,
            expires_at__gt=Now(),
            user__is_active=True,
            staff_epoch=models.F("user__epoch"),
            user__person__left_on=None,
        )


class GrantBase(UserObjectPermissionBase):
    """Guardian's direct-FK grant, with purpose, categories, staff epoch and expiry. Subclasses add object and case."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, verbose_name=_("account"), related_name="+")
    person = models.ForeignKey("access_control.Person", models.PROTECT, verbose_name=_("person"), related_name="+")
    staff_epoch = models.IntegerField(_("account epoch"))
    purpose = models.SmallIntegerField(_("purpose"), choices=Purpose.choices)
    categories = ArrayField(models.SmallIntegerField(choices=Category.choices), verbose_name=_("categories"))
    opened_at = models.DateTimeField(_("opened"))
    expires_at = models.DateTimeField(_("expires"))
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    end_reason = models.CharField(_("why it ended"), max_length=40, choices=Reason.choices, blank=True)

    lock_rank = Rank.GRANT
    objects = GrantQuerySet.as_manager()  # type: ignore[misc, assignment]

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.permission_id}"


def grant_model_for(model: type[models.Model]) -> type[Any] | None:
    """The grant model whose objects are ``model``, or None when ``model`` is not protected by grants."""
    for candidate in GrantBase.__subclasses__():
        target: Any = candidate._meta.get_field("content_object")  # type: ignore[misc]
        if target.related_model is model:
            return candidate
    return None
