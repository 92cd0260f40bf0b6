"""What a case lets its agent do with its member."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from access_control.grants import GrantBase
from access_control.privileges import Writes
from members.models.cases import Case
from members.models.people import Member


class MemberGrant(GrantBase):
    """What a case lets one agent do with its member, until the case closes."""

    content_object = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"))
    case = models.ForeignKey(Case, models.PROTECT, verbose_name=_("case"))

    privileges: ClassVar = {"app": Writes(insert=True, update=("ended_at", "end_reason", "expires_at"))}
    untracked = "It ends once and never lives longer (trigger); opening and ending are events in the ledger."
    database_rules = (
        """
CREATE OR REPLACE FUNCTION grant_ends_once() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.expires_at > OLD.expires_at
     OR OLD.ended_at IS NOT NULL AND (NEW.ended_at, NEW.end_reason) IS DISTINCT FROM (OLD.ended_at, OLD.end_reason) THEN
    RAISE EXCEPTION 'a grant ends once, and never lives longer' USING ERRCODE = 'CA021';
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER grant_ends_once BEFORE UPDATE ON members_membergrant
  FOR EACH ROW EXECUTE FUNCTION grant_ends_once();
""",
    )

    class Meta:
        verbose_name = _("grant")
        verbose_name_plural = _("grants")
        permissions: ClassVar = [("revoke_grant", "revoke a grant")]
        indexes: ClassVar = [
            # policies.restrict: may this account do this to this member now?
            models.Index(fields=["user", "content_object"], condition=Q(ended_at=None), name="grant_live"),
            # Closing a case ends its grants.
            models.Index(fields=["case"], name="grant_case"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["person", "case", "permission"],
                condition=Q(ended_at=None),
                name="members_membergrant_one_open",
                violation_error_message=_("This person has this access for this case already."),
            )
        ]
