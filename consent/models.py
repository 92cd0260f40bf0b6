"""Published policy versions, consent events, recipients, engagements and the provision ledger."""

import secrets
from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from access_control.codes import Purpose
from access_control.ids import new_id
from access_control.models import Staff
from access_control.privileges import ADDS
from members.models import Case, Member


class PolicyVersion(models.Model):
    """A published text of the policy (P0). Frozen: its rows are only ever added."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    number = models.SmallIntegerField(_("version"), unique=True)
    established_on = models.DateField(_("established"))
    revised_on = models.DateField(_("revised"))
    effective_on = models.DateField(_("in force from"), unique=True)
    change_reason = models.CharField(_("reason for the change"), max_length=300, blank=True)

    append_only = True

    privileges: ClassVar = {"app": ADDS}
    untracked = "Rows are only ever added."

    class Meta:
        verbose_name = _("policy version")
        verbose_name_plural = _("policy versions")
        ordering: ClassVar = ["-number"]

    def __str__(self) -> str:
        return str(self.number)

    @classmethod
    def restriction(cls, actor: Any, action: str) -> Q:
        """The policy is public."""
        return Q()


class PolicySentence(models.Model):
    """One sentence of a published version, in every language it was published in."""

    version = models.ForeignKey(PolicyVersion, models.PROTECT, related_name="sentences", verbose_name=_("version"))
    position = models.SmallIntegerField(_("position"))
    clause = models.CharField(_("clause"), max_length=4)
    sentence = models.CharField(_("sentence"), max_length=10)
    text_ja = models.TextField(_("Japanese text"))
    text_en = models.TextField(_("English text"))

    append_only = True

    privileges: ClassVar = {"app": ADDS}
    untracked = "Rows are only ever added."

    class Meta:
        verbose_name = _("sentence")
        verbose_name_plural = _("sentences")
        ordering: ClassVar = ["version", "position"]
        constraints = [
            models.UniqueConstraint(fields=["version", "sentence"], name="consent_policysentence_once"),
        ]

    def __str__(self) -> str:
        return self.sentence


class MatrixCell(models.Model):
    """The published version allows this item for this purpose. What has no cell is not allowed."""

    version = models.ForeignKey(PolicyVersion, models.PROTECT, related_name="cells", verbose_name=_("version"))
    item = models.CharField(_("item"), max_length=60)
    purpose = models.SmallIntegerField(_("purpose"), choices=Purpose.choices)

    append_only = True

    privileges: ClassVar = {"app": ADDS}
    untracked = "Rows are only ever added."

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["version", "item", "purpose"], name="consent_matrixcell_once"),
        ]

    def __str__(self) -> str:
        return f"{self.item} {self.purpose}"


class OurRule(models.Model):
    """A use that the published text allows and the company forbids itself. Stored apart, shown as "our rule"."""

    item = models.CharField(_("item"), max_length=60)
    purpose = models.SmallIntegerField(_("purpose"), choices=Purpose.choices)
    why = models.CharField(_("why"), max_length=200)

    privileges: ClassVar = {"app": ADDS}
    untracked = "Rows are added at set-up; no role may change or delete one."

    class Meta:
        verbose_name = _("our rule")
        verbose_name_plural = _("our rules")
        constraints = [models.UniqueConstraint(fields=["item", "purpose"], name="consent_ourrule_once")]

    def __str__(self) -> str:
        return f"{self.item} {self.purpose}"


class ConsentEvent(models.Model):
    """A member agreed, or counts as having agreed, to a version. Never changed; the next event says what is new."""

    class Kind(models.TextChoices):
        """How consent came about (P1)."""

        DEEMED_JOINING = "deemed_joining", _("deemed, by joining")
        DEEMED_USING = "deemed_using", _("deemed, by using the site")

    class Evidence(models.TextChoices):
        """What proves it."""

        SCREEN = "screen", _("hash of the screen shown")
        NOT_HELD = "not_held", _("not held")

    class Channel(models.TextChoices):
        """Where it happened."""

        SITE = "site", _("site")
        IMPORT = "import", _("import")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    member = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"))
    # None: the version of that day, whose text is not held here and is never invented.
    version = models.ForeignKey(PolicyVersion, models.PROTECT, verbose_name=_("version"), null=True)
    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices)
    channel = models.CharField(_("channel"), max_length=8, choices=Channel.choices)
    on = models.DateField(_("on"))
    evidence = models.CharField(_("evidence"), max_length=10, choices=Evidence.choices)
    screen_hash = models.BinaryField(_("hash of the screen"), null=True)

    append_only = True

    privileges: ClassVar = {"app": ADDS}
    untracked = "Rows are only ever added."

    class Meta:
        verbose_name = _("consent event")
        verbose_name_plural = _("consent events")
        indexes: ClassVar = [
            # A member's consent, newest first.
            models.Index(fields=["member", "-on"], name="consent_member_on"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(evidence="screen", screen_hash__isnull=False) | Q(evidence="not_held", screen_hash=None),
                name="consent_consentevent_hash_is_true",
            )
        ]

    def __str__(self) -> str:
        return self.kind


class AcceptedVersion(models.Model):
    """The newest version a member accepted: what the gate reads, folded from the member's consent events."""

    member = models.OneToOneField(Member, models.PROTECT, primary_key=True, verbose_name=_("member"))
    version = models.ForeignKey(PolicyVersion, models.PROTECT, verbose_name=_("version"))
    event = models.ForeignKey(ConsentEvent, models.PROTECT, verbose_name=_("consent event"))

    privileges: ClassVar = {"app": ADDS}
    untracked = "It is folded from consent events, which are only ever added."

    class Meta:
        verbose_name = _("accepted version")
        verbose_name_plural = _("accepted versions")

    def __str__(self) -> str:
        return str(self.version_id)


class Recipient(models.Model):
    """A third party that data goes to."""

    class Kind(models.TextChoices):
        """What it does; limits what it may be given under P4.C."""

        CARRIER = "carrier", _("carrier")
        SETTLEMENT = "settlement", _("settlement agency")
        CONTRACTOR = "contractor", _("contractor")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(_("company name"), max_length=100, unique=True)
    kind = models.CharField(_("kind"), max_length=12, choices=Kind.choices)

    privileges: ClassVar = {"app": ADDS}
    untracked = "Rows are added at set-up; no role may change or delete one."

    class Meta:
        verbose_name = _("recipient")
        verbose_name_plural = _("recipients")

    def __str__(self) -> str:
        return self.name


class Engagement(models.Model):
    """Work given to a contractor (P4.B1): what data, for what, how long, and when that was announced."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    recipient = models.ForeignKey(Recipient, models.PROTECT, verbose_name=_("recipient"))
    items = ArrayField(models.CharField(max_length=60), verbose_name=_("items"))
    purposes = ArrayField(models.SmallIntegerField(choices=Purpose.choices), verbose_name=_("purposes"))
    announced_on = models.DateField(_("announced"))
    starts_on = models.DateField(_("starting on"))
    ends_on = models.DateField(_("ending on"))

    privileges: ClassVar = {"app": ADDS}
    untracked = "Rows are added at set-up; no role may change or delete one."

    class Meta:
        verbose_name = _("engagement")
        verbose_name_plural = _("engagements")
        constraints = [
            models.CheckConstraint(
                condition=Q(announced_on__lte=F("starts_on"), starts_on__lte=F("ends_on")),
                name="consent_engagement_announced_first",
                violation_error_message=_("An engagement is announced before it starts, and starts before it ends."),
            )
        ]

    def __str__(self) -> str:
        return str(self.recipient_id)


def new_subject_reference() -> str:
    """An opaque reference (128 random bits as base64url) that tells nothing about the member."""
    return secrets.token_urlsafe(16)


class SubjectReference(models.Model):
    """The name under which one recipient knows one member; outlives everything readable about the member."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    member = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"))
    recipient = models.ForeignKey(Recipient, models.PROTECT, verbose_name=_("recipient"))
    reference = models.CharField(_("reference"), max_length=30, unique=True, default=new_subject_reference)

    append_only = True

    privileges: ClassVar = {"app": ADDS}
    untracked = "Rows are only ever added."

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["member", "recipient"], name="consent_subjectreference_once"),
        ]

    def __str__(self) -> str:
        return self.reference


class Provision(models.Model):
    """One handing-out of one member's items to one recipient (P4). Written by the only function that hands data out."""

    class Basis(models.TextChoices):
        """Why it was allowed."""

        B1 = "B1", _("engagement")
        C2 = "C2", _("settling charges")
        C3 = "C3", _("between the parties of a transaction")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    reference = models.ForeignKey(SubjectReference, models.PROTECT, verbose_name=_("reference"))
    items = ArrayField(models.CharField(max_length=60), verbose_name=_("items"))
    purpose = models.SmallIntegerField(_("purpose"), choices=Purpose.choices)
    basis = models.CharField(_("basis"), max_length=2, choices=Basis.choices)
    engagement = models.ForeignKey(Engagement, models.PROTECT, verbose_name=_("engagement"), null=True)
    case = models.ForeignKey(Case, models.PROTECT, verbose_name=_("case"), null=True)
    actor = models.ForeignKey(Staff, models.PROTECT, verbose_name=_("who"), null=True, related_name="+")
    at = models.DateTimeField(_("time"))
    batch = models.UUIDField(_("batch"))

    append_only = True
    # The announcement precedes every provision, also by raw SQL (P4.B1).
    database_rules = (
        """
CREATE OR REPLACE FUNCTION provision_was_announced() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.basis = 'B1' AND NOT EXISTS (
    SELECT FROM public.consent_engagement e WHERE e.id = NEW.engagement_id
       AND (NEW.at AT TIME ZONE 'Asia/Tokyo')::date BETWEEN greatest(e.announced_on, e.starts_on) AND e.ends_on
       AND NEW.items::text[] <@ e.items::text[] AND NEW.purpose = ANY (e.purposes)) THEN
    RAISE EXCEPTION 'no announced engagement covers this provision' USING ERRCODE = 'CA004';
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER provision_was_announced BEFORE INSERT ON consent_provision
  FOR EACH ROW EXECUTE FUNCTION provision_was_announced();
""",
    )

    privileges: ClassVar = {"app": ADDS}
    untracked = "Rows are only ever added."

    class Meta:
        verbose_name = _("provision")
        verbose_name_plural = _("provisions")
        indexes: ClassVar = [
            # What went where, for orders to recipients and for disclosure.
            models.Index(fields=["reference", "-at"], name="provision_reference"),
        ]

    def __str__(self) -> str:
        return f"…{self.id.hex[-8:]}"
