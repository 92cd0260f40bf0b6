"""Runs and what they leave: certificate lines, certificates, parked items, verifications."""

from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from access_control.codes import SubjectKind
from access_control.privileges import ADDS, Writes
from access_control.vault.categories import Category
from retention.models.plans import Plan, PlanLine


class Run(models.Model):
    """The one run of a plan: how far it has come. Written by the purger alone."""

    plan = models.OneToOneField(Plan, models.PROTECT, primary_key=True, verbose_name=_("plan"))
    started_at = models.DateTimeField(_("started"))
    seen_at = models.DateTimeField(_("last sign of life"))
    finished_at = models.DateTimeField(_("finished"), null=True)
    times_begun = models.IntegerField(_("times begun"), default=1)
    destroyed_count = models.IntegerField(_("destroyed"), default=0)
    parked_count = models.IntegerField(_("parked"), default=0)
    os_host = models.CharField(_("host"), max_length=100)

    privileges: ClassVar = {"purger": Writes(insert=True, update=True)}
    untracked = "The purger counts in it how far it has come; people change nothing of it."

    class Meta:
        verbose_name = _("destruction run")
        verbose_name_plural = _("destruction runs")
        constraints = [
            # What a plan lists is either destroyed or parked when its run is over, and never both.
            models.CheckConstraint(
                condition=Q(destroyed_count__gte=0, parked_count__gte=0, times_begun__gte=1),
                name="retention_run_counts",
            )
        ]

    def __str__(self) -> str:
        return str(self.pk)


class CertificateLine(models.Model):
    """One key was destroyed: subject × category × generation, once and for ever. Holds no personal data."""

    id = models.UUIDField(primary_key=True)
    # Not as foreign keys, which would be asked row by row: the trigger below compares whole statements with the plan.
    plan = models.ForeignKey(Plan, models.PROTECT, verbose_name=_("plan"), db_constraint=False)
    subject = models.UUIDField(_("subject"))
    subject_kind = models.CharField(_("kind of subject"), max_length=12, choices=SubjectKind.choices)
    category = models.SmallIntegerField(_("category"), choices=Category.choices)
    generation = models.BigIntegerField(_("generation"))
    destroyed_at = models.DateTimeField(_("destroyed"))
    keyring = models.IntegerField(_("keyring key"))

    append_only = True
    database_rules = (
        """
CREATE OR REPLACE FUNCTION certificate_line_was_planned() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (
    SELECT FROM added a LEFT JOIN public.retention_planline p
        ON (p.id, p.plan_id, p.subject, p.subject_kind, p.category, p.generation)
         = (a.id, a.plan_id, a.subject, a.subject_kind, a.category, a.generation)
     WHERE p.id IS NULL) THEN
    RAISE EXCEPTION 'a certificate line repeats a line of its plan' USING ERRCODE = 'CA005';
  END IF;
  RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER certificate_line_was_planned AFTER INSERT ON retention_certificateline
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION certificate_line_was_planned();
""",
    )

    privileges: ClassVar = {"purger": ADDS}
    untracked = "Rows are only ever added."

    class Meta:
        verbose_name = _("certificate line")
        verbose_name_plural = _("certificate lines")
        ordering: ClassVar = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["subject", "category", "generation"], name="retention_certificateline_once"
            ),
        ]
        indexes: ClassVar = [
            # The certificate and its verification walk a plan's lines in this order.
            models.Index(fields=["plan", "id"], name="certificateline_walk"),
            # The report of a month; rows lie in the order of time.
            BrinIndex(fields=["destroyed_at"], name="certificateline_at"),
        ]

    def __str__(self) -> str:
        return f"…{self.id.hex[-8:]}"


class Parked(models.Model):
    """A planned item that its run did not destroy, and why. A later plan takes it up again."""

    class Reason(models.TextChoices):
        """Why it was not destroyed."""

        LEGAL_HOLD = "legal_hold", _("a legal hold was placed")
        OPEN_CASE = "open_case", _("a case was opened")
        CORRECTION_PENDING = "correction_pending", _("a correction was asked for (clause 5)")
        NOT_DUE = "not_due", _("it is not due any more")
        STILL_IN_USE = "still_in_use", _("a live value is sealed under this key")
        BUSY = "busy", _("somebody was working on it")
        APPROVAL_LAPSED = "approval_lapsed", _("somebody who asked or agreed has left or moved")
        NO_KEY = "no_key", _("the vault holds no such key")
        ENDED_ELSEWHERE = "ended_elsewhere", _("the key was destroyed under another certificate line")
        GIVEN_UP = "given_up", _("the run was given up")
        FAILED = "failed", _("the database refused")

    line = models.OneToOneField(PlanLine, models.PROTECT, primary_key=True, verbose_name=_("item"))
    plan = models.ForeignKey(Plan, models.PROTECT, verbose_name=_("plan"), related_name="parked")
    reason = models.CharField(_("why"), max_length=20, choices=Reason.choices)
    # The class of the error, or its SQLSTATE; never its message, which may quote a row.
    error = models.CharField(_("error"), max_length=60, blank=True)
    at = models.DateTimeField(_("time"))

    append_only = True

    privileges: ClassVar = {"purger": ADDS}
    untracked = "Rows are only ever added."

    class Meta:
        verbose_name = _("parked item")
        verbose_name_plural = _("parked items")
        ordering: ClassVar = ["line"]

    def __str__(self) -> str:
        return self.reason


class Certificate(models.Model):
    """What a run destroyed, signed (Ed25519). ``document`` is the text that was signed, byte for byte."""

    plan = models.OneToOneField(Plan, models.PROTECT, primary_key=True, verbose_name=_("plan"))
    issued_at = models.DateTimeField(_("issued"))
    document = models.TextField(_("document"))
    signature = models.BinaryField(_("signature"))
    # PEM. For our own check and for handing out; an outsider got theirs before, by another way.
    public_key = models.TextField(_("public key"))
    # 32 random bytes from which the pseudonyms of this certificate's subjects are made.
    salt = models.BinaryField()

    append_only = True
    database_rules = (
        """
CREATE OR REPLACE FUNCTION certificate_has_its_journal() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.document::jsonb ->> 'journal' IS NULL AND NOT EXISTS (
       SELECT FROM public.retention_planend e JOIN public.retention_plan p ON p.id = e.plan_id
         JOIN public.access_control_approval a ON a.payload_hash = sha256('journal_lost '::bytea || p.payload_hash)
        WHERE p.id = NEW.plan_id AND e.kind = 'given_up' AND a.kind = 'journal_lost' AND a.used_at IS NOT NULL
          AND a.requester_id IS NOT NULL) THEN
    RAISE EXCEPTION 'a certificate without a journal is of a run given up whose journal two persons call lost'
      USING ERRCODE = 'CA009';
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER certificate_has_its_journal BEFORE INSERT ON retention_certificate
  FOR EACH ROW EXECUTE FUNCTION certificate_has_its_journal();
""",
    )

    privileges: ClassVar = {"purger": ADDS}
    untracked = "Rows are only ever added."

    class Meta:
        verbose_name = _("certificate of destruction")
        verbose_name_plural = _("certificates of destruction")
        ordering: ClassVar = ["-issued_at"]

    def __str__(self) -> str:
        return str(self.pk)

    @classmethod
    def restriction(cls, actor: Any, action: str) -> Q:
        """Whoever may see certificates sees all of them; they name nobody."""
        return Q()


class Recheck(models.Model):
    """What ``verify_purge --all`` found among the certificate lines behind one and up to another. Never changed.

    The nights follow each other: each begins behind the ``last`` line of the one before, until the end was reached.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(_("time"), db_default=Now())
    behind = models.UUIDField(_("behind the line"))
    last = models.UUIDField(_("up to the line"))
    reached_end = models.BooleanField(_("all lines had their turn"))
    line_count = models.IntegerField(_("lines"))
    failed_count = models.IntegerField(_("findings"))
    findings = ArrayField(models.CharField(max_length=120), verbose_name=_("findings"))

    append_only = True
    privileges: ClassVar = {"reader": ADDS}
    untracked = "Rows are only ever added."

    class Meta:
        verbose_name = _("second look")
        verbose_name_plural = _("second looks")
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return str(self.pk)


class Verification(models.Model):
    """What ``verify_purge`` found about a plan's run. Written by the reader alone, which can change nothing else."""

    id = models.BigAutoField(primary_key=True)
    plan = models.ForeignKey(Plan, models.PROTECT, verbose_name=_("plan"), related_name="verifications")
    at = models.DateTimeField(_("time"), db_default=Now())
    verified_count = models.IntegerField(_("verified"))
    failed_count = models.IntegerField(_("failed"))
    findings = ArrayField(models.CharField(max_length=120), verbose_name=_("findings"))

    append_only = True

    privileges: ClassVar = {"reader": ADDS}
    untracked = "Rows are only ever added."

    class Meta:
        verbose_name = _("verification")
        verbose_name_plural = _("verifications")
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            # The newest verification of each plan.
            models.Index(fields=["plan", "-id"], name="verification_newest"),
        ]

    def __str__(self) -> str:
        return str(self.pk)
