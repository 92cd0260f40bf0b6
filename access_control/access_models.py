"""Who asks for whose access, and the one-time link by which somebody sets their own password.

One person asks, another agrees (``Approval``), and only then does anything exist. PostgreSQL keeps it: a person with an
access class, an account, a role and a link are refused (CA016) unless, in the same transaction, an approval of exactly
that was used. Only setting up, which acts as the system, is free of it. A password is set by its account alone (CA017).

Access is taken away by one person, but never from so many that nobody could be given any again: two accounts that can
sign in and agree to requests stay, one of which can ask (CA019). Only the host, as the system, ends those too.
"""

import hashlib
import json
from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from access_control.ids import new_id
from access_control.privileges import ADDS, Writes
from access_control.roles import AGREEING_ROLES, ASKING_ROLES, Role

TWO_PERSONS = """
-- Whether an approval of exactly this was used in this transaction; NULL asks nothing of that column.
CREATE OR REPLACE FUNCTION access_was_agreed(whose uuid, class text, wanted_role text, wanted_name text, kinds text[])
RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (
    SELECT FROM public.access_control_accessrequest r
      JOIN public.access_control_approval a ON a.id = r.approval_id AND a.used_at IS NOT NULL
      JOIN public.access_control_ledgerevent e ON e.note = a.id AND e.event = 'approval:used'
     WHERE r.person = whose AND r.kind = ANY (kinds)
       AND (class IS NULL OR r.access_class = class)
       AND (wanted_role IS NULL OR r.role = wanted_role)
       AND (wanted_name IS NULL OR r.username = wanted_name)
       AND e.at >= transaction_timestamp() AND e.xid = pg_current_xact_id())
$$;

CREATE OR REPLACE FUNCTION access_class_needs_two() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF current_setting('console.actor', true) IS DISTINCT FROM 'system'
     AND NOT public.access_was_agreed(NEW.id, NEW.access_class, NULL, NULL, '{hire,move}') THEN
    RAISE EXCEPTION 'an access class is given by two persons' USING ERRCODE = 'CA016';
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER access_class_needs_two BEFORE INSERT ON access_control_person
  FOR EACH ROW WHEN (NEW.access_class <> '') EXECUTE FUNCTION access_class_needs_two();
CREATE OR REPLACE TRIGGER access_class_needs_two_again BEFORE UPDATE ON access_control_person
  FOR EACH ROW WHEN (NEW.access_class <> '' AND NEW.access_class IS DISTINCT FROM OLD.access_class
    OR OLD.left_on IS NOT NULL AND NEW.left_on IS NULL) EXECUTE FUNCTION access_class_needs_two();

CREATE OR REPLACE FUNCTION account_needs_two() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF current_setting('console.actor', true) IS DISTINCT FROM 'system'
     AND NOT public.access_was_agreed(NEW.person_id, NULL, NEW.role,
       CASE TG_OP WHEN 'INSERT' THEN NEW.username END,
       CASE TG_OP WHEN 'INSERT' THEN '{hire,account}'::text[] ELSE '{move}' END) THEN
    RAISE EXCEPTION 'an account and its role are given by two persons' USING ERRCODE = 'CA016';
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER account_needs_two BEFORE INSERT ON access_control_staff
  FOR EACH ROW EXECUTE FUNCTION account_needs_two();
CREATE OR REPLACE TRIGGER account_needs_two_again BEFORE UPDATE ON access_control_staff
  FOR EACH ROW WHEN (NEW.role IS DISTINCT FROM OLD.role OR NEW.person_id IS DISTINCT FROM OLD.person_id
    OR NEW.username IS DISTINCT FROM OLD.username OR NEW.is_active AND NOT OLD.is_active)
  EXECUTE FUNCTION account_needs_two();

CREATE OR REPLACE FUNCTION password_is_ones_own() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF coalesce(current_setting('console.actor', true), '') NOT IN ('system', NEW.id::text) THEN
    RAISE EXCEPTION 'a password is set by its account alone' USING ERRCODE = 'CA017';
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER password_is_ones_own BEFORE UPDATE ON access_control_staff
  FOR EACH ROW WHEN (NEW.password IS DISTINCT FROM OLD.password) EXECUTE FUNCTION password_is_ones_own();
"""

# Persons change before their accounts; this lock comes after both, so whoever waits here holds nothing others wait for.
LOCK_KEPT = 1704
TWO_STAY = f"""
-- Whether access can still be asked for and agreed to. ``soon``: an account counts whose open link sets its password.
CREATE OR REPLACE FUNCTION access_can_be_given(soon boolean) RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
  SELECT count(*) >= 2 AND bool_or(s.role = ANY ('{{{",".join(ASKING_ROLES)}}}'))
    FROM public.access_control_staff s JOIN public.access_control_person p ON p.id = s.person_id
   WHERE s.is_active AND p.left_on IS NULL AND p.access_class <> '' AND s.role = ANY ('{{{",".join(AGREEING_ROLES)}}}')
     AND (s.password NOT LIKE '!%' OR soon AND EXISTS (
       SELECT FROM public.access_control_signinlink l
        WHERE l.account_id = s.id AND l.ended_at IS NULL AND l.expires_at > now() AND l.staff_epoch = s.epoch))
$$;

CREATE OR REPLACE FUNCTION access_stays_with_two() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  agreed boolean;
BEGIN
  IF current_setting('console.actor', true) = 'system' THEN
    RETURN NULL;
  END IF;
  IF TG_TABLE_NAME = 'access_control_person' THEN
    agreed := EXISTS (SELECT FROM public.access_control_staff s WHERE s.person_id = OLD.id AND s.is_active
                         AND s.role = ANY ('{{{",".join(AGREEING_ROLES)}}}'));
  ELSE
    agreed := OLD.role = ANY ('{{{",".join(AGREEING_ROLES)}}}') AND EXISTS (
      SELECT FROM public.access_control_person p WHERE p.id = OLD.person_id
                         AND p.left_on IS NULL AND p.access_class <> '');
  END IF;
  -- One departure at a time: the count sees every one that was committed before.
  IF agreed THEN
    PERFORM pg_advisory_xact_lock({LOCK_KEPT});
    IF NOT public.access_can_be_given(false) THEN
      RAISE EXCEPTION 'two persons stay who can agree to access, one of whom can ask' USING ERRCODE = 'CA019';
    END IF;
  END IF;
  RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER access_stays_with_two AFTER UPDATE ON access_control_person
  FOR EACH ROW WHEN (OLD.left_on IS NULL AND OLD.access_class <> ''
    AND (NEW.left_on IS NOT NULL OR NEW.access_class = ''))
  EXECUTE FUNCTION access_stays_with_two();
CREATE OR REPLACE TRIGGER access_stays_with_two AFTER UPDATE ON access_control_staff
  FOR EACH ROW WHEN (OLD.is_active AND (NOT NEW.is_active OR NEW.role <> OLD.role))
  EXECUTE FUNCTION access_stays_with_two();
"""

LINKS = """
CREATE OR REPLACE FUNCTION sign_in_link_needs_two() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  owner uuid := (SELECT s.person_id FROM public.access_control_staff s WHERE s.id = NEW.account_id);
BEGIN
  IF current_setting('console.actor', true) IS DISTINCT FROM 'system'
     AND NOT public.access_was_agreed(owner, NULL, NULL, NULL, '{hire,account,link}') THEN
    RAISE EXCEPTION 'a link that sets a password is made by two persons' USING ERRCODE = 'CA016';
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER sign_in_link_needs_two BEFORE INSERT ON access_control_signinlink
  FOR EACH ROW EXECUTE FUNCTION sign_in_link_needs_two();

CREATE OR REPLACE FUNCTION sign_in_link_is_kept() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- Its time can be cut short, never made longer; it ends once.
  IF (NEW.account_id, NEW.token_hash, NEW.staff_epoch, NEW.made_at) IS DISTINCT FROM
     (OLD.account_id, OLD.token_hash, OLD.staff_epoch, OLD.made_at)
     OR NEW.expires_at > OLD.expires_at
     OR OLD.ended_at IS NOT NULL AND (NEW.ended_at, NEW.used) IS DISTINCT FROM (OLD.ended_at, OLD.used) THEN
    RAISE EXCEPTION 'a link ends once, and never lives longer' USING ERRCODE = 'CA018';
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER sign_in_link_is_kept BEFORE UPDATE ON access_control_signinlink
  FOR EACH ROW EXECUTE FUNCTION sign_in_link_is_kept();
"""


class AccessRequestQuerySet(models.QuerySet["AccessRequest"]):
    """Requests by what became of them."""

    def waiting(self) -> "AccessRequestQuerySet":
        """Neither agreed to, nor refused, nor out of time; and whoever asked still may."""
        return self.filter(
            approval__approved_at=None,
            approval__expires_at__gt=Now(),
            approval__requester__left_on=None,
            approval__requester__account__epoch=F("approval__requester_epoch"),
        )


class AccessRequest(models.Model):
    """Somebody asks that a person be given access, an account, other work or a new password. Never changed.

    What became of it is the approval's to say: agreed to (and then done at once), refused (its time was cut short), or
    waiting. The approval's payload hash is over every column here.
    """

    class Kind(models.TextChoices):
        """What is asked for."""

        HIRE = "hire", _("a new person with access")
        ACCOUNT = "account", _("an account")
        MOVE = "move", _("other work")
        LINK = "link", _("a new password")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(_("what is asked for"), max_length=10, choices=Kind.choices)
    # The person's id; somebody new gets it when another person agrees.
    person = models.UUIDField(_("person"))
    employee_number = models.CharField(_("employee number"), max_length=20)
    display_name = models.CharField(_("name shown"), max_length=60)
    entity = models.ForeignKey("access_control.Entity", models.PROTECT, verbose_name=_("entity"), related_name="+")
    joined_on = models.DateField(_("with the company since"))
    access_class = models.CharField(_("access class"), max_length=10, blank=True)
    username = models.CharField(_("username"), max_length=40, blank=True)
    role = models.CharField(_("role"), max_length=20, choices=Role.choices, blank=True)
    approval = models.OneToOneField("access_control.Approval", models.PROTECT, related_name="access_request")

    append_only = True
    privileges: ClassVar = {"app": ADDS}
    untracked = "Rows are only ever added."
    database_rules = (TWO_PERSONS, TWO_STAY)
    objects = AccessRequestQuerySet.as_manager()

    class Meta:
        verbose_name = _("request for access")
        verbose_name_plural = _("requests for access")
        ordering: ClassVar = ["-approval__requested_at"]
        permissions = [("approve_accessrequest", "Can agree to requests for access")]

    def __str__(self) -> str:
        return str(self.pk)

    @classmethod
    def restriction(cls, actor: Any, action: str) -> Q:
        """Whoever may see requests sees all of them."""
        return Q()

    def digest(self) -> bytes:
        """SHA-256 over everything that is asked for: what an approval agrees to."""
        asked = [
            "access request 1",
            *(str(part) for part in (self.pk, self.kind, self.person, self.employee_number, self.display_name)),
            *(str(part) for part in (self.entity_id, self.joined_on, self.access_class, self.username, self.role)),
        ]
        return hashlib.sha256(json.dumps(asked, ensure_ascii=False).encode()).digest()


class SignInLink(models.Model):
    """A link with which the owner of an account sets its password, once. Only the hash of its token is kept.

    At most one is open for an account; a new one ends the old. It dies with the account's epoch.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey("access_control.Staff", models.PROTECT, verbose_name=_("account"), related_name="+")
    token_hash = models.BinaryField(_("hash of the token"), unique=True)
    staff_epoch = models.IntegerField(_("account epoch"))
    made_at = models.DateTimeField(_("made"))
    expires_at = models.DateTimeField(_("expires"))
    ended_at = models.DateTimeField(_("ended"), null=True)
    # False with an end: a newer link took its place.
    used = models.BooleanField(_("used"), default=False)

    privileges: ClassVar = {"app": Writes(insert=True, update=("ended_at", "used", "expires_at"))}
    untracked = "A link ends once and never lives longer (trigger); making and using it are events in the ledger."
    database_rules = (LINKS,)

    class Meta:
        verbose_name = _("one-time link")
        verbose_name_plural = _("one-time links")
        constraints = [
            models.UniqueConstraint(
                fields=["account"],
                condition=Q(ended_at=None),
                name="access_control_signinlink_one_open",
                violation_error_message=_("An account has one open link at most."),
            ),
            models.CheckConstraint(
                condition=Q(used=False) | Q(ended_at__isnull=False), name="access_control_signinlink_used_has_ended"
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)
