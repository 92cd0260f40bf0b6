"""How long data is used and kept (P7.A): rules in versions, each frozen once it is published."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from access_control.ids import new_id
from access_control.models import Entity
from access_control.privileges import ADDS
from access_control.vault.categories import Category
from retention.periods import FUNCTION


class Start(models.TextChoices):
    """The event from which a period is counted."""

    MEMBERSHIP_ENDED = "membership_ended", _("membership ended")
    TRANSACTION = "transaction", _("end of the fiscal year of the transaction")
    VALUE_SUPERSEDED = "value_superseded", _("the value was corrected")
    CASE_CLOSED = "case_closed", _("the case was closed")


# The events that the policy counts from (P7), whether or not a rule can name them yet.
COUNTED_FROM: dict[str, Any] = {
    **dict(Start.choices),
    "last_use": _("last use of the site"),
    "delivery_completed": _("delivery completed"),
    "addressee_removed": _("an addressee was removed"),
    "payment_means_replaced": _("a means of payment was replaced"),
}


class RuleVersion(models.Model):
    """All retention rules as they stand from a day on. Frozen: a change is a new version, whole."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    number = models.SmallIntegerField(_("version"), unique=True)
    effective_on = models.DateField(_("in force from"), unique=True)
    published_at = models.DateTimeField(_("published"))
    change_reason = models.CharField(_("reason for the change"), max_length=300, blank=True)

    append_only = True

    privileges: ClassVar = {"app": ADDS}
    untracked = "Rows are only ever added."

    class Meta:
        verbose_name = _("retention rules")
        verbose_name_plural = _("retention rules")
        ordering: ClassVar = ["-number"]

    def __str__(self) -> str:
        return str(self.number)

    @classmethod
    def restriction(cls, actor: Any, action: str) -> Q:
        """Whoever may see the rules sees all of them."""
        return Q()


class Rule(models.Model):
    """How long one category is used and kept, for members of one entity's site, counted from one kind of event.

    Both periods count from the day (Asia/Tokyo) of the event, as ``retention.periods`` says.
    """

    class Ground(models.TextChoices):
        """Why it is kept that long (P7.A)."""

        PURPOSE = "purpose", _("the purpose is achieved; this long the member may still come back or object")
        TAX_JP = "tax_jp", _("tax law of Japan: books and vouchers, seven years")
        TRADE_KR = "trade_kr", _("electronic commerce law of Korea: contracts and payments, five years")
        COMPANIES_SG = "companies_sg", _("company law of Singapore: accounting records, five years")
        COMPLAINT = "complaint", _("complaints and how they were settled, three years")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    version = models.ForeignKey(RuleVersion, models.PROTECT, verbose_name=_("version"), related_name="rules")
    entity = models.ForeignKey(Entity, models.PROTECT, verbose_name=_("site"))
    category = models.SmallIntegerField(_("category"), choices=Category.choices)
    start = models.CharField(_("counted from"), max_length=20, choices=Start.choices)
    use_months = models.SmallIntegerField(_("used for months"), default=0)
    use_days = models.SmallIntegerField(_("and days"), default=0)
    keep_months = models.SmallIntegerField(_("kept for months"), default=0)
    keep_days = models.SmallIntegerField(_("and days"), default=0)
    ground = models.CharField(_("why"), max_length=20, choices=Ground.choices)

    append_only = True
    database_rules = (FUNCTION,)

    privileges: ClassVar = {"app": ADDS}
    untracked = "Rows are only ever added."

    class Meta:
        verbose_name = _("retention rule")
        verbose_name_plural = _("retention rules")
        ordering: ClassVar = ["version", "entity", "start", "category"]
        constraints = [
            models.UniqueConstraint(fields=["version", "entity", "category", "start"], name="retention_rule_once"),
            # What the law keeps is never due by the end of a membership.
            models.CheckConstraint(
                condition=Q(start=Start.TRANSACTION, category=Category.STATUTORY)
                | Q(start=Start.CASE_CLOSED, category=Category.CORRESPONDENCE)
                | Q(start=Start.VALUE_SUPERSEDED, category__in=[2, 3, 4, 5])
                | Q(start=Start.MEMBERSHIP_ENDED, category__lte=Category.CORRESPONDENCE),
                name="retention_rule_start_fits_category",
                violation_error_message=_("This category is not counted from that event."),
            ),
            models.CheckConstraint(
                condition=Q(
                    use_months__gte=0,
                    use_days__gte=0,
                    keep_months__gte=F("use_months"),
                    keep_days__gte=F("use_days"),
                ),
                name="retention_rule_kept_while_used",
                violation_error_message=_("Data is kept at least as long as it is used."),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.entity_id} {self.category} {self.start}"
