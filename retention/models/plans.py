"""Plans: what is due, and what is not destroyed although it is. Frozen once made; another person approves."""

import datetime
import secrets
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from access_control.codes import Reason, SubjectKind
from access_control.ids import new_id
from access_control.models import Approval, Staff
from access_control.privileges import ADDS
from access_control.vault.categories import Category
from retention.models.rules import Rule, RuleVersion, Start

# No I, L, O, U: nothing that sounds or looks like another when read out.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_plan_reference(day: datetime.date) -> str:
    """``YYYYMMDD-XXXX``: the day and four random letters or digits, the same for plan, run and certificate."""
    return f"{day:%Y%m%d}-{''.join(secrets.choice(_ALPHABET) for _once in range(4))}"


_WHOLE_WITH_ITS_PLAN = """
CREATE OR REPLACE FUNCTION plan_is_whole() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM added a JOIN public.retention_plan p ON p.id = a.plan_id) THEN
    RAISE EXCEPTION 'nothing is added to a plan that is made' USING ERRCODE = 'CA009';
  END IF;
  RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER plan_is_whole AFTER INSERT ON {table}
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION plan_is_whole();
"""


class Plan(models.Model):
    """A list of everything due on a day, with a hash of it that an approval, the vault and the certificate repeat."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    reference = models.CharField(_("reference"), max_length=13, unique=True)
    as_of = models.DateField(_("due up to"))
    made_at = models.DateTimeField(_("made"))
    made_by = models.ForeignKey(Staff, models.PROTECT, verbose_name=_("made by"), related_name="+", null=True)
    rules = models.ForeignKey(RuleVersion, models.PROTECT, verbose_name=_("rules"))
    line_count = models.IntegerField(_("items due"))
    subject_count = models.IntegerField(_("persons"))
    excluded_count = models.IntegerField(_("persons left out"))
    payload_hash = models.BinaryField(_("hash"))
    approval = models.OneToOneField(Approval, models.PROTECT, verbose_name=_("approval"))

    append_only = True

    privileges: ClassVar = {"app": ADDS}
    untracked = "Rows are only ever added."

    class Meta:
        verbose_name = _("destruction plan")
        verbose_name_plural = _("destruction plans")
        ordering: ClassVar = ["-made_at"]
        permissions: ClassVar = [
            ("make_plan", "make a destruction plan"),
            ("approve_plan", "approve a destruction plan"),
        ]

    def __str__(self) -> str:
        return self.reference

    @classmethod
    def restriction(cls, actor: Any, action: str) -> Q:
        """Whoever may see plans sees all of them; they name nobody."""
        return Q()


class PlanLine(models.Model):
    """One key that is due: subject × category × generation. Its id becomes the line of the certificate.

    Lines come before their plan, whose row is written last; after it, none is added (trigger).
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    plan = models.ForeignKey(Plan, models.PROTECT, verbose_name=_("plan"), related_name="lines")
    subject = models.UUIDField(_("subject"))
    subject_kind = models.CharField(_("kind of subject"), max_length=12, choices=SubjectKind.choices)
    category = models.SmallIntegerField(_("category"), choices=Category.choices)
    generation = models.BigIntegerField(_("generation"))
    start = models.CharField(_("counted from"), max_length=20, choices=Start.choices)
    started_on = models.DateField(_("counted from the day"))
    due_on = models.DateField(_("due on"))
    rule = models.ForeignKey(Rule, models.PROTECT, verbose_name=_("rule"))

    append_only = True

    privileges: ClassVar = {"app": ADDS}
    untracked = "Rows are only ever added."
    database_rules = (_WHOLE_WITH_ITS_PLAN.format(table="retention_planline"),)

    class Meta:
        verbose_name = _("item due")
        verbose_name_plural = _("items due")
        ordering: ClassVar = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["plan", "subject", "category", "generation"], name="retention_planline_once"
            ),
        ]
        indexes: ClassVar = [
            # Hash, certificate and verification walk a plan's lines in this order.
            models.Index(fields=["plan", "id"], name="planline_walk"),
        ]

    def __str__(self) -> str:
        return f"…{self.id.hex[-8:]}"


class PlanExclusion(models.Model):
    """A subject with items past their date that the plan leaves out, and why."""

    class Reason(models.TextChoices):
        """Why something due is not destroyed."""

        LEGAL_HOLD = "legal_hold", _("a legal hold stands")
        OPEN_CASE = "open_case", _("a case of this person is open")
        CORRECTION_PENDING = "correction_pending", _("a correction is pending (clause 5)")

    plan = models.ForeignKey(Plan, models.PROTECT, verbose_name=_("plan"), related_name="exclusions")
    subject = models.UUIDField(_("subject"))
    reason = models.CharField(_("why"), max_length=20, choices=Reason.choices)
    line_count = models.IntegerField(_("items"))

    append_only = True

    privileges: ClassVar = {"app": ADDS}
    untracked = "Rows are only ever added."
    database_rules = (_WHOLE_WITH_ITS_PLAN.format(table="retention_planexclusion"),)

    class Meta:
        verbose_name = _("exclusion")
        verbose_name_plural = _("exclusions")
        constraints = [
            models.UniqueConstraint(fields=["plan", "subject", "reason"], name="retention_planexclusion_once"),
        ]

    def __str__(self) -> str:
        return self.reason


class PlanEnd(models.Model):
    """A plan that is carried out no further: withdrawn before its run began, or its run given up by two persons."""

    class Kind(models.TextChoices):
        """How it ended."""

        WITHDRAWN = "withdrawn", _("withdrawn")
        GIVEN_UP = "given_up", _("given up")

    plan = models.OneToOneField(Plan, models.PROTECT, primary_key=True, verbose_name=_("plan"), related_name="end")
    kind = models.CharField(_("how it ended"), max_length=12, choices=Kind.choices)
    at = models.DateTimeField(_("time"))
    # For a run given up: who carried it out; who asked stands in the approval.
    by = models.ForeignKey(Staff, models.PROTECT, verbose_name=_("by"), related_name="+")
    approval = models.OneToOneField(Approval, models.PROTECT, verbose_name=_("approval"), null=True, related_name="+")
    reason = models.CharField(_("why"), max_length=40, choices=Reason.choices)

    append_only = True
    privileges: ClassVar = {"app": ADDS}
    untracked = "Rows are only ever added."
    database_rules = (
        """
CREATE OR REPLACE FUNCTION plan_end_fits() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- A chunk under way keeps the approval of its plan (FOR SHARE): it ends first, or finds this row.
  PERFORM FROM public.access_control_approval a JOIN public.retention_plan p ON p.approval_id = a.id
    WHERE p.id = NEW.plan_id FOR NO KEY UPDATE OF a;
  IF NEW.kind = 'withdrawn' AND EXISTS (SELECT FROM public.retention_run r WHERE r.plan_id = NEW.plan_id) THEN
    RAISE EXCEPTION 'a plan whose run has begun is not withdrawn' USING ERRCODE = 'CA009';
  END IF;
  IF NEW.kind = 'given_up' AND NOT EXISTS (
       SELECT FROM public.retention_run r JOIN public.retention_plan p ON p.id = r.plan_id
         JOIN public.access_control_approval a ON a.id = NEW.approval_id
        WHERE p.id = NEW.plan_id AND r.finished_at IS NULL AND a.kind = 'abandon_run' AND a.used_at IS NOT NULL
          AND a.requester_id IS NOT NULL AND a.payload_hash = sha256('abandon_run '::bytea || p.payload_hash)) THEN
    RAISE EXCEPTION 'a run under way is given up by two persons' USING ERRCODE = 'CA009';
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER plan_end_fits BEFORE INSERT ON retention_planend
  FOR EACH ROW EXECUTE FUNCTION plan_end_fits();
CREATE OR REPLACE FUNCTION run_of_a_plan_that_stands() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM public.retention_planend e WHERE e.plan_id = NEW.plan_id) THEN
    RAISE EXCEPTION 'a plan that was withdrawn is not run' USING ERRCODE = 'CA009';
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER run_of_a_plan_that_stands BEFORE INSERT ON retention_run
  FOR EACH ROW EXECUTE FUNCTION run_of_a_plan_that_stands();
""",
    )

    class Meta:
        verbose_name = _("end of a plan")
        verbose_name_plural = _("ends of plans")
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="withdrawn", approval=None) | Q(kind="given_up", approval__isnull=False),
                name="retention_planend_given_up_by_two",
            ),
        ]

    def __str__(self) -> str:
        return self.kind
