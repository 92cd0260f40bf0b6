"""Legal holds: what must not be destroyed, whatever is due."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from access_control.history import tracked
from access_control.ids import new_id
from access_control.models import Staff
from access_control.privileges import Writes
from members.models import Member


class LegalHold(models.Model):
    """Nothing of this member is destroyed until the hold is lifted. The vault's keys are frozen as well."""

    class Ground(models.TextChoices):
        """Why the data must stay."""

        LITIGATION = "litigation", _("a court case is pending or threatened")
        AUTHORITY = "authority", _("an authority demanded it")
        MISUSE = "misuse", _("evidence of misuse of another's data")
        INCIDENT = "incident", _("an incident is being investigated")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    member = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"))
    ground = models.CharField(_("why"), max_length=12, choices=Ground.choices)
    placed_at = models.DateTimeField(_("placed"))
    placed_by = models.ForeignKey(Staff, models.PROTECT, verbose_name=_("placed by"), related_name="+")
    lifted_at = models.DateTimeField(_("lifted"), null=True, blank=True)
    lifted_by = models.ForeignKey(
        Staff, models.PROTECT, verbose_name=_("lifted by"), related_name="+", null=True, blank=True
    )

    history = tracked()

    privileges: ClassVar = {"app": Writes(insert=True, update=True)}

    class Meta:
        verbose_name = _("legal hold")
        verbose_name_plural = _("legal holds")
        ordering: ClassVar = ["-placed_at"]
        permissions: ClassVar = [("place_legalhold", "place and lift legal holds")]
        constraints = [
            models.UniqueConstraint(
                fields=["member", "ground"],
                condition=Q(lifted_at=None),
                name="retention_legalhold_one_open",
                violation_error_message=_("This member's data is on hold for this reason already."),
            ),
            models.CheckConstraint(
                condition=Q(lifted_at=None, lifted_by=None) | Q(lifted_at__isnull=False, lifted_by__isnull=False),
                name="retention_legalhold_lifted_by_somebody",
            ),
        ]

    def __str__(self) -> str:
        return f"…{self.id.hex[-8:]}"

    @classmethod
    def restriction(cls, actor: Any, action: str) -> Q:
        """Whoever may see holds sees all of them; they name nobody."""
        return Q()
