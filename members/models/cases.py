"""Cases, and what happens in them: identity checks, suspensions, corrections, notes and notices."""

import secrets
from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from access_control.history import tracked
from access_control.ids import new_id
from access_control.locks import Rank
from access_control.models import Staff
from access_control.privileges import ADDS, Writes
from access_control.roles import PERMISSIONS
from access_control.vault.fields import SealedField
from members import inventory
from members.models.people import Member

# No I, L, O, U: nothing that sounds or looks like another when read out on the telephone.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_reference() -> str:
    """A case reference for the telephone: eight random letters and digits as ``XXXX-XXXX`` (40 bits)."""
    letters = "".join(secrets.choice(_ALPHABET) for _once in range(8))
    return f"{letters[:4]}-{letters[4:]}"


def _left_behind() -> Q:
    """Cases whose agent may no longer work on any: they are everybody's."""
    able = [role for role, names in PERMISSIONS.items() if "members.work_case" in names]
    return (
        Q(owner__is_active=False)
        | Q(owner__person__left_on__isnull=False)
        | Q(owner__person__access_class="")
        | ~Q(owner__role__in=able)
    )


class CaseQuerySet(models.QuerySet["Case"]):
    """Cases by state."""

    def left_behind(self) -> "CaseQuerySet":
        """Open cases whose agent may no longer work on any."""
        return self.filter(_left_behind(), state=Case.State.OPEN)


class Case(models.Model):
    """One matter somebody brought to the company (P5, P12). Deadlines count from arrival."""

    class Kind(models.TextChoices):
        """What is asked for."""

        CORRECTION = "correction", _("correction")
        INQUIRY = "inquiry", _("inquiry")
        ENDING = "ending", _("end of membership")
        RETURN = "return", _("return to membership")

    class Channel(models.TextChoices):
        """How it came (P5.A)."""

        PHONE = "phone", _("telephone")
        LETTER = "letter", _("letter")
        FAX = "fax", _("fax")
        EMAIL = "email", _("e-mail")

    class State(models.TextChoices):
        """Life of a case."""

        OPEN = "open", _("open")
        CLOSED = "closed", _("closed")

    class Outcome(models.TextChoices):
        """How it ended."""

        DONE = "done", _("done as asked")
        REFUSED = "refused", _("refused")
        NOT_IDENTIFIED = "not_identified", _("the caller was not identified")
        TAKEN_BACK = "taken_back", _("the caller took it back")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    reference = models.CharField(_("reference"), max_length=9, unique=True, default=new_reference, editable=False)
    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices)
    channel = models.CharField(_("channel"), max_length=10, choices=Channel.choices)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.OPEN)
    member = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"), null=True, blank=True)
    owner = models.ForeignKey(Staff, models.PROTECT, verbose_name=_("handled by"), related_name="+")
    arrived_at = models.DateTimeField(_("arrived"))
    due_on = models.DateField(_("due on"))
    identified_at = models.DateTimeField(_("identified"), null=True, blank=True)
    # By which kinds of identifier the member was found; what was said to be found is no proof of identity.
    found_by = ArrayField(models.CharField(max_length=30), verbose_name=_("found by"), default=list, blank=True)
    # An unidentified request is marked contested and stops nothing (P5.B).
    contested_at = models.DateTimeField(_("contested"), null=True, blank=True)
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)
    outcome = models.CharField(_("outcome"), max_length=16, choices=Outcome.choices, blank=True)

    history = tracked()
    lock_rank = Rank.CASE
    objects = CaseQuerySet.as_manager()

    # The purger locks cases, which takes the right to change a column; every change of a case is tracked.
    privileges: ClassVar = {"app": Writes(insert=True, update=True), "purger": Writes(update=("due_on",))}

    class Meta:
        verbose_name = _("case")
        verbose_name_plural = _("cases")
        ordering: ClassVar = ["due_on", "id"]
        permissions: ClassVar = [
            ("open_case", "open a case"),
            ("work_case", "work on own cases"),
            ("oversee_case", "see and hand over cases of others"),
            ("confirm_document", "confirm the identity document of a caller of somebody else's case"),
        ]
        indexes: ClassVar = [
            # An agent's open cases by due date; the team's queue.
            models.Index(fields=["state", "owner", "due_on", "id"], name="case_owner_due"),
            # All open cases by due date, for supervisors and controls.
            models.Index(fields=["state", "due_on", "id"], name="case_state_due"),
            # A member's cases, newest first.
            models.Index(fields=["member", "-arrived_at"], name="case_member"),
            # Retention: how long ago a case was closed.
            models.Index(fields=["closed_at"], condition=Q(state="closed"), name="case_closed"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(state="open", closed_at=None, outcome="")
                | (Q(state="closed", closed_at__isnull=False) & ~Q(outcome="")),
                name="members_case_closed_with_outcome",
            ),
            models.CheckConstraint(
                condition=Q(identified_at=None) | Q(member__isnull=False),
                name="members_case_identified_is_somebody",
            ),
        ]

    def __str__(self) -> str:
        return self.reference

    @classmethod
    def restriction(cls, actor: Any, action: str) -> Q:
        """An agent's own cases; whoever oversees cases sees all; a case whose agent may not act is everybody's."""
        from access_control import policies

        if policies.may(actor, "members.oversee_case") and action == "members.view_case":
            return Q()
        return Q(owner=actor) | (_left_behind() & Q(state=cls.State.OPEN))


class IdentityTry(models.Model):
    """One attempt to confirm that a caller is the member. Three a day per member, over all cases and staff.

    The database says when it was, so no clock of a web server brings new tries.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    member = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"))
    day = models.DateField(_("day"))
    ordinal = models.SmallIntegerField(_("try of the day"))
    case = models.ForeignKey(Case, models.PROTECT, verbose_name=_("case"))
    staff = models.ForeignKey(Staff, models.PROTECT, verbose_name=_("agent"), related_name="+")
    at = models.DateTimeField(_("time"))
    offered = ArrayField(models.CharField(max_length=20), verbose_name=_("facts compared"))
    # All of them or none: which one matched is said to nobody.
    matched = ArrayField(models.CharField(max_length=20), verbose_name=_("facts that matched"))
    passed = models.BooleanField(_("identified"))
    # What was said, hashed under a key of the member: the same again in this case is no new try.
    said = models.BinaryField(null=True)

    append_only = True
    database_rules = (
        """
CREATE OR REPLACE FUNCTION identity_try_is_now() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  NEW.at := clock_timestamp();
  NEW.day := (NEW.at AT TIME ZONE 'Asia/Tokyo')::date;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER identity_try_is_now BEFORE INSERT ON members_identitytry
  FOR EACH ROW EXECUTE FUNCTION identity_try_is_now();
""",
    )

    privileges: ClassVar = {"app": ADDS}
    untracked = "Rows are only ever added."

    class Meta:
        verbose_name = _("identity check")
        verbose_name_plural = _("identity checks")
        constraints = [
            models.UniqueConstraint(fields=["member", "day", "ordinal"], name="members_identitytry_counts"),
            models.CheckConstraint(condition=Q(ordinal__gte=1, ordinal__lte=3), name="members_identitytry_three_a_day"),
            models.CheckConstraint(
                # Rows from before ``said`` was kept tell more.
                condition=Q(passed=True, matched=F("offered")) | Q(passed=False, matched=[]) | Q(said=None),
                name="members_identitytry_all_or_nothing",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.ordinal}"


class CaseNote(models.Model):
    """Free words of an agent, sealed: under the member's key once the caller is identified, else the case's own."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    case = models.ForeignKey(Case, models.PROTECT, verbose_name=_("case"), related_name="notes")
    subject_id = models.UUIDField()
    author = models.ForeignKey(Staff, models.PROTECT, verbose_name=_("agent"), related_name="+")
    at = models.DateTimeField(_("time"))
    text = SealedField(inventory.CASE_NOTE, subject="subject_id", verbose_name=_("case note"))

    privileges: ClassVar = {"app": ADDS, "purger": Writes(update=("text",))}
    untracked = "Nobody changes a note: rows are added, and emptied at destruction."

    class Meta:
        verbose_name = _("case note")
        verbose_name_plural = _("case notes")
        ordering: ClassVar = ["at"]
        indexes: ClassVar = [
            # Retention: what is left of a subject's correspondence.
            models.Index(fields=["subject_id"], name="casenote_subject"),
        ]

    def __str__(self) -> str:
        return f"…{self.id.hex[-8:]}"


class Suspension(models.Model):
    """An item that is neither used nor provided while its correction is pending (P5.B)."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    member = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"))
    item = models.CharField(_("item"), max_length=60)
    row = models.UUIDField(_("row"))
    case = models.ForeignKey(Case, models.PROTECT, verbose_name=_("case"))
    started_at = models.DateTimeField(_("since"))
    ended_at = models.DateTimeField(_("until"), null=True, blank=True)

    history = tracked()

    privileges: ClassVar = {"app": Writes(insert=True, update=True)}

    class Meta:
        verbose_name = _("suspension")
        verbose_name_plural = _("suspensions")
        constraints = [
            models.UniqueConstraint(
                fields=["member", "item", "row"],
                condition=Q(ended_at=None),
                name="members_suspension_one_open",
                violation_error_message=_("A correction of this item is pending already."),
            )
        ]

    def __str__(self) -> str:
        return self.item


class Correction(models.Model):
    """A member's wish to have one item changed. Applied or refused, once.

    What the member changed on My Page needs no case: it comes with a file, applied, and ``asked_at`` is the time of the
    file. A removed row is a correction of each of its items to nothing.
    """

    class Channel(models.TextChoices):
        """Where the member asked (P5.A)."""

        CASE = "case", _("customer centre")
        MY_PAGE = "my_page", _("My Page")

    class State(models.TextChoices):
        """Life of a correction."""

        ASKED = "asked", _("pending")
        APPLIED = "applied", _("applied")
        REFUSED = "refused", _("refused")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    case = models.ForeignKey(Case, models.PROTECT, verbose_name=_("case"), related_name="corrections", null=True)
    channel = models.CharField(_("channel"), max_length=8, choices=Channel.choices, default=Channel.CASE)
    member = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"))
    item = models.CharField(_("item"), max_length=60)
    row = models.UUIDField(_("row"))
    field = models.CharField(_("column"), max_length=40)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.ASKED)
    reason = models.CharField(_("reason"), max_length=40, blank=True)
    asked_at = models.DateTimeField(_("asked"))
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)
    # The generation that held the old value; retention gives it its own due date.
    superseded_category = models.SmallIntegerField(null=True, blank=True)
    superseded_generation = models.BigIntegerField(null=True, blank=True)
    # When a file of the marketplace was written that first held the new value: it has heard of the correction.
    heard_at = models.DateTimeField(_("known to the marketplace since"), null=True, blank=True)
    proposed = SealedField(inventory.PROPOSED, subject="member_id", verbose_name=_("value asked for"))

    history = tracked()

    privileges: ClassVar = {"app": Writes(insert=True, update=True), "purger": Writes(update=("proposed",))}

    class Meta:
        verbose_name = _("correction")
        verbose_name_plural = _("corrections")
        ordering: ClassVar = ["asked_at"]
        indexes: ClassVar = [
            # Retention: since when a generation holds superseded values only.
            models.Index(
                fields=["decided_at"], condition=Q(superseded_generation__isnull=False), name="correction_superseded"
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["member", "item", "row"],
                condition=Q(state="asked"),
                name="members_correction_one_pending",
                violation_error_message=_("A correction of this item is pending already."),
            ),
            models.CheckConstraint(
                condition=Q(state="asked", decided_at=None)
                | (~Q(state="asked") & Q(decided_at__isnull=False) & ~Q(reason="")),
                name="members_correction_decided_with_reason",
            ),
            models.CheckConstraint(
                condition=Q(channel="case", case__isnull=False) | Q(channel="my_page", case=None, state="applied"),
                name="members_correction_my_page_is_no_case",
            ),
        ]

    def __str__(self) -> str:
        return self.item


class Notice(models.Model):
    """A message to a member about their own data (purpose 4). The queue; what is sent goes through the gate."""

    # The failure of one that had waited when the console was backed up from which it was restored.
    RESTORED: ClassVar = "restored"

    class Kind(models.TextChoices):
        """What it says."""

        CORRECTED_OLD = "corrected_old", _("your contact was changed (to the old address)")
        CORRECTED_NEW = "corrected_new", _("your contact was changed (to the new address)")
        CORRECTED = "corrected", _("your data was corrected")
        ENDED = "ended", _("your membership has ended")
        RETURNED = "returned", _("your membership stands again")

    class State(models.TextChoices):
        """Life of a notice."""

        QUEUED = "queued", _("queued")
        SENDING = "sending", _("being sent")
        SENT = "sent", _("sent")
        FAILED = "failed", _("failed")
        REFUSED = "refused", _("refused by the gate")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    member = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"))
    case = models.ForeignKey(Case, models.PROTECT, verbose_name=_("case"), related_name="notices")
    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices)
    language = models.CharField(_("language"), max_length=5)
    # The item and row the address belongs to; the gate judges their use.
    item = models.CharField(_("item"), max_length=60)
    row = models.UUIDField(_("row"))
    # What was corrected; named in the text, its value is not. Empty when the notice is about all of the member's data.
    about = models.CharField(_("about"), max_length=60, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.QUEUED)
    queued_at = models.DateTimeField(_("queued at"))
    # Set and committed before the server is asked, so that a crash never sends a notice twice.
    claimed_at = models.DateTimeField(_("taken up"), null=True, blank=True)
    sent_at = models.DateTimeField(_("sent at"), null=True, blank=True)
    next_try_at = models.DateTimeField(_("next try"))
    attempts = models.SmallIntegerField(_("attempts"), default=0)
    failure = models.CharField(_("why it failed"), max_length=80, blank=True)
    to = SealedField(inventory.NOTICE_TO, subject="member_id", verbose_name=_("notice address"))

    privileges: ClassVar = {
        "app": Writes(insert=True, update=("state", "claimed_at", "sent_at", "next_try_at", "attempts", "failure")),
        "purger": Writes(update=("to",)),
    }
    untracked = "People change nothing of it: the sender moves its state, and each end is an event in the ledger."

    class Meta:
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        ordering: ClassVar = ["queued_at"]
        indexes: ClassVar = [
            # The sender takes what is due.
            models.Index(fields=["next_try_at"], condition=Q(state="queued"), name="notice_queued"),
            # What a sender that died has left.
            models.Index(fields=["claimed_at"], condition=Q(state="sending"), name="notice_sending"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(state="sent", sent_at__isnull=False) | (~Q(state="sent") & Q(sent_at=None)),
                name="members_notice_sent_has_a_time",
            )
        ]

    def __str__(self) -> str:
        return f"…{self.id.hex[-8:]}"
