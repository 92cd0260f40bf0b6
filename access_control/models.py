"""Entities, persons, accounts, approvals and the ledger."""

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from access_control.codes import Purpose, SubjectKind
from access_control.history import tracked
from access_control.ids import new_id
from access_control.locks import Rank
from access_control.privileges import ADDS, Writes
from access_control.roles import PERMISSIONS, Role
from access_control.vault.models import Xid8Field


class Installation(models.Model):
    """One row: how often this database was restored from a backup. Laid after migrate."""

    singleton = models.SmallIntegerField(primary_key=True, default=1)
    restore_epoch = models.IntegerField(default=1)

    privileges: ClassVar[dict[str, Writes]] = {}
    untracked = "Restored databases raise it, by the owner alone; no role may write it."

    class Meta:
        permissions: ClassVar = [("accept_restore", "accept that a database was restored from a backup")]
        constraints = [models.CheckConstraint(condition=Q(singleton=1), name="access_control_installation_only")]


class Entity(models.Model):
    """A company of the group, and what it handles (P12)."""

    code = models.CharField(_("code"), max_length=2, primary_key=True)
    name = models.CharField(_("company name"), max_length=100)
    handles = models.CharField(_("what it handles"), max_length=200, blank=True)
    # Books are kept by fiscal year; a year is called by the calendar year in which it starts.
    fiscal_year_starts = models.SmallIntegerField(_("first month of the fiscal year"), default=4)

    privileges: ClassVar = {"app": ADDS}
    untracked = "Rows are added at set-up; no role may change or delete one."

    class Meta:
        verbose_name = _("entity")
        verbose_name_plural = _("entities")
        ordering: ClassVar = ["code"]
        constraints = [
            models.CheckConstraint(
                condition=Q(fiscal_year_starts__gte=1, fiscal_year_starts__lte=12),
                name="access_control_entity_fiscal_month",
                violation_error_message=_("A month is a number from 1 to 12."),
            )
        ]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def restriction(cls, actor: Any, action: str) -> Q:
        """Entities are no secret among staff."""
        return Q()


class Person(models.Model):
    """An employee, from the HR feed, whether or not they have an account. Leaving is a date, never a deletion."""

    class AccessClass(models.TextChoices):
        """The three classes that may have access at all (P8.B1)."""

        DIRECT = "direct", _("deals with users directly (agents, marketing)")
        PRIVACY = "privacy", _("privacy manager and staff")
        NEEDED = "needed", _("cannot work without")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    employee_number = models.CharField(_("employee number"), max_length=20, unique=True)
    display_name = models.CharField(_("name shown"), max_length=60)
    entity = models.ForeignKey(Entity, models.PROTECT, verbose_name=_("entity"))
    access_class = models.CharField(_("access class"), max_length=10, choices=AccessClass.choices, blank=True)
    joined_on = models.DateField(_("with the company since"))
    left_on = models.DateField(_("left on"), null=True, blank=True)

    history = tracked()
    lock_rank = Rank.PERSON

    privileges: ClassVar = {"app": Writes(insert=True, update=True)}

    class Meta:
        verbose_name = _("person")
        verbose_name_plural = _("people")
        ordering: ClassVar = ["employee_number"]
        constraints = [
            models.CheckConstraint(
                condition=Q(left_on=None) | Q(left_on__gte=F("joined_on")),
                name="access_control_person_leaves_after_joining",
                violation_error_message=_("Nobody leaves before joining."),
            )
        ]

    def __str__(self) -> str:
        return self.display_name

    @classmethod
    def restriction(cls, actor: Any, action: str) -> Q:
        """Whoever may see people sees all of them."""
        return Q()


class StaffManager(BaseUserManager["Staff"]):
    """Accounts by username."""

    def get_by_natural_key(self, username: str | None) -> "Staff":
        """Django's sign-in form and commands look accounts up here."""
        return self.get(username=username)


class Staff(AbstractBaseUser):
    """An account of one person. Its epoch goes up when the person leaves or moves.

    Every session, grant and approval stores the epoch it was made under and lives only while the two are equal, so
    ending all of a person's access is one UPDATE of this row, and nothing can be forgotten.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    username = models.CharField(
        _("username"),
        max_length=40,
        unique=True,
        validators=[RegexValidator(r"^[a-z][a-z0-9._-]*$", _("Lower-case letters, digits, dots and dashes."))],
    )
    person = models.OneToOneField(Person, models.PROTECT, verbose_name=_("person"), related_name="account")
    role = models.CharField(_("role"), max_length=20, choices=Role.choices)
    epoch = models.IntegerField(_("epoch"), default=1, editable=False)
    is_active = models.BooleanField(_("active"), default=True)
    created = models.DateTimeField(_("account opened"), auto_now_add=True)
    # The ledger says who signed in when; a column would have to be written outside any act.
    last_login = None

    database_rules = (
        """
CREATE OR REPLACE FUNCTION epoch_goes_up() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'an epoch only goes up: what ended with it stays ended' USING ERRCODE = 'CA021';
END $$;
CREATE OR REPLACE TRIGGER epoch_goes_up BEFORE UPDATE ON access_control_staff
  FOR EACH ROW WHEN (NEW.epoch < OLD.epoch) EXECUTE FUNCTION epoch_goes_up();
""",
    )

    history = tracked(excluded=("password",))
    lock_rank = Rank.ACCOUNT
    objects = StaffManager()

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    privileges: ClassVar = {"app": Writes(insert=True, update=True)}
    secret_columns = ("password",)

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        ordering: ClassVar = ["username"]

    def __str__(self) -> str:
        return self.username

    @classmethod
    def restriction(cls, actor: Any, action: str) -> Q:
        """Whoever may see accounts sees all of them."""
        return Q()

    @property
    def is_staff(self) -> bool:
        """Every account may open the console; what it sees there is a matter of role and grants."""
        return self.is_active

    @property
    def is_superuser(self) -> bool:
        """Nobody is: a superuser would get member data."""
        return False

    def has_perm(self, perm: str, obj: models.Model | None = None) -> bool:
        """What ``policies.can`` says."""
        from access_control import policies

        return policies.can(self, perm, obj)

    def has_module_perms(self, app_label: str) -> bool:
        """Whether the role carries any permission of the app."""
        return any(name.startswith(f"{app_label}.") for name in PERMISSIONS.get(self.role, ()))

    def get_short_name(self) -> str:
        """Shown in the page's header."""
        return self.person.display_name

    get_full_name = get_short_name

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Binds sessions to password *and* epoch: reactivating an account revives no old session."""
        return salted_hmac(
            "access_control.Staff.session", f"{self.password}|{self.epoch}|{self.pk}", secret=secret, algorithm="sha256"
        ).hexdigest()


class LedgerEvent(models.Model):
    """Who did what, to whom, for what purpose, in which case. Append-only: no role but the owner can change a row.

    Sequence, time, restore epoch and transaction id are set by the database. No personal values, ever.
    """

    sequence = models.BigAutoField(_("sequence"), primary_key=True)
    id = models.UUIDField(_("event id"), unique=True, default=new_id)
    at = models.DateTimeField(_("time"), null=True)
    restore_epoch = models.IntegerField(_("restore epoch"), null=True)
    xid = Xid8Field(_("transaction"), null=True)
    event = models.CharField(_("event"), max_length=60)
    actor = models.UUIDField(_("account"), null=True)
    actor_name = models.CharField(_("who"), max_length=60)
    person = models.UUIDField(_("person"), null=True)
    staff_epoch = models.IntegerField(_("account epoch"), null=True)
    subject = models.UUIDField(_("subject"), null=True)
    subject_kind = models.CharField(_("kind of subject"), max_length=12, choices=SubjectKind.choices, blank=True)
    case = models.UUIDField(_("case"), null=True)
    purpose = models.SmallIntegerField(_("purpose"), choices=Purpose.choices, null=True)
    items = ArrayField(models.CharField(max_length=60), verbose_name=_("items"), default=list)
    reason = models.CharField(_("reason"), max_length=40)
    # The sealed note, or the approval, that belongs to the event.
    note = models.UUIDField(_("note or approval"), null=True)
    count = models.IntegerField(_("how many"), default=1)
    request_id = models.UUIDField(_("request"))
    address = models.GenericIPAddressField(_("address"), null=True)
    os_user = models.CharField(_("operating-system user"), max_length=60, blank=True)
    os_host = models.CharField(_("host"), max_length=100, blank=True)

    # Read by sql.py: the app role gets SELECT and INSERT only.
    append_only = True

    privileges: ClassVar = {"app": ADDS, "purger": ADDS}
    untracked = "It is the record itself; rows are only ever added."

    class Meta:
        verbose_name = _("ledger event")
        verbose_name_plural = _("ledger")
        ordering: ClassVar = ["-sequence"]
        indexes: ClassVar = [
            # What happened to one subject, newest first.
            models.Index(fields=["subject", "-sequence"], name="ledger_subject"),
            # What happened in one case, newest first.
            models.Index(fields=["case", "-sequence"], name="ledger_case", condition=Q(case__isnull=False)),
            # What one account did, newest first.
            models.Index(fields=["actor", "-sequence"], name="ledger_actor"),
            # Controls count events of one kind within days.
            models.Index(fields=["event", "at"], name="ledger_event_at"),
        ]

    def __str__(self) -> str:
        return str(self.sequence)

    @classmethod
    def restriction(cls, actor: Any, action: str) -> Q:
        """Whoever may read the ledger reads all of it; it holds no personal values."""
        return Q()


class Approval(models.Model):
    """Somebody asks, somebody else agrees, to exactly one payload, once, for a while, under both accounts' epochs."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(_("kind"), max_length=40)
    payload_hash = models.BinaryField(_("payload hash"))
    # None: the system asked, on schedule.
    requester = models.ForeignKey(Person, models.PROTECT, verbose_name=_("requested by"), related_name="+", null=True)
    requester_epoch = models.IntegerField(null=True)
    requested_at = models.DateTimeField(_("requested"))
    expires_at = models.DateTimeField(_("expires"))
    approver = models.ForeignKey(Person, models.PROTECT, verbose_name=_("approved by"), related_name="+", null=True)
    approver_epoch = models.IntegerField(null=True)
    approved_at = models.DateTimeField(_("approved"), null=True)
    used_at = models.DateTimeField(_("used"), null=True)

    database_rules = (
        """
CREATE OR REPLACE FUNCTION approval_is_kept() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- Its time can be cut short, never made longer.
  IF (NEW.kind, NEW.payload_hash, NEW.requester_id, NEW.requester_epoch, NEW.requested_at) IS DISTINCT FROM
     (OLD.kind, OLD.payload_hash, OLD.requester_id, OLD.requester_epoch, OLD.requested_at)
     OR NEW.expires_at > OLD.expires_at
     OR OLD.approved_at IS NOT NULL AND (NEW.approver_id, NEW.approver_epoch, NEW.approved_at)
     IS DISTINCT FROM (OLD.approver_id, OLD.approver_epoch, OLD.approved_at)
     OR OLD.used_at IS NOT NULL AND NEW.used_at IS DISTINCT FROM OLD.used_at THEN
    RAISE EXCEPTION 'an approval is given once and used once, for what was asked' USING ERRCODE = 'CA008';
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER approval_is_kept BEFORE UPDATE ON access_control_approval
  FOR EACH ROW EXECUTE FUNCTION approval_is_kept();
""",
    )

    # The app asks and agrees; the purger, who acts on approvals, can only spend one.
    privileges: ClassVar = {"app": Writes(insert=True, update=True), "purger": Writes(update=("used_at",))}
    untracked = "What was asked and given never changes (trigger), and each act on it is an event in the ledger."

    class Meta:
        verbose_name = _("approval")
        verbose_name_plural = _("approvals")
        indexes: ClassVar = [
            # The restore guard asks with every request whether the vault's last destruction was approved here.
            models.Index(fields=["payload_hash"], name="approval_payload"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(approver=None) | Q(requester=None) | ~Q(approver=F("requester")),
                name="access_control_approval_by_another_person",
                violation_error_message=_("Another person than the one who asked must approve."),
            ),
            models.CheckConstraint(
                condition=Q(approver=None, approver_epoch=None, approved_at=None)
                | Q(approver__isnull=False, approver_epoch__isnull=False, approved_at__isnull=False),
                name="access_control_approval_is_whole",
            ),
            models.CheckConstraint(
                condition=Q(requester=None, requester_epoch=None)
                | Q(requester__isnull=False, requester_epoch__isnull=False),
                name="access_control_approval_requester_is_whole",
            ),
            models.CheckConstraint(
                condition=Q(used_at=None) | Q(approved_at__isnull=False),
                name="access_control_approval_used_after_approval",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


# Django looks for models here.
from access_control.access_models import AccessRequest, SignInLink  # noqa: E402
from access_control.restore_models import AcceptedRestore, ToldMark, VaultIdentity  # noqa: E402

__all__ = [
    "AcceptedRestore",
    "AccessRequest",
    "Approval",
    "Entity",
    "Installation",
    "LedgerEvent",
    "Person",
    "SignInLink",
    "Staff",
    "ToldMark",
    "VaultIdentity",
]
