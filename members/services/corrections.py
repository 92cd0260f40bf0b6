"""Corrections (P5): asked for, the item is suspended at once on every path; then applied or refused, with a reason.

A corrected value gets a new generation of its category: the survivors are sealed again under the new key, so that the
old generation holds nothing but the past and can be destroyed when its own due date comes.
"""

import datetime
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from access_control import locks
from access_control.characters import refuse_strange_characters
from access_control.codes import Reason
from access_control.ledger import acting
from access_control.models import Staff
from access_control.openings import opening
from access_control.vault import seal, store
from access_control.vault.categories import Category
from access_control.vault.errors import VaultError
from access_control.vault.fields import SealedField, sealed_field
from access_control.vault.lookups import NORMAL_FORM_VERSION
from access_control.vault.ring import KeyRing, add_keys
from access_control.vault.seal import KeyRef
from members import rule_books
from members.events import Event
from members.intake import COUNTRY_OF, NewMember
from members.inventory import ITEMS, Item
from members.lookups import MAILS, shared_lookups, shared_probes
from members.models import DATA_MODELS, Addressee, Case, ContactPoint, Correction, Member, Notice, Suspension
from members.services.cases import (
    CaseClosed,
    NotIdentified,
    correspondence_ring,
    hold_member,
    lock_case,
    refuse_forbidden_numbers,
)
from members.services.notices import Destination, mails_on_file, queue_notices
from members.services.registration import DATA_CATEGORIES, stored_people

__all__ = ["AlreadyDecided", "AlreadyPending", "CaseClosed", "ImmutableItem", "NotIdentified", "Unchanged"]


class ImmutableItem(Exception):
    """Name, ID and the like cannot be corrected (P5.A)."""


class AlreadyPending(Exception):
    """A correction of this item is pending already."""


class AlreadyDecided(Exception):
    """The correction was applied or refused before."""


class Unchanged(Exception):
    """The value asked for is the value on file."""


class NoSuchItem(Exception):
    """The member has no such item."""


def data_rows(member: Member) -> list[Any]:
    """Every live row of a member's data."""
    return [
        row
        for model in DATA_MODELS
        for row in ([member] if model is Member else model._default_manager.filter(member=member, removed_at=None))
    ]


def country_of(member: Member | None) -> str:
    """The country whose numbers and postcodes the member writes."""
    return COUNTRY_OF.get(member.entity_id, "JP") if member else "JP"


def _locate(member: Member, item: Item, row_id: uuid.UUID) -> tuple[Any, str]:
    """The row and column that hold a value of ``item``. Raises NoSuchItem."""
    for row in data_rows(member):
        if row.pk != row_id:
            continue
        for field in row._meta.concrete_fields:
            if not isinstance(field, SealedField) or getattr(row, field.name) is None:
                continue
            if item in field.items() and field.item_for(row) == item:
                return row, field.name
    raise NoSuchItem


def ask_correction(
    case: Case,
    *,
    item: str,
    row: uuid.UUID,
    text: str,
    actor: Staff,
    reason: str = Reason.ASKED,
    neither_number: bool = False,
) -> Correction:
    """The item is suspended from now; the wish waits to be applied or refused.

    ``neither_number``: the actor answers for it that no number in ``text`` is a card's or an Individual Number; that
    counts for nothing where the item is of a means of payment.

    Raises NotNormal when ``text`` is no such item, ImmutableItem, NotIdentified, Unchanged, AlreadyPending, NoSuchItem,
    ForbiddenNumber, PermissionDenied, CaseClosed, ValidationError (a strange character).
    """
    wanted = ITEMS.get(item)
    if wanted is None or not wanted.group:
        raise NoSuchItem
    if wanted.immutable:
        raise ImmutableItem
    refuse_strange_characters(rule_books.spaced(text))
    answered = neither_number and wanted.category != Category.PAYMENT
    kept = refuse_forbidden_numbers(text, answered=answered)
    country = country_of(case.member)
    value = wanted.book.clean(text, country).text
    now = timezone.now()
    with acting(actor, reason=reason, case=case.pk) as act:
        case = lock_case(case.pk, actor=actor)
        member = hold_member(case, actor=actor)
        target, field = _locate(member, wanted, row)
        event = act.record(Event.CORRECTION_ASKED, subject=member.pk, items=[item])
        if kept:
            act.record(Event.NUMBER_KEPT, subject=member.pk, items=[item], reason=Reason.NEITHER_NUMBER)
        correction = Correction(case=case, member=member, item=item, row=row, field=field, asked_at=now)
        # The vault has its record of the fetch, so from here on the event stays, whatever comes of the wish.
        failure: Exception | None = None
        try:
            with (
                _opening(actor, case, member, [wanted.category], event=event) as ring,
                transaction.atomic(),
            ):
                if wanted.book.same(ring.open_sealed(target, field), value, country):
                    raise Unchanged
                generation = correspondence_ring(member.pk, case.pk, ring, event=event)
                ring.seal(correction, generation=generation, proposed=value)
                Suspension.objects.create(member=member, item=item, row=row, case=case, started_at=now)
                correction.save(force_insert=True)
        except IntegrityError:
            failure = AlreadyPending()
        except (Unchanged, VaultError) as error:
            failure = error
    if failure is not None:
        raise failure
    return correction


def _opening(
    actor: Staff, case: Case, member: Member, categories: Sequence[int], *, event: uuid.UUID
) -> AbstractContextManager[KeyRing]:
    """The member's keys, under the grant that the case gave."""
    return opening(
        actor,
        "members.correct_member",
        subjects=[member.pk],
        categories=categories,
        event=event,
        targets=[member],
        case=case,
    )


def _pending(correction: Correction) -> Correction:
    locked = locks.change_one(Correction, correction.pk)
    if locked.state != Correction.State.ASKED:
        raise AlreadyDecided
    return locked


def apply_correction(correction: Correction, *, actor: Staff, reason: str = Reason.ASKED) -> Correction:
    """The new value stands from this moment; the suspension is over; notices are queued to old and new address.

    Raises AlreadyDecided, NotIdentified, PermissionDenied, CaseClosed.
    """
    now = timezone.now()
    if correction.case is None:
        # The member's own, on My Page: it came applied.
        raise AlreadyDecided
    with acting(actor, reason=reason, case=correction.case.pk) as act:
        case = lock_case(correction.case.pk, actor=actor)
        member = hold_member(case, actor=actor)
        correction = _pending(correction)
        item = ITEMS[correction.item]
        event = act.record(Event.CORRECTION_APPLIED, subject=member.pk, items=[correction.item])
        categories = [*DATA_CATEGORIES, Category.CORRESPONDENCE]
        with _opening(actor, case, member, categories, event=event) as ring:
            before = stored_people([member.pk], ring)[member.pk]
            target, field = _locate(member, item, correction.row)
            old_value = ring.open_sealed(target, field)
            new_value = ring.open_sealed(correction, "proposed")
            # Not the newest: an interrupted try may have left one above it that holds nothing.
            old_generation = seal.header(getattr(target, field).blob)[1]
            _seal_again(member, item, target, field, new_value, ring, now)
            after = stored_people([member.pk], ring)[member.pk]
            told = _destinations(correction, member, old_value, new_value, ring)
            queue_notices(case, told, ring, about=correction.item, act=act, now=now)
        correction.state, correction.reason, correction.decided_at = Correction.State.APPLIED, str(reason), now
        correction.superseded_category, correction.superseded_generation = item.category, old_generation
        correction.save(update_fields=["state", "reason", "decided_at", "superseded_category", "superseded_generation"])
        _end_suspension(correction, now)
        # Last, because the vault commits at once.
        _move_lookups(member, before, after)
    return correction


def refuse_correction(correction: Correction, *, actor: Staff, reason: str) -> Correction:
    """The value on file stays; the suspension is over; the reason is on record. Raises as :func:`apply_correction`."""
    now = timezone.now()
    if correction.case is None:
        # The member's own, on My Page: it came applied.
        raise AlreadyDecided
    with acting(actor, reason=reason, case=correction.case.pk) as act:
        case = lock_case(correction.case.pk, actor=actor)
        member = hold_member(case, actor=actor)
        correction = _pending(correction)
        correction.state, correction.reason, correction.decided_at = Correction.State.REFUSED, str(reason), now
        correction.save(update_fields=["state", "reason", "decided_at"])
        _end_suspension(correction, now)
        act.record(Event.CORRECTION_REFUSED, subject=member.pk, items=[correction.item])
    return correction


def _end_suspension(correction: Correction, now: datetime.datetime) -> None:
    Suspension.objects.filter(
        member_id=correction.member_id, item=correction.item, row=correction.row, ended_at=None
    ).update(ended_at=now)


def _seal_again(
    member: Member, item: Item, target: Any, field: str, value: str, ring: KeyRing, now: datetime.datetime
) -> None:
    """Seal every live value of the item's category under a new generation, the corrected one with its new text."""
    ref = KeyRef(member.pk, item.category, ring.next_generation(member.pk, item.category))
    add_keys(ring, [ref])
    for row in data_rows(member):
        texts: dict[str, str] = {}
        for column in row._meta.concrete_fields:
            if not isinstance(column, SealedField) or getattr(row, column.name) is None:
                continue
            if column.item_for(row).category != item.category:
                continue
            corrected = row.pk == target.pk and column.name == field
            texts[column.name] = value if corrected else ring.open_sealed(row, column.name)
        if texts:
            if row.pk == target.pk:
                _mark(row, texts, country_of(member), now)
            ring.seal(row, generation=ref.generation, **texts)
            others = {"changed_at", "well_formed"} & {column.name for column in row._meta.concrete_fields}
            row.save(update_fields=[*texts, *others])


def _mark(row: Any, texts: dict[str, str], country: str, now: datetime.datetime) -> None:
    """Say of a corrected contact or addressee whether it is well formed, as intake would have."""
    if isinstance(row, ContactPoint):
        row.changed_at = now
    if isinstance(row, ContactPoint | Addressee):
        books = {name: ITEMS[sealed_field(type(row), name).item_for(row).code].book for name in texts}
        row.well_formed = all(books[name].is_good(text, country) for name, text in texts.items())


def _move_lookups(member: Member, before: NewMember, after: NewMember) -> None:
    """The member is found by the new value before this commits, and no longer by the old one afterwards."""
    old, new = shared_probes(before, member.pk), shared_probes(after, member.pk)
    if added := [one for one in shared_lookups(after, member.pk) if (one.field, one.mac) not in old]:
        store.add_lookups(added, version=NORMAL_FORM_VERSION)
    if removed := sorted(old - new):
        transaction.on_commit(lambda: store.remove_lookups(member.pk, removed))


def _destinations(
    correction: Correction, member: Member, old_value: str, new_value: str, ring: KeyRing
) -> list[Destination]:
    """A changed mail address is told at the old and the new one; any other change at the mail addresses on file."""
    if correction.item.removeprefix("contact.") not in MAILS:
        return mails_on_file(member, Notice.Kind.CORRECTED, ring)
    return [
        Destination(kind, correction.item, correction.row, address)
        for kind, address in ((Notice.Kind.CORRECTED_OLD, old_value), (Notice.Kind.CORRECTED_NEW, new_value))
    ]
