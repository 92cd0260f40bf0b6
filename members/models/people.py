"""Members and their data: sealed values, and in clear only ids, states, kinds, channels and dates of acts."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from access_control.history import tracked
from access_control.ids import new_id
from access_control.locks import Rank
from access_control.models import Entity
from access_control.privileges import Writes
from access_control.vault.fields import SealedField
from members import inventory


class Member(models.Model):
    """A member of the marketplace. Everything that says who it is, is sealed; name and IDs never change (P5.A)."""

    class State(models.TextChoices):
        """Life of a membership."""

        ACTIVE = "active", _("member")
        ENDED = "ended", _("membership ended")
        DESTROYED = "destroyed", _("membership ended, data destroyed")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    entity = models.ForeignKey(Entity, models.PROTECT, verbose_name=_("site"))
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.ACTIVE)
    joined_on = models.DateField(_("joined on"))
    last_used_on = models.DateField(_("last used on"), null=True, blank=True)
    ended_at = models.DateTimeField(_("membership ended"), null=True, blank=True)
    number = SealedField(inventory.MEMBER_NUMBER, verbose_name=inventory.MEMBER_NUMBER.label)
    login_id = SealedField(inventory.LOGIN_ID, verbose_name=inventory.LOGIN_ID.label)
    name = SealedField(inventory.NAME, verbose_name=inventory.NAME.label)
    kana = SealedField(inventory.KANA, verbose_name=inventory.KANA.label)
    birth_date = SealedField(inventory.BIRTH_DATE, verbose_name=inventory.BIRTH_DATE.label)
    sex = SealedField(inventory.SEX, verbose_name=inventory.SEX.label)
    occupation = SealedField(inventory.OCCUPATION, verbose_name=inventory.OCCUPATION.label)

    history = tracked()
    lock_rank = Rank.MEMBER

    # A due date counts from ``ended_at``, so it moves with the state and in no other way.
    database_rules = (
        """
CREATE OR REPLACE FUNCTION membership_takes_its_way() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF (OLD.state, NEW.state) NOT IN (('active', 'ended'), ('ended', 'active'), ('ended', 'destroyed')) THEN
    RAISE EXCEPTION 'a membership that is % does not become %', OLD.state, NEW.state USING ERRCODE = 'CA006';
  END IF;
  IF NEW.state = 'destroyed' AND NEW.ended_at IS DISTINCT FROM OLD.ended_at THEN
    RAISE EXCEPTION 'when a membership ended stays as it was' USING ERRCODE = 'CA006';
  END IF;
  IF NEW.state = 'ended' AND EXISTS (
    SELECT FROM public.members_correction c WHERE c.member_id = NEW.id AND c.state = 'asked') THEN
    RAISE EXCEPTION 'a correction of this member is pending' USING ERRCODE = 'CA007';
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER membership_takes_its_way BEFORE UPDATE ON members_member FOR EACH ROW
  WHEN (OLD.state IS DISTINCT FROM NEW.state OR OLD.ended_at IS DISTINCT FROM NEW.ended_at)
  EXECUTE FUNCTION membership_takes_its_way();
""",
    )

    privileges: ClassVar = {"app": Writes(insert=True, update=True), "purger": Writes(update=True)}

    class Meta:
        verbose_name = _("member")
        verbose_name_plural = _("members")
        permissions: ClassVar = [
            ("find_member", "find a member"),
            ("reveal_member", "reveal an item of a member"),
            ("correct_member", "correct a member's data"),
            ("import_member", "import members"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(state="active", ended_at=None)
                | Q(state__in=["ended", "destroyed"], ended_at__isnull=False),
                name="members_member_ended_has_a_time",
            )
        ]
        indexes: ClassVar = [
            # Retention: whose membership ended, and whose data is still there.
            models.Index(fields=["ended_at"], condition=Q(state="ended"), name="member_ended"),
        ]

    def __str__(self) -> str:
        return f"…{self.id.hex[-8:]}"


class MemberData(models.Model):
    """What the rows of a member's data share. A removed row keeps its history; its values are gone."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    member = models.ForeignKey(Member, models.PROTECT, verbose_name=_("member"))
    removed_at = models.DateTimeField(_("removed"), null=True, blank=True)

    privileges: ClassVar = {"app": Writes(insert=True, update=True), "purger": Writes(delete=True)}

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"…{self.id.hex[-8:]}"


class ContactPoint(MemberData):
    """One way to reach the member."""

    class Kind(models.TextChoices):
        """Item group 2 of the policy."""

        EMAIL = "email", inventory.EMAIL.label
        MOBILE_EMAIL = "mobile_email", inventory.MOBILE_EMAIL.label
        PHONE = "phone", inventory.PHONE.label
        MOBILE = "mobile", inventory.MOBILE.label
        FAX = "fax", inventory.FAX.label

    kind = models.CharField(_("kind"), max_length=12, choices=Kind.choices)
    # Old data may be no valid number; it is kept as it is, and marked.
    well_formed = models.BooleanField(_("well formed"), default=True)
    changed_at = models.DateTimeField(_("changed"), null=True, blank=True)
    value = SealedField(inventory.CONTACT, subject="member_id", verbose_name=_("contact"))

    history = tracked()

    class Meta:
        verbose_name = _("contact point")
        verbose_name_plural = _("contact points")


class Addressee(MemberData):
    """Somebody to whom the member has goods sent; often not the member."""

    name = SealedField(inventory.ADDRESSEE_NAME, subject="member_id", verbose_name=_("addressee's name"))
    kana = SealedField(inventory.ADDRESSEE_KANA, subject="member_id", verbose_name=_("addressee's name (kana)"))
    postcode = SealedField(inventory.ADDRESSEE_POSTCODE, subject="member_id", verbose_name=_("addressee's postcode"))
    address = SealedField(inventory.ADDRESSEE_ADDRESS, subject="member_id", verbose_name=_("addressee's address"))
    phone = SealedField(inventory.ADDRESSEE_PHONE, subject="member_id", verbose_name=_("addressee's telephone number"))
    # A postcode of another country, or a telephone that is none: kept as it is, and marked.
    well_formed = models.BooleanField(_("well formed"), default=True)

    history = tracked()

    class Meta:
        verbose_name = _("addressee")
        verbose_name_plural = _("addressees")


class PaymentMeans(MemberData):
    """How the member pays: a token, never a card number."""

    class Kind(models.TextChoices):
        """Item group 4 of the policy."""

        CARD = "card", _("credit card")
        BANK = "bank", _("bank account")
        MOBILE = "mobile", _("mobile payment")

    kind = models.CharField(_("kind"), max_length=8, choices=Kind.choices)
    token = SealedField(inventory.CARD_TOKEN, subject="member_id", verbose_name=_("card token"))
    brand = SealedField(inventory.CARD_BRAND, subject="member_id", verbose_name=_("card brand"))
    expiry = SealedField(inventory.CARD_EXPIRY, subject="member_id", verbose_name=_("card expiry"))
    last_four = SealedField(
        {
            "card": inventory.CARD_LAST_FOUR,
            "bank": inventory.ACCOUNT_LAST_FOUR,
            "mobile": inventory.ACCOUNT_LAST_FOUR,
        },
        subject="member_id",
        verbose_name=_("last four digits"),
    )
    bank = SealedField(inventory.BANK, subject="member_id", verbose_name=_("bank"))
    branch = SealedField(inventory.BRANCH, subject="member_id", verbose_name=_("bank branch"))
    holder = SealedField(inventory.HOLDER, subject="member_id", verbose_name=_("account holder"))
    phone = SealedField(inventory.PAYMENT_MOBILE, subject="member_id", verbose_name=_("mobile number used for payment"))

    history = tracked()

    class Meta:
        verbose_name = _("payment means")
        verbose_name_plural = _("payment means")


class DataAsOf(models.Model):
    """As of when a member's data is: the newest ``exported_at`` of a row that was taken. What is older is kept out.

    Apart from the member, because every nightly file moves it on for nearly everybody.
    """

    member = models.OneToOneField(Member, models.PROTECT, primary_key=True, verbose_name=_("member"))
    as_of = models.DateTimeField(_("data as of"))

    database_rules = (
        """
CREATE OR REPLACE FUNCTION data_as_of_moves_on() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'the time of a member''s data never goes back' USING ERRCODE = 'CA020';
END $$;
CREATE OR REPLACE TRIGGER data_as_of_moves_on BEFORE UPDATE ON members_dataasof FOR EACH ROW
  WHEN (NEW.as_of < OLD.as_of OR NEW.member_id <> OLD.member_id)
  EXECUTE FUNCTION data_as_of_moves_on();
""",
    )

    privileges: ClassVar = {"app": Writes(insert=True, update=("as_of",))}
    untracked = "Nobody changes it: a file moves it on, never back (trigger); what a file changed is in the history."

    class Meta:
        verbose_name = _("time of a member's data")
        verbose_name_plural = _("times of members' data")

    def __str__(self) -> str:
        return f"…{self.member_id.hex[-8:]}"


# The tables that hold a member's data, in the order of the policy's item groups.
DATA_MODELS: tuple[type[Any], ...] = (Member, ContactPoint, Addressee, PaymentMeans)
