"""Peers: the tables of a member's data as a plain Django project with django-simple-history would have them.

Their columns are ours, but in clear. They get every fair advantage: ids counted by the database, no lookup, no
constraint and no index beyond what the libraries make themselves, one account and one time for a whole batch.
"""

from django.db import models
from django.test import override_settings
from django.utils import timezone
from simple_history.models import HistoricalRecords
from simple_history.utils import bulk_create_with_history  # noqa: TID251 - it is what is measured against.


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


# Fastest here; 500 and 4,000 are slower.
BATCH = 2_000
MODELS = (PeerMember, PeerContactPoint, PeerAddressee, PeerPaymentMeans)


def with_histories(peers):
    """The models and their history models."""
    return [*peers, *(peer.history.model for peer in peers)]


def rows_of(people):
    """How many rows of data the people have."""
    return sum(1 + len(one.contacts) + len(one.addressees) + len(one.payment_means) for one in people)


def import_in_clear(people, *, actor, batch=BATCH):
    """Parsed members into the peers' tables with history, by stock ``bulk_create_with_history``."""
    known = {"default_user": actor, "default_date": timezone.now(), "default_change_reason": "imported"}
    with override_settings(SIMPLE_HISTORY_ENABLED=True):
        for first in range(0, len(people), batch):
            _enter(people[first : first + batch], batch_size=batch, **known)


def _enter(people, **options):
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
