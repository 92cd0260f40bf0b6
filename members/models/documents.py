"""Identity documents: how a caller is identified of whom too little is on file to compare."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from access_control.ids import new_id
from access_control.models import Staff
from access_control.privileges import ADDS
from members.models.cases import Case
from members.models.people import Member


class IdentityDocument(models.Model):
    """A supervisor saw this document of a caller, and says that the caller is the member. No number is kept.

    Whoever works on the case does not confirm in it: the database refuses that, for every account of the person.
    """

    class Kind(models.TextChoices):
        """What was shown or sent."""

        DRIVING_LICENCE = "driving_licence", _("driving licence")
        PASSPORT = "passport", _("passport")
        RESIDENCE_CARD = "residence_card", _("residence card or special permanent resident certificate")
        # The Individual Number is on its back, which is neither asked for nor looked at (P2).
        NUMBER_CARD = "number_card", _("My Number Card (front only)")
        RESIDENCE_RECORD = "residence_record", _("copy of the residence record, without Individual Number")
        IDENTITY_CARD = "identity_card", _("identity card of another country")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    case = models.OneToOneField(Case, models.PROTECT, verbose_name=_("case"), related_name="document")
    member = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"))
    kind = models.CharField(pgettext_lazy("identity", "document"), max_length=20, choices=Kind.choices)
    issued_on = models.DateField(_("issued on"))
    confirmed_by = models.ForeignKey(Staff, models.PROTECT, verbose_name=_("confirmed by"), related_name="+")
    at = models.DateTimeField(_("time"))

    append_only = True
    privileges: ClassVar = {"app": ADDS}
    untracked = "Rows are only ever added."
    database_rules: ClassVar = (
        """
CREATE OR REPLACE FUNCTION document_is_seen_by_another() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  NEW.at := clock_timestamp();
  IF NEW.issued_on > (NEW.at AT TIME ZONE 'Asia/Tokyo')::date THEN
    RAISE EXCEPTION 'a document of a day to come' USING ERRCODE = 'CA010';
  END IF;
  IF NOT EXISTS (
    SELECT FROM public.members_case c
      JOIN public.access_control_staff o ON o.id = c.owner_id
      JOIN public.access_control_staff s ON s.id = NEW.confirmed_by_id
     WHERE c.id = NEW.case_id AND c.member_id = NEW.member_id AND o.person_id <> s.person_id) THEN
    RAISE EXCEPTION 'who works on a case confirms no document in it' USING ERRCODE = 'CA010';
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER document_is_seen_by_another BEFORE INSERT ON members_identitydocument
  FOR EACH ROW EXECUTE FUNCTION document_is_seen_by_another();
""",
    )

    class Meta:
        verbose_name = _("identity document")
        verbose_name_plural = _("identity documents")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(issued_on__gte="1950-01-01"),
                name="members_identitydocument_not_too_old",
                violation_error_message=_("A document of that age proves nothing."),
            )
        ]

    def __str__(self) -> str:
        return f"…{self.id.hex[-8:]}"
