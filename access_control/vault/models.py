"""The vault's tables. No role but the owner may touch them; everything goes through the functions in ``sql.py``."""

import uuid
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from access_control.vault.categories import Category


class Xid8Field(models.Field[int | None, int | None]):
    """PostgreSQL's 64-bit transaction id."""

    def db_type(self, connection: Any) -> str:
        """The column type."""
        return "xid8"

    def from_db_value(self, value: object, expression: object, connection: object) -> int | None:
        """Psycopg hands an xid8 over as text."""
        return None if value is None else int(str(value))


class _WrappedLength(models.Func):
    """Whether ``wrapped`` has this many bytes."""

    template = "length(wrapped) = %(expressions)s"
    output_field = models.BooleanField()


class Installation(models.Model):
    """One row: which installation this vault seals for, and how often it was restored from a backup."""

    singleton = models.SmallIntegerField(primary_key=True, default=1)
    id = models.UUIDField(unique=True, default=uuid.uuid4)
    restore_epoch = models.IntegerField(default=1)
    fetches_per_hour = models.IntegerField(default=100_000)
    destructions_per_hour = models.IntegerField(default=20_000_000)
    # Of the tombstones: made here, once, by the database, and of no use without the lookup key, which is never here.
    tombstone_key = models.BinaryField(null=True)
    tombstone_days = models.IntegerField(default=400, db_default=400)
    created = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(singleton=1), name="vault_installation_only_one")]


class KeyringCheck(models.Model):
    """Which keyring this vault is sealed with: a check value for each of its keys (0: lookup key). Never changed."""

    id = models.IntegerField(primary_key=True)
    value = models.BinaryField()


class Key(models.Model):
    """One (subject, category, generation): a living wrapped key, or the fence that says it was destroyed.

    A fence never clears (trigger), so a destroyed generation never gets a key again.
    """

    pk = models.CompositePrimaryKey("subject", "category", "generation")
    subject = models.UUIDField()
    category = models.SmallIntegerField(choices=Category.choices)
    generation = models.BigIntegerField()
    wrapped = models.BinaryField(null=True)
    keyring = models.IntegerField()
    frozen = models.BooleanField(default=False)
    created = models.DateTimeField()
    destroyed_at = models.DateTimeField(null=True)
    # Not indexed, so that a destruction changes no index entry: a fence is found by its subject.
    certificate_line = models.UUIDField(null=True)
    plan_hash = models.BinaryField(null=True)

    class Meta:
        verbose_name = _("key")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(wrapped__isnull=True, destroyed_at__isnull=False, plan_hash__isnull=False)
                | models.Q(wrapped__isnull=False, destroyed_at__isnull=True, plan_hash__isnull=True),
                name="vault_key_lives_or_is_fenced",
            ),
            models.CheckConstraint(
                condition=models.Q(frozen=False) | models.Q(destroyed_at__isnull=True),
                name="vault_key_frozen_is_alive",
            ),
            models.CheckConstraint(
                condition=models.Q(destroyed_at=None, certificate_line=None)
                | models.Q(destroyed_at__isnull=False, certificate_line__isnull=False),
                name="vault_key_fence_has_a_line",
            ),
            # What could be no key would stand in the way of every later one of its subject.
            models.CheckConstraint(
                condition=models.Q(category__gte=1, category__lte=7, generation__gte=0),
                name="vault_key_could_be_one",
            ),
            models.CheckConstraint(
                condition=models.Q(wrapped=None) | models.Q(_WrappedLength(61)), name="vault_key_is_whole"
            ),
        ]
        indexes = [
            # What is frozen, over all subjects: few rows among many, and none that a destruction changes.
            models.Index(fields=["subject"], condition=models.Q(frozen=True), name="vault_key_frozen"),
        ]


class Lookup(models.Model):
    """A keyed hash that finds a subject by one identifier. It dies in its key's transaction."""

    # The probe knows field and hash; every version is looked through.
    pk = models.CompositePrimaryKey("field", "mac", "version", "subject")
    field = models.SmallIntegerField()
    version = models.SmallIntegerField()
    mac = models.BinaryField()
    subject = models.UUIDField()
    # The categories whose destruction ends this lookup; joined lookups rest on two.
    category = models.SmallIntegerField(choices=Category.choices)
    joined = models.SmallIntegerField(choices=Category.choices, null=True)

    class Meta:
        indexes = [
            # Destruction removes a subject's lookups.
            models.Index(fields=["subject"], name="vault_lookup_subject"),
        ]
        constraints = [
            # Member number (1) and login ID (2) name one subject only.
            models.UniqueConstraint(
                fields=["field", "mac", "version"],
                condition=models.Q(field__in=[1, 2]),
                name="vault_lookup_names_one_subject",
            ),
            # As vault_lookup_fields has it: a lookup under another category would outlive the destruction of its own.
            models.CheckConstraint(
                condition=models.Q(field__in=[1, 2], category=Category.IDENTITY, joined=None)
                | models.Q(field__in=[3, 4], category=Category.CONTACT, joined=None)
                | models.Q(field=5, category=Category.IDENTITY, joined=Category.PROFILE)
                | models.Q(field=6, category=Category.IDENTITY, joined=Category.DELIVERY)
                | models.Q(field=7, category=Category.IDENTITY, joined=Category.CONTACT),
                name="vault_lookup_rests_on_its_own",
            ),
        ]


class Tombstone(models.Model):
    """What stays of a destroyed member's number, so that a stale file does not bring the destroyed back.

    ``stone`` is SHA-256 over the tombstone key and the number's lookup: a keyed hash of a keyed hash. It names nobody,
    is written by ``vault_destroy`` where the lookup goes, and can be asked for only by whoever has the number and the
    lookup key. Members destroyed before this table was made have none.
    """

    stone = models.BinaryField(primary_key=True)
    destroyed_at = models.DateTimeField()
    ends_on = models.DateField()

    class Meta:
        indexes = [
            # What has come to its end is removed with every run.
            models.Index(fields=["ends_on"], name="vault_tombstone_ends"),
        ]


class FetchRecord(models.Model):
    """One call of ``vault_fetch``, written by the function itself: the independent witness of every opening."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    restore_epoch = models.IntegerField()
    xid = Xid8Field()
    role = models.TextField()
    event = models.UUIDField()
    approval = models.UUIDField(null=True)
    subject_count = models.IntegerField()
    subjects = ArrayField(models.UUIDField())
    categories = ArrayField(models.SmallIntegerField())

    class Meta:
        indexes = [
            # The hourly ceiling sums the last hour from the index alone.
            models.Index(fields=["at"], include=["subject_count", "approval"], name="vault_fetch_at"),
            # "Fetches without an event" joins by event.
            models.Index(fields=["event"], name="vault_fetch_event"),
        ]


class DestroyRecord(models.Model):
    """How many keys one call of ``vault_destroy`` ended; the ceiling sums them."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    restore_epoch = models.IntegerField()
    xid = Xid8Field()
    role = models.TextField()
    plan_hash = models.BinaryField()
    destroyed = models.IntegerField()

    class Meta:
        indexes = [
            # The hourly ceiling.
            models.Index(fields=["at"], name="vault_destroy_at"),
        ]


class ConsoleIdentity(models.Model):
    """Which console database this vault serves, noted at set-up and again when a restore or a move was accepted.

    The newest row counts. A console that is another one, or says another restore epoch, opens and destroys nothing.
    """

    id = models.BigAutoField(primary_key=True)
    noted_at = models.DateTimeField()
    database = models.BigIntegerField()
    system = models.BigIntegerField()
    timeline = models.IntegerField()
    restore_epoch = models.IntegerField()
    # What was destroyed up to here was known, or given up, when this row was written.
    destroyed_before = models.BigIntegerField()


class ConsoleMark(models.Model):
    """One ledger event that the console had committed when it spoke to the vault. Only ever added.

    A console that does not hold the newest mark of its identity was restored from a backup made before it.
    """

    id = models.BigAutoField(primary_key=True)
    identity = models.ForeignKey(ConsoleIdentity, models.PROTECT)
    at = models.DateTimeField()
    sequence = models.BigIntegerField()
    event = models.UUIDField()

    class Meta:
        constraints = [
            # Also finds the newest mark of an identity.
            models.UniqueConstraint(fields=["identity", "sequence"], name="vault_consolemark_once"),
        ]


class HeldSubject(models.Model):
    """For which legal hold the keys of a subject were frozen; ``thawed_at`` when they were thawed again.

    It stays when the console's row of the hold is lost, and then keeps the keys frozen.
    """

    id = models.BigAutoField(primary_key=True)
    subject = models.UUIDField()
    hold = models.UUIDField()
    frozen_at = models.DateTimeField()
    thawed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subject", "hold"], condition=models.Q(thawed_at=None), name="vault_heldsubject_once"
            ),
        ]
