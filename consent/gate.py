"""The gate: whether an item of a member may be used for a purpose now, and if not, which rule says so.

A use is allowed only if the policy version in force *and* the version the member accepted both allow it (P0), the
company's own rule does not forbid it, the membership stands, and no correction suspends the item (P5.B).
"""

import dataclasses
import datetime
import uuid
from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from access_control.codes import Purpose
from consent.models import AcceptedVersion, MatrixCell, OurRule, PolicyVersion
from members.inventory import ITEMS
from members.models import Member, Suspension


class Code(models.TextChoices):
    """Why a use is refused; each names the rule and its clause. Stored, so values never change meaning."""

    SUSPENDED = "suspended", _("A correction of this item is pending, so it is neither used nor provided (clause 5).")
    NOT_IN_POLICY = "not_in_policy", _("The policy in force does not allow this item for this purpose (clause 2).")
    NO_POLICY = "no_policy", _("No policy version is in force, so nothing may be used (preamble).")
    NOT_ACCEPTED = "not_accepted", _("The version the member accepted does not allow this use (preamble).")
    NO_ACCEPTED_VERSION = (
        "no_accepted_version",
        _("The member has accepted no version whose text is held (preamble)."),
    )
    OUR_RULE = "our_rule", _("The published policy would allow this; our own rule does not.")
    ENDED = "ended", _("The membership has ended (clause 7).")
    NO_SUCH_ITEM = "no_such_item", _("The inventory knows no such item (clause 2).")
    NO_GRANT = "no_grant", _("No open case gives you access to this member.")
    CASE_CLOSED = "case_closed", _("The case is closed, and your access ended with it.")
    OTHER_PURPOSE = "other_purpose", _("Your access was not given for this purpose (clause 2).")
    OTHER_CATEGORY = "other_category", _("Your access was not given for this category of data (clause 8).")
    OTHER_ROLE = "other_role", _("Your account does not keep the statutory records (clause 8).")
    NO_BASIS = "no_basis", _("No basis of clause 4 covers this provision.")
    NOT_ANNOUNCED = (
        "not_announced",
        _("No announced engagement covers these items, this purpose and this day (clause 4)."),
    )


# Refusals that end by themselves: what waits for such an item is tried again.
PASSING = frozenset({Code.SUSPENDED, Code.NO_POLICY})
# Whose rule refuses: shown beside the sentence.
OUR_OWN = frozenset({Code.OUR_RULE})


class Refused(Exception):
    """The gate refused; ``decision`` says why. Its text is the code alone."""

    def __init__(self, decision: "Decision") -> None:
        super().__init__(decision.code)
        self.decision = decision


@dataclasses.dataclass(frozen=True)
class Decision:
    """Allowed, or refused with a code."""

    code: str = ""

    @property
    def allowed(self) -> bool:
        """Whether nothing refuses."""
        return not self.code

    @property
    def passing(self) -> bool:
        """Whether the refusal ends by itself: with the correction that is pending, or with a policy in force."""
        return self.code in PASSING

    @property
    def ours(self) -> bool:
        """Whether the company's own rule refuses, rather than the published policy."""
        return self.code in OUR_OWN

    @property
    def sentence(self) -> Any:
        """Why not, in one sentence."""
        return Code(self.code).label if self.code else ""


ALLOWED = Decision()


def version_in_force(on: datetime.date) -> PolicyVersion | None:
    """The published version in force on a day (Tokyo)."""
    return PolicyVersion.objects.filter(effective_on__lte=on).order_by("-effective_on").first()


def decide(
    member: Member,
    *,
    item: str,
    row: uuid.UUID | None,
    purpose: Purpose | int,
    now: datetime.datetime | None = None,
    case: uuid.UUID | None = None,
    decided: bool = False,
) -> Decision:
    """Judge one use. ``case``: an identified case of the member's own, under which an agent looks or answers.

    Within it a correction of that same case suspends nothing, and the member's own request stands in for an accepted
    version (P5.A: a member may see and correct own data). ``decided``: the value is a copy that a decided correction
    made, which a later correction of the item does not suspend.
    """
    now = now or timezone.now()
    if item not in ITEMS:
        return Decision(Code.NO_SUCH_ITEM)
    current = version_in_force(timezone.localdate(now))
    if current is None:
        return Decision(Code.NO_POLICY)
    versions = {current.pk: Code.NOT_IN_POLICY}
    if case is None:
        accepted = AcceptedVersion.objects.filter(member=member).values_list("version_id", flat=True).first()
        if accepted is None:
            return Decision(Code.NO_ACCEPTED_VERSION)
        versions.setdefault(accepted, Code.NOT_ACCEPTED)
    allowing = set(
        MatrixCell.objects.filter(version__in=versions, item=item, purpose=purpose).values_list("version_id", flat=True)
    )
    for version, code in versions.items():
        if version not in allowing:
            return Decision(code)
    if OurRule.objects.filter(item=item, purpose=purpose).exists():
        return Decision(Code.OUR_RULE)
    if member.state != Member.State.ACTIVE and case is None:
        return Decision(Code.ENDED)
    if decided:
        return ALLOWED
    suspensions = Suspension.objects.filter(member=member, item=item, ended_at=None)
    if row is not None:
        suspensions = suspensions.filter(row=row)
    if case is not None:
        suspensions = suspensions.exclude(case_id=case)
    return Decision(Code.SUSPENDED) if suspensions.exists() else ALLOWED
