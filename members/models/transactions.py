"""What the law keeps of a transaction (P7.A): sealed under *statutory* by fiscal year, when it is written."""

import datetime
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from access_control.history import tracked
from access_control.ids import new_id
from access_control.privileges import Writes
from access_control.vault.fields import SealedField
from members import inventory
from members.models.people import Member


def fiscal_year(day: datetime.date, first_month: int) -> int:
    """The fiscal year of a day, called by the calendar year in which it starts. ``first_month`` is 1 to 12."""
    return day.year if day.month >= first_month else day.year - 1


class Transaction(models.Model):
    """One order of a member: order number, goods, amount, date, and the name and address it was made under.

    Its key is the member's *statutory* key of the fiscal year, so that it outlives the membership and ends by itself.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    member = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"))
    ordered_on = models.DateField(_("ordered on"))
    fiscal_year = models.SmallIntegerField(_("fiscal year"))
    order = SealedField(inventory.TRANSACTION_ORDER, subject="member_id", verbose_name=_("order number"))
    goods = SealedField(inventory.TRANSACTION_GOODS, subject="member_id", verbose_name=_("goods"))
    amount = SealedField(inventory.TRANSACTION_AMOUNT, subject="member_id", verbose_name=_("amount"))
    name = SealedField(inventory.TRANSACTION_NAME, subject="member_id", verbose_name=_("buyer's name"))
    address = SealedField(inventory.TRANSACTION_ADDRESS, subject="member_id", verbose_name=_("buyer's address"))

    history = tracked()

    # A record is locked while it is looked at, which takes the right to change a column; every change is tracked.
    privileges: ClassVar = {"app": Writes(insert=True, update=True), "purger": Writes(delete=True)}

    class Meta:
        verbose_name = _("transaction")
        verbose_name_plural = _("transactions")
        ordering: ClassVar = ["-ordered_on", "-id"]
        permissions: ClassVar = [
            ("reveal_transaction", "reveal what the law keeps"),
            ("import_transaction", "import transactions"),
        ]
        indexes: ClassVar = [
            # Retention: whose records of a fiscal year are still there; the list of a fiscal year.
            models.Index(fields=["fiscal_year", "member"], name="transaction_year"),
            # The list, newest first.
            models.Index(fields=["-ordered_on", "-id"], name="transaction_ordered"),
        ]
        constraints = [
            # A fiscal year starts within the calendar year that it is called by, and lasts one year.
            models.CheckConstraint(
                condition=Q(fiscal_year=models.F("ordered_on__year")) | Q(fiscal_year=models.F("ordered_on__year") - 1),
                name="members_transaction_year_is_its_days",
            )
        ]

    def __str__(self) -> str:
        return f"…{self.id.hex[-8:]}"

    @classmethod
    def restriction(cls, actor: Any, action: str) -> Q:
        """Whoever keeps the statutory records sees all of them, masked."""
        return Q()
