"""New members: sealed, entered, found again. One member and a million go the same way.

Order across the two databases: keys and lookups commit in the vault first, rows after. A crash in between leaves keys
without rows; a second try finds the claimed subject by its member number and goes on with it.
"""

import dataclasses
import datetime
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from django.db import connection

from access_control import locks, policies
from access_control.copying import copy_rows, update_rows
from access_control.ids import new_id
from access_control.ledger import Act
from access_control.openings import opening
from access_control.vault import store
from access_control.vault.categories import FIRST_GENERATION, Category
from access_control.vault.fields import SealedField
from access_control.vault.lookups import NORMAL_FORM_VERSION, VERSIONS, LookupField, Mac, hashing
from access_control.vault.ring import KeyRing, add_fetched, add_keys, new_ring, require_own_keyring
from access_control.vault.seal import KeyRef
from access_control.vault.store import Lookup
from members import normal_forms
from members.events import Event
from members.intake import Fault, NewMember
from members.lookups import login_lookup, number_lookup, number_owners, number_stones, owners, shared_lookups
from members.models import Addressee, ContactPoint, Member, PaymentMeans
from members.services.data_as_of import data_as_of, is_older, move_on
from members.services.differences import KEPT as KEPT_BECAUSE
from members.services.differences import UNCHANGEABLE, differences
from members.services.my_page import NOTHING_TAKEN, take_changes
from members.services.on_file import OnFile, people_on_file, stored_people
from members.services.winners import FILE_OLDER, note_heard

__all__ = ["CONFLICT", "CREATED", "DATA_CATEGORIES", "UNCHANGED", "Registration", "register", "stored_people"]

DATA_CATEGORIES = (
    Category.IDENTITY,
    Category.CONTACT,
    Category.DELIVERY,
    Category.PAYMENT,
    Category.PROFILE,
)
IMPORT = "members.import_member"
OLDER_VERSIONS = [version for version in VERSIONS if version != NORMAL_FORM_VERSION]
CREATED, UNCHANGED, CONFLICT, BROKEN, DESTROYED = "created", "unchanged", "conflict", "broken", "destroyed"
# Of a member on file: a later use of the site, what was changed on My Page, what of that was kept as it is.
USED, CHANGED, KEPT = "used", "changed", "kept"
# Why a row is in conflict.
LOGIN_TAKEN, IMMUTABLE = "login_taken", "immutable"


@dataclasses.dataclass(frozen=True)
class Registration:
    """What became of one row: created, unchanged, used, changed, kept, or in conflict (``fields`` differ or are taken).

    Or refused, because the member of this number was destroyed, ``destroyed_at``. Broken: a value on file does not
    open, so nothing was compared. ``kept`` names what the file says otherwise and what won over it; ``used_on`` is a
    later use of the site.
    """

    outcome: str
    member: uuid.UUID
    fields: tuple[str, ...] = ()
    why: str = dataclasses.field(default="", compare=False)
    kept: tuple[Fault, ...] = dataclasses.field(default=(), compare=False)
    used_on: datetime.date | None = dataclasses.field(default=None, compare=False)
    destroyed_at: datetime.datetime | None = dataclasses.field(default=None, compare=False)


def register(news: Sequence[NewMember], *, act: Act, from_file: bool = False) -> list[Registration]:
    """Enter new members; returns what became of each, in order. The caller holds the transaction.

    A member number that is known already is compared. ``from_file``: a later use is taken, and what the member changed
    on My Page (:mod:`members.services.my_page`). Otherwise, and where an immutable item differs, the row is in conflict
    and changes nothing.
    """
    require_own_keyring()
    policies.hold(act.actor, IMPORT if from_file else None)
    mac = hashing()
    subjects, results = _claimed(news, mac=mac)
    first_at: dict[uuid.UUID, int] = {}
    for position, subject in enumerate(subjects):
        if position not in results:
            first_at.setdefault(subject, position)

    # 1. Whoever is there already is compared.
    known = _registered(list(first_at))
    if known:
        told = {subject: news[first_at[subject]] for subject in known}
        compared = _compare(told, act=act, from_file=from_file, mac=mac)
        results.update({first_at[subject]: registered for subject, registered in compared.items()})
    # 2. Login IDs name one member only; who comes second is in conflict.
    fresh = [position for position in sorted(first_at.values()) if position not in results]
    taken = owners(
        LookupField.LOGIN_ID, normal_forms.login_id, [news[position].login_id for position in fresh], OLDER_VERSIONS
    )
    for position, owner in zip(fresh, taken, strict=True):
        if owner not in {None, subjects[position]}:
            results[position] = Registration(CONFLICT, subjects[position], ("login_id",), LOGIN_TAKEN)
    fresh = [position for position in fresh if position not in results]
    logins = {position: login_lookup(news[position], subjects[position], mac=mac) for position in fresh}
    login_owner = store.claim(list(logins.values()), version=NORMAL_FORM_VERSION) if logins else {}
    for position, lookup in logins.items():
        if login_owner[lookup.mac] != subjects[position]:
            results[position] = Registration(CONFLICT, subjects[position], ("login_id",), LOGIN_TAKEN)
    fresh = [position for position in fresh if position not in results]
    if fresh:
        _enter([(subjects[position], news[position]) for position in fresh], act=act, mac=mac)
        for position in fresh:
            results[position] = Registration(CREATED, subjects[position])
    # 3. Who stands twice in this batch shares the lot of the first, or is compared with what that left on file.
    later = []
    for position, subject in enumerate(subjects):
        if position in results:
            continue
        if news[position] == news[first_at[subject]]:
            results[position] = _again(results[first_at[subject]])
        else:
            later.append(position)
    if later:
        registered_later = register([news[position] for position in later], act=act, from_file=from_file)
        results.update(zip(later, registered_later, strict=True))
    return [results[position] for position in range(len(news))]


def _again(first: Registration) -> Registration:
    """What becomes of the same row once more."""
    return first if first.outcome in {CONFLICT, BROKEN, KEPT} else Registration(UNCHANGED, first.member)


def _claimed(news: Sequence[NewMember], *, mac: Mac) -> tuple[list[uuid.UUID], dict[int, Registration]]:
    """Whose each member number is from now on; and, by position, the rows whose member was destroyed."""
    # Whoever has the number by a lookup of an older form keeps it; else one member would become two.
    known_owners = number_owners([new.number for new in news], OLDER_VERSIONS)
    claims = [number_lookup(new, owner or new_id(), mac=mac) for new, owner in zip(news, known_owners, strict=True)]
    # A stale file brings no destroyed member back.
    results = _destroyed(news, claims)
    wanted = [claim for position, claim in enumerate(claims) if position not in results]
    owner_of = store.claim(wanted, version=NORMAL_FORM_VERSION) if wanted else {}
    for position, claim in enumerate(claims):
        if claim.mac not in owner_of:
            # Destroyed at this moment.
            results.setdefault(position, Registration(DESTROYED, claim.subject, ("number",)))
    return [owner_of.get(claim.mac, claim.subject) for claim in claims], results


def _destroyed(news: Sequence[NewMember], claims: Sequence[Lookup]) -> dict[int, Registration]:
    """Position → when the member of this number was destroyed, for numbers with a tombstone."""
    return {
        position: Registration(DESTROYED, claims[position].subject, ("number",), destroyed_at=destroyed_at)
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
            results[position] = Registration(CONFLICT, subject, ("login_id",), LOGIN_TAKEN)
        else:
            results[position] = Registration(CREATED if subject == claim.subject else UNCHANGED, subject)
    return [results[position] for position in range(len(news))]


def _registered(subjects: Sequence[uuid.UUID]) -> list[uuid.UUID]:
    """Those who are members already. One array: ``pk__in`` takes as long as the square of its length."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {Member._meta.db_table} WHERE id = ANY(%s) ORDER BY id", [list(subjects)])
        return [row[0] for row in cursor.fetchall()]


def _compare(told: dict[uuid.UUID, NewMember], *, act: Act, from_file: bool, mac: Mac) -> dict[uuid.UUID, Registration]:
    """What becomes of rows about members on file, whose rows are locked from here on. One fetch for all of them."""
    policies.hold(act.actor, IMPORT)
    locks.change(Member.objects.filter(pk__in=told).only("pk"))
    # What a destruction under way ends is over before anything is sealed again.
    store.lock_living(list(told))
    event = act.record(Event.COMPARED, count=len(told))
    results: dict[uuid.UUID, Registration] = {}
    changed: list[tuple[OnFile, NewMember]] = []
    as_of = data_as_of(told) if from_file else {}
    with opening(act.actor, IMPORT, subjects=told, categories=DATA_CATEGORIES, event=event) as ring:
        people, broken = people_on_file(list(told), ring)
        results.update({subject: Registration(BROKEN, subject, ("number",)) for subject in broken})
        for subject, person in people.items():
            fields = differences(person.clear, told[subject])
            if fields and (not from_file or UNCHANGEABLE & set(fields)):
                results[subject] = Registration(CONFLICT, subject, fields, IMMUTABLE)
            elif is_older(told[subject].exported_at, as_of.get(subject)):
                results[subject] = _kept_out(person, told[subject], fields)
            elif fields:
                changed.append((person, told[subject]))
        taken = take_changes(changed, ring, mac=mac)
        current = [person for subject, person in people.items() if subject not in results]
        if from_file:
            differed = {subject: change.differed for subject, change in taken.items()}
            note_heard([(one, told[one.member.pk], differed.get(one.member.pk, ())) for one in current], ring)
    used = _uses(current, told) if from_file else {}
    move_on([(person.member.pk, told[person.member.pk].exported_at) for person in current])
    for subject in people.keys() - results.keys():
        change = taken.get(subject, NOTHING_TAKEN)
        outcome = KEPT if change.kept else CHANGED if change.changed else USED if subject in used else UNCHANGED
        results[subject] = Registration(outcome, subject, kept=change.kept, used_on=used.get(subject))
    return results


def _kept_out(person: OnFile, new: NewMember, fields: Sequence[str]) -> Registration:
    """What becomes of a row that was written before one that was taken: nothing of it is."""
    named = [*fields, "last_used_on"] if _later_use(person, new) else fields
    kept = tuple(Fault(name, FILE_OLDER, KEPT_BECAUSE[FILE_OLDER]) for name in named)
    return Registration(KEPT if kept else UNCHANGED, person.member.pk, kept=kept)


def _later_use(person: OnFile, new: NewMember) -> datetime.date | None:
    """The day of a later use of the site. Whose membership has ended uses it no more."""
    day, known = new.last_used_on, person.member.last_used_on
    later = day is not None and (known is None or day > known) and person.member.state == Member.State.ACTIVE
    return day if later else None


def _uses(people: Sequence[OnFile], told: dict[uuid.UUID, NewMember]) -> dict[uuid.UUID, datetime.date]:
    """Enter the later uses of the site; returns them."""
    used = {person.member.pk: day for person in people if (day := _later_use(person, told[person.member.pk]))}
    update_rows(Member, ["last_used_on"], list(used.items()))
    return used


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
        move_on([(subject, new.exported_at) for subject, new in people])
    act.record_each(Event.REGISTERED, [subject for subject, _new in people])


# The columns in clear of a new row, in the order in which it is entered; the sealed ones follow. The rest is empty.
_CLEAR: dict[type[Any], list[str]] = {
    Member: ["id", "entity", "state", "joined_on", "last_used_on"],
    ContactPoint: ["id", "member", "kind", "well_formed"],
    Addressee: ["id", "member", "well_formed"],
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
            clear = [row, subject, addressee.well_formed]
            yield clear + ring.blobs(addressee, sealed, row=row, subject=subject)


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
