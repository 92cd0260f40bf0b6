"""Peers: what a plain Django project with django-simple-history would store of the same members, in clear.

Columns and rows are ours. They get every fair advantage: ids counted by the database, no check constraint, no unique
constraint and no index but those that the libraries make themselves and the one that search needs; one account and one
time for a whole batch; the batch size at which they are fastest.
"""

import datetime
import json

from django.db import models, transaction
from django.test import override_settings
from django.utils import timezone
from simple_history.models import HistoricalRecords
from simple_history.utils import bulk_create_with_history  # noqa: TID251 - it is what is measured against.

from members.intake import parse
from members.lookups import login_lookup, number_lookup, shared_lookups


class PeerMember(models.Model):
    """A member in clear."""

    entity = models.CharField(max_length=2)
    state = models.CharField(max_length=12, default="active")
    joined_on = models.DateField()
    last_used_on = models.DateField(null=True)
    ended_at = models.DateTimeField(null=True)
    number = models.CharField(max_length=40)
    login_id = models.CharField(max_length=80)
    name = models.CharField(max_length=200)
    kana = models.CharField(max_length=200)
    birth_date = models.CharField(max_length=10)
    sex = models.CharField(max_length=10)
    occupation = models.CharField(max_length=200)

    history = HistoricalRecords()


class PeerContactPoint(models.Model):
    """A contact point in clear."""

    member = models.ForeignKey(PeerMember, models.CASCADE)
    removed_at = models.DateTimeField(null=True)
    kind = models.CharField(max_length=12)
    well_formed = models.BooleanField()
    changed_at = models.DateTimeField(null=True)
    value = models.CharField(max_length=200)

    history = HistoricalRecords()


class PeerAddressee(models.Model):
    """An addressee in clear."""

    member = models.ForeignKey(PeerMember, models.CASCADE)
    well_formed = models.BooleanField()
    removed_at = models.DateTimeField(null=True)
    name = models.CharField(max_length=400)
    kana = models.CharField(max_length=400)
    postcode = models.CharField(max_length=400)
    address = models.CharField(max_length=400)
    phone = models.CharField(max_length=400)

    history = HistoricalRecords()


class PeerPaymentMeans(models.Model):
    """A means of payment in clear."""

    member = models.ForeignKey(PeerMember, models.CASCADE)
    removed_at = models.DateTimeField(null=True)
    kind = models.CharField(max_length=8)
    token = models.CharField(max_length=200)
    brand = models.CharField(max_length=200)
    expiry = models.CharField(max_length=200)
    last_four = models.CharField(max_length=200)
    bank = models.CharField(max_length=200)
    branch = models.CharField(max_length=200)
    holder = models.CharField(max_length=200)
    phone = models.CharField(max_length=200)

    history = HistoricalRecords()


class PeerConsentEvent(models.Model):
    """A consent event; like ours without history, because its rows are only ever added."""

    member = models.ForeignKey(PeerMember, models.CASCADE)
    version = models.SmallIntegerField(null=True)
    kind = models.CharField(max_length=16)
    channel = models.CharField(max_length=8)
    on = models.DateField()
    evidence = models.CharField(max_length=10)


class PeerAcceptedVersion(models.Model):
    """The newest version a member accepted."""

    member = models.OneToOneField(PeerMember, models.CASCADE, primary_key=True)
    version = models.SmallIntegerField()
    event = models.ForeignKey(PeerConsentEvent, models.CASCADE)


class PeerLedgerEvent(models.Model):
    """Who did what."""

    at = models.DateTimeField()
    event = models.CharField(max_length=60)
    subject = models.BigIntegerField(db_index=True)
    actor = models.UUIDField(null=True)
    actor_name = models.CharField(max_length=150)
    reason = models.CharField(max_length=40)
    count = models.IntegerField(default=1)


class PeerSearchKey(models.Model):
    """A normal form by which a member is found, in clear."""

    member = models.ForeignKey(PeerMember, models.CASCADE)
    field = models.SmallIntegerField()
    form = models.CharField(max_length=500)

    class Meta:
        indexes = [models.Index(fields=["field", "form"], name="benchmarks_search")]


# The day from which the only version whose text is held is in force.
IN_FORCE = datetime.date(2016, 2, 22)
# No other size from 250 to 4,000 was faster beyond the noise.
BATCH = 1_000
TRACKED = (PeerMember, PeerContactPoint, PeerAddressee, PeerPaymentMeans)
MODELS = (
    *TRACKED,
    *(model.history.model for model in TRACKED),
    PeerConsentEvent,
    PeerAcceptedVersion,
    PeerLedgerEvent,
    PeerSearchKey,
)


def import_lines(lines, *, entities, actor):
    """JSON lines through our own parser into every row that our import writes, but keys."""
    import_rows([parse(json.loads(line), entities=entities) for line in lines], actor=actor)


def import_rows(people, *, actor):
    """Parsed members into every row that our import writes, but keys: search keys, consent and ledger too."""
    with override_settings(SIMPLE_HISTORY_ENABLED=True):
        for first in range(0, len(people), BATCH):
            with transaction.atomic():
                some = people[first : first + BATCH]
                members = _enter(some, actor)
                _enter_the_rest(members, some, actor)


def import_data(people, *, actor):
    """Parsed members into the four tables of data with their history, and nothing else."""
    with override_settings(SIMPLE_HISTORY_ENABLED=True):
        for first in range(0, len(people), BATCH):
            with transaction.atomic():
                _enter(people[first : first + BATCH], actor)


def _enter(people, actor):
    options = {
        "batch_size": BATCH,
        "default_user": actor,
        "default_date": timezone.now(),
        "default_change_reason": "imported",
    }
    members = [
        PeerMember(
            entity=one.entity,
            joined_on=one.joined_on,
            last_used_on=one.last_used_on,
            number=one.number,
            login_id=one.login_id,
            name=one.name,
            kana=one.kana,
            birth_date=one.birth_date,
            sex=one.sex,
            occupation=one.occupation,
        )
        for one in people
    ]
    bulk_create_with_history(members, PeerMember, **options)
    contacts, addressees, means = [], [], []
    for member, one in zip(members, people, strict=True):
        contacts += [
            PeerContactPoint(member=member, kind=given.kind, value=given.value, well_formed=given.well_formed)
            for given in one.contacts
        ]
        addressees += [PeerAddressee(member=member, **vars(given)) for given in one.addressees]
        means += [PeerPaymentMeans(member=member, **vars(given)) for given in one.payment_means]
    bulk_create_with_history(contacts, PeerContactPoint, **options)
    bulk_create_with_history(addressees, PeerAddressee, **options)
    bulk_create_with_history(means, PeerPaymentMeans, **options)
    return members


def _in_clear(field, normal, second=""):
    """In the place of a keyed hash: the number of the field and what would be hashed."""
    return int(field), f"{normal}\n{second}"


def _enter_the_rest(members, people, actor):
    now, events, accepted, ledger, keys = timezone.now(), [], [], [], []
    for member, one in zip(members, people, strict=True):
        newest = None
        for kind, day in (("deemed_joining", one.joined_on), ("deemed_using", one.last_used_on)):
            if day:
                version = 2 if day >= IN_FORCE else None
                event = PeerConsentEvent(
                    member=member, version=version, kind=kind, channel="import", on=day, evidence="not_held"
                )
                events.append(event)
                newest = event if version else newest
        if newest:
            accepted.append((member, newest))
        for event in ("member:registered", "member:consent_deemed"):
            ledger.append(
                PeerLedgerEvent(
                    at=now,
                    event=event,
                    subject=member.pk,
                    actor=actor.pk,
                    actor_name=actor.username,
                    reason="imported",
                )
            )
        found_by = [
            number_lookup(one, member.pk, mac=_in_clear),
            login_lookup(one, member.pk, mac=_in_clear),
            *shared_lookups(one, member.pk, mac=_in_clear),
        ]
        keys += [PeerSearchKey(member=member, field=key.mac[0], form=key.mac[1]) for key in found_by]
    PeerConsentEvent.objects.bulk_create(events, batch_size=BATCH)
    PeerAcceptedVersion.objects.bulk_create(
        [PeerAcceptedVersion(member=member, version=event.version, event=event) for member, event in accepted],
        batch_size=BATCH,
    )
    PeerLedgerEvent.objects.bulk_create(ledger, batch_size=BATCH)
    PeerSearchKey.objects.bulk_create(keys, batch_size=BATCH)
