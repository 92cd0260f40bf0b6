"""New members: sealed, entered, found again. One member and a million go the same way.

Order across the two databases: keys and lookups commit in the vault first, rows after. A crash in between leaves keys
without rows; a second try finds the claimed subject by its member number and goes on with it.
"""

import dataclasses
import datetime
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.db import connection

from access_control.copying import copy_rows
from access_control.ids import new_id
from access_control.ledger import Act
from access_control.openings import opening
from access_control.vault import store
from access_control.vault.categories import FIRST_GENERATION, Category
from access_control.vault.errors import SealBroken
from access_control.vault.fields import SealedField
from access_control.vault.lookups import NORMAL_FORM_VERSION, VERSIONS, LookupField, Mac, hashing
from access_control.vault.ring import KeyRing, add_fetched, add_keys, new_ring, require_own_keyring
from access_control.vault.seal import KeyRef
from access_control.vault.store import Lookup
from members import normal_forms
from members.events import Event
from members.intake import NewAddressee, NewContact, NewMember, NewPaymentMeans
from members.lookups import login_lookup, number_lookup, number_owners, number_stones, owners, shared_lookups
from members.models import Addressee, ContactPoint, Member, PaymentMeans

DATA_CATEGORIES = (
    Category.IDENTITY,
    Category.CONTACT,
    Category.DELIVERY,
    Category.PAYMENT,
    Category.PROFILE,
)
OLDER_VERSIONS = [version for version in VERSIONS if version != NORMAL_FORM_VERSION]
CREATED, UNCHANGED, CONFLICT, BROKEN, DESTROYED = "created", "unchanged", "conflict", "broken", "destroyed"


@dataclasses.dataclass(frozen=True)
class Registration:
    """What became of one new member: created, unchanged, or in conflict (``fields`` differ or are taken).

    Or refused, because the member of this number was destroyed, ``destroyed_at``.
    Broken: a value on file does not open, so nothing was compared.
    """

    outcome: str
    member: uuid.UUID
    fields: tuple[str, ...] = ()
    destroyed_at: datetime.datetime | None = dataclasses.field(default=None, compare=False)


def stored_people(
    member_ids: Sequence[uuid.UUID], ring: KeyRing, *, skip_broken: bool = False
) -> dict[uuid.UUID, NewMember]:
    """The members as they stand, in clear, opened on ``ring`` (which holds all data categories).

    Raises SealBroken; with ``skip_broken``, a member of whom a value does not open is left out.
    """
    rows: dict[type[Any], dict[uuid.UUID, list[Any]]] = {
        model: defaultdict(list) for model in (ContactPoint, Addressee, PaymentMeans)
    }
    for model, by_member in rows.items():
        for row in model._default_manager.filter(member_id__in=member_ids, removed_at=None):
            by_member[row.member_id].append(row)
    found = {}
    for member in Member.objects.filter(pk__in=member_ids):
        try:
            found[member.pk] = _stored_person(member, {model: of[member.pk] for model, of in rows.items()}, ring)
        except SealBroken:
            if not skip_broken:
                raise
    return found


def _stored_person(member: Member, rows: Mapping[type[Any], Sequence[Any]], ring: KeyRing) -> NewMember:
    contacts = (NewContact(row.kind, ring.open_sealed(row, "value"), row.well_formed) for row in rows[ContactPoint])
    addressees = (
        NewAddressee(*(ring.open_sealed(row, n) for n in ("name", "kana", "postcode", "address", "phone")))
        for row in rows[Addressee]
    )
    means = (
        NewPaymentMeans(row.kind, *(ring.open_sealed(row, name) for name in _PAYMENT_COLUMNS))
        for row in rows[PaymentMeans]
    )
    return NewMember(
        number=ring.open_sealed(member, "number"),
        entity=member.entity_id,
        joined_on=member.joined_on,
        last_used_on=member.last_used_on,
        contacts=tuple(sorted(contacts)),
        addressees=tuple(sorted(addressees)),
        payment_means=tuple(sorted(means)),
        **{name: ring.open_sealed(member, name) for name in _SEALED_TEXTS},
    )


_PAYMENT_COLUMNS = ("token", "brand", "expiry", "last_four", "bank", "branch", "holder", "phone")
_SEALED_TEXTS = ("login_id", "name", "kana", "birth_date", "sex", "occupation")


def register(news: Sequence[NewMember], *, act: Act) -> list[Registration]:
    """Enter new members; returns what became of each, in order. The caller holds the transaction.

    A member number that is known already is compared, and nothing is changed: unchanged, or in conflict.
    """
    require_own_keyring()
    mac = hashing()
    # Whoever has the number by a lookup of an older form keeps it; else one member would become two.
    known_owners = number_owners([new.number for new in news], OLDER_VERSIONS)
    claims = [number_lookup(new, owner or new_id(), mac=mac) for new, owner in zip(news, known_owners, strict=True)]
    # A stale file brings no destroyed member back.
    results = _destroyed(news, claims)
    wanted = [claim for position, claim in enumerate(claims) if position not in results]
    owner_of = store.claim(wanted, version=NORMAL_FORM_VERSION) if wanted else {}
    subjects = [owner_of.get(claim.mac, claim.subject) for claim in claims]
    for position, claim in enumerate(claims):
        if claim.mac not in owner_of:
            # Destroyed at this moment.
            results.setdefault(position, Registration(DESTROYED, claim.subject, ("number",)))

    # 1. Whoever is there already, or stands twice in this batch, is compared.
    known = _registered(subjects)
    first_at: dict[uuid.UUID, int] = {}
    for position, subject in enumerate(subjects):
        if subject not in known and position not in results:
            first_at.setdefault(subject, position)
    if known:
        event = act.record(Event.COMPARED, count=len(known))
        action = "members.import_member"
        with opening(act.actor, action, subjects=known, categories=DATA_CATEGORIES, event=event) as ring:
            stored = stored_people(list(known), ring, skip_broken=True)
        for position, subject in enumerate(subjects):
            if subject in known:
                results[position] = (
                    _compared(subject, stored[subject], news[position])
                    if subject in stored
                    else Registration(BROKEN, subject, ("number",))
                )
    twins = {p: first_at[s] for p, s in enumerate(subjects) if s in first_at and first_at[s] != p}

    # 2. Login IDs name one member only; who comes second is in conflict.
    fresh = [position for position in range(len(news)) if position not in results and position not in twins]
    taken = owners(
        LookupField.LOGIN_ID, normal_forms.login_id, [news[position].login_id for position in fresh], OLDER_VERSIONS
    )
    for position, owner in zip(fresh, taken, strict=True):
        if owner not in {None, subjects[position]}:
            results[position] = Registration(CONFLICT, subjects[position], ("login_id",))
    fresh = [position for position in fresh if position not in results]
    logins = {position: login_lookup(news[position], subjects[position], mac=mac) for position in fresh}
    login_owner = store.claim(list(logins.values()), version=NORMAL_FORM_VERSION) if logins else {}
    for position, lookup in logins.items():
        if login_owner[lookup.mac] != subjects[position]:
            results[position] = Registration(CONFLICT, subjects[position], ("login_id",))
    fresh = [position for position in fresh if position not in results]
    if fresh:
        _enter([(subjects[position], news[position]) for position in fresh], act=act, mac=mac)
        for position in fresh:
            results[position] = Registration(CREATED, subjects[position])
    # 3. Who stands twice in this batch is compared with the first, and shares its conflict.
    for position, first in twins.items():
        if results[first].outcome == CONFLICT:
            results[position] = results[first]
        else:
            results[position] = _compared(subjects[position], news[first], news[position])
    return [results[position] for position in range(len(news))]


def _destroyed(news: Sequence[NewMember], claims: Sequence[Lookup]) -> dict[int, Registration]:
    """Position → when the member of this number was destroyed, for numbers with a tombstone."""
    return {
        position: Registration(DESTROYED, claims[position].subject, ("number",), destroyed_at)
        for position, destroyed_at in enumerate(number_stones([new.number for new in news]))
        if destroyed_at is not None
    }


def foreseen(news: Sequence[NewMember]) -> list[Registration]:
    """What :func:`register` would do, as far as it can be told without opening anything; nothing is written.

    A member on file counts as unchanged here; whether the row says the same is seen when it is compared.
    """
    mac = hashing()
    claims = [number_lookup(new, new_id(), mac=mac) for new in news]
    logins = [login_lookup(new, claim.subject, mac=mac) for new, claim in zip(news, claims, strict=True)]
    known = number_owners([new.number for new in news])
    taken = owners(LookupField.LOGIN_ID, normal_forms.login_id, [new.login_id for new in news])
    results = _destroyed(news, claims)
    # Rows of one batch meet here as they would in the vault.
    number_owner: dict[bytes, uuid.UUID] = {}
    login_owner: dict[bytes, uuid.UUID] = {}
    for position, (claim, login) in enumerate(zip(claims, logins, strict=True)):
        if position in results:
            continue
        subject = known[position] or number_owner.setdefault(claim.mac, claim.subject)
        if (taken[position] or login_owner.setdefault(login.mac, subject)) != subject:
            results[position] = Registration(CONFLICT, subject, ("login_id",))
        else:
            results[position] = Registration(CREATED if subject == claim.subject else UNCHANGED, subject)
    return [results[position] for position in range(len(news))]


def _registered(subjects: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Those who are members already. One array: ``pk__in`` takes as long as the square of its length."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {Member._meta.db_table} WHERE id = ANY(%s)", [list(subjects)])
        return {row[0] for row in cursor.fetchall()}


def _compared(subject: uuid.UUID, stored: NewMember, new: NewMember) -> Registration:
    differing = tuple(stored.differences(new))
    return Registration(CONFLICT if differing else UNCHANGED, subject, differing)


def _enter(people: Sequence[tuple[uuid.UUID, NewMember]], *, act: Act, mac: Mac) -> None:
    """Keys and lookups, then rows."""
    refs = [KeyRef(subject, category, FIRST_GENERATION) for subject, new in people for category in _categories_of(new)]
    with new_ring() as ring:
        made = add_keys(ring, refs)
        orphans = {ref.subject for ref in refs if ref not in made} if len(made) < len(refs) else set()
        if orphans:
            event = act.record(Event.COMPARED, count=len(orphans))
            add_fetched(ring, orphans, DATA_CATEGORIES, event=event)
        store.add_lookups(
            [lookup for subject, new in people for lookup in shared_lookups(new, subject, mac=mac)],
            version=NORMAL_FORM_VERSION,
        )
        # Each row is sealed when its turn comes, while the database is busy with those before it.
        for model, clear in _CLEAR.items():
            names = [*clear, *(field.name for field in _SEALED[model])]
            copy_rows(model, names, _ROWS[model](people, ring))
    act.record_each(Event.REGISTERED, [subject for subject, _new in people])


# The columns in clear of a new row, in the order in which it is entered; the sealed ones follow. The rest is empty.
_CLEAR: dict[type[Any], list[str]] = {
    Member: ["id", "entity", "state", "joined_on", "last_used_on"],
    ContactPoint: ["id", "member", "kind", "well_formed"],
    Addressee: ["id", "member"],
    PaymentMeans: ["id", "member", "kind"],
}
_SEALED = {
    model: [field for field in model._meta.concrete_fields if isinstance(field, SealedField)] for model in _CLEAR
}
_People = Sequence[tuple[uuid.UUID, NewMember]]


def _member_rows(people: _People, ring: KeyRing) -> Iterator[list[Any]]:
    sealed, active = _SEALED[Member], Member.State.ACTIVE.value
    for subject, new in people:
        clear = [subject, new.entity, active, new.joined_on, new.last_used_on]
        yield clear + ring.blobs(new, sealed, row=subject, subject=subject)


def _contact_rows(people: _People, ring: KeyRing) -> Iterator[list[Any]]:
    sealed = _SEALED[ContactPoint]
    for subject, new in people:
        for contact in new.contacts:
            row = new_id()
            clear = [row, subject, contact.kind, contact.well_formed]
            yield clear + ring.blobs(contact, sealed, row=row, subject=subject)


def _addressee_rows(people: _People, ring: KeyRing) -> Iterator[list[Any]]:
    sealed = _SEALED[Addressee]
    for subject, new in people:
        for addressee in new.addressees:
            row = new_id()
            yield [row, subject, *ring.blobs(addressee, sealed, row=row, subject=subject)]


def _means_rows(people: _People, ring: KeyRing) -> Iterator[list[Any]]:
    sealed = _SEALED[PaymentMeans]
    for subject, new in people:
        for means in new.payment_means:
            row = new_id()
            yield [row, subject, means.kind, *ring.blobs(means, sealed, row=row, subject=subject)]


_ROWS = {Member: _member_rows, ContactPoint: _contact_rows, Addressee: _addressee_rows, PaymentMeans: _means_rows}


def _categories_of(new: NewMember) -> Iterator[Category]:
    """The categories that a member has anything to seal under; a key without values would be due for nothing."""
    yield Category.IDENTITY
    if new.contacts:
        yield Category.CONTACT
    if new.addressees:
        yield Category.DELIVERY
    if new.payment_means:
        yield Category.PAYMENT
    if new.birth_date or new.sex or new.occupation:
        yield Category.PROFILE
