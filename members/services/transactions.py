"""What the law keeps of a transaction (P7.A): sealed under *statutory* when it is written. One and a million alike.

Nothing of the member is opened: name and address come with the row. A member is found by member number in the vault.

What can go wrong, and why here it cannot: a record could be sealed under a key that a purge is about to destroy, so the
member rows are held from the look at the keys to the commit, and a purge passes over rows that are held. A fiscal year
that was destroyed could come back by a late file: its fence refuses the row, and no other.

Order across the two databases: keys commit in the vault first, rows after. A crash in between leaves keys without rows;
a second try finds the living keys and goes on with them.
"""

import dataclasses
import datetime
import uuid
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

from access_control import locks, policies
from access_control.copying import copy_rows
from access_control.ledger import Act
from access_control.models import Entity
from access_control.openings import opening
from access_control.vault import store
from access_control.vault.categories import Category
from access_control.vault.errors import SealBroken
from access_control.vault.ring import KeyRing, add_keys, require_own_keyring
from access_control.vault.seal import KeyRef
from members import normal_forms
from members.events import Event
from members.intake import NewTransaction
from members.lookups import number_owners, number_stones
from members.models import Member, Transaction, fiscal_year

IMPORT = "members.import_transaction"
# For whom nothing is fetched, nothing is recorded.
NOTHING = uuid.UUID(int=0)
CREATED, UNCHANGED = "created", "unchanged"
UNKNOWN_MEMBER, DESTROYED_MEMBER = "unknown_member", "destroyed"
DESTROYED_YEAR, BROKEN_SEAL = "destroyed_year", "broken_seal"
# Stands for an order number that does not open.
ANY_ORDER = ""
_SEALED = ("order", "goods", "amount", "name", "address")


@dataclasses.dataclass(frozen=True)
class Registered:
    """What became of one row: created, unchanged, or refused and why.

    ``destroyed_at``: when the member, or the records of that fiscal year, were destroyed.
    """

    outcome: str
    destroyed_at: datetime.datetime | None = dataclasses.field(default=None, compare=False)


def register_transactions(news: Sequence[NewTransaction], *, act: Act) -> list[Registered]:
    """Enter new transactions; returns what became of each, in order. The caller holds the transaction.

    An order has as many rows as it has articles and refunds. A row that says the same as one of the member's rows of
    that order, on file or in this batch, is that row and unchanged; any other is a further row of the order.
    """
    require_own_keyring()
    policies.hold(act.actor, IMPORT)
    refs = _keys_of(news, lock=True)
    living, destroyed = _standing({ref for ref in refs if ref is not None})
    refused = _refused(news, refs, destroyed)
    results: list[Registered] = []
    fresh: list[tuple[KeyRef, NewTransaction]] = []
    members = {ref.subject for ref in living}
    event = act.record(Event.TRANSACTIONS_COMPARED, count=len(members)) if members else NOTHING
    with opening(act.actor, IMPORT, subjects=members, categories=[Category.STATUTORY], event=event) as ring:
        told = {(ref, _form(new.order)) for ref, new in zip(refs, news, strict=True) if ref is not None}
        on_file, broken = _on_file(ring, living, told)
        for position, (ref, new) in enumerate(zip(refs, news, strict=True)):
            if ref is None or position in refused:
                results.append(refused[position])
            elif (row := (ref, *_content(new))) in on_file:
                results.append(Registered(UNCHANGED))
            elif broken & {(ref, ANY_ORDER), (ref, _form(new.order))}:
                results.append(Registered(BROKEN_SEAL))
            else:
                results.append(Registered(CREATED))
                fresh.append((ref, new))
                on_file.add(row)
        if fresh:
            add_keys(ring, sorted({ref for ref, _new in fresh} - living))
            _enter(ring, fresh)
    if fresh:
        act.record(Event.TRANSACTIONS_REGISTERED, count=len(fresh))
    return results


def foreseen(news: Sequence[NewTransaction]) -> list[Registered]:
    """What :func:`register_transactions` would do, as far as it can be told without opening anything or writing.

    A row of a member and year with records on file counts as unchanged here; it would be compared.
    """
    refs = _keys_of(news, lock=False)
    living, destroyed = _standing({ref for ref in refs if ref is not None})
    refused = _refused(news, refs, destroyed)
    return [
        refused.get(position) or Registered(UNCHANGED if ref in living else CREATED)
        for position, ref in enumerate(refs)
    ]


def _refused(
    news: Sequence[NewTransaction], refs: Sequence[KeyRef | None], destroyed: Mapping[KeyRef, datetime.datetime | None]
) -> dict[int, Registered]:
    """Position → why the row is refused: nobody has the number, or what it belongs to was destroyed."""
    unknown = [position for position, ref in enumerate(refs) if ref is None]
    stones = number_stones([news[position].number for position in unknown])
    refused = {
        position: Registered(DESTROYED_MEMBER if stone else UNKNOWN_MEMBER, destroyed_at=stone)
        for position, stone in zip(unknown, stones, strict=True)
    }
    for position, ref in enumerate(refs):
        if ref is not None and ref in destroyed:
            refused[position] = Registered(DESTROYED_YEAR, destroyed_at=destroyed[ref])
    return refused


def _keys_of(news: Sequence[NewTransaction], *, lock: bool) -> list[KeyRef | None]:
    """The key of each: the member's *statutory* key of the fiscal year. None where nobody has the member number.

    With ``lock`` the members' rows are locked from here on.
    """
    owners = number_owners([new.number for new in news])
    held = Member.objects.filter(pk__in={owner for owner in owners if owner}).exclude(state=Member.State.DESTROYED)
    held = held.only("entity")
    entity_of = {member.pk: member.entity_id for member in (locks.change(held) if lock else held.order_by("pk"))}
    first_month = dict(Entity.objects.values_list("code", "fiscal_year_starts"))

    def key(subject: uuid.UUID | None, new: NewTransaction) -> KeyRef | None:
        # Whose data was destroyed, or whose joining never came to its end, has no number any more, or none yet.
        if subject not in entity_of:
            return None
        return KeyRef(subject, Category.STATUTORY, fiscal_year(new.ordered_on, first_month[entity_of[subject]]))

    return [key(owner, new) for owner, new in zip(owners, news, strict=True)]


def _standing(wanted: Collection[KeyRef]) -> tuple[set[KeyRef], dict[KeyRef, datetime.datetime | None]]:
    """Those of ``wanted`` that live, and those of which a fence is left, since when. No key is fetched for it."""
    subjects = sorted({ref.subject for ref in wanted})
    # A year whose destruction is under way is over before anything is sealed under its key.
    store.lock_living(subjects)
    states = [state for state in store.status(subjects) if state.ref in wanted]
    return {state.ref for state in states if state.alive}, {
        state.ref: state.destroyed_at for state in states if not state.alive
    }


def _on_file(
    ring: KeyRing, living: Collection[KeyRef], told: Collection[tuple[KeyRef, str]]
) -> tuple[set[tuple[Any, ...]], set[tuple[KeyRef, str]]]:
    """What the rows on file say of the orders ``told`` (key, order number); and the orders of which one is broken."""
    members = {ref.subject for ref in living}
    rows = Transaction.objects.filter(member__in=members, fiscal_year__in={ref.generation for ref in living})
    found: set[tuple[Any, ...]] = set()
    broken: set[tuple[KeyRef, str]] = set()
    for row in rows:
        ref = KeyRef(row.member_id, Category.STATUTORY, row.fiscal_year)
        if ref not in living:
            continue
        # Until it is opened, it might be any order of that year.
        order = ANY_ORDER
        try:
            order = _form(number := ring.open_sealed(row, "order"))
            # What says nothing of a told order is not opened further.
            if (ref, order) in told:
                rest = {name: ring.open_sealed(row, name) for name in _SEALED if name != "order"}
                opened = NewTransaction(number="", order=number, ordered_on=row.ordered_on, **rest)
                found.add((ref, *_content(opened)))
        except SealBroken:
            broken.add((ref, order))
    return found, broken


def _form(text: str) -> str:
    """A text without difference of width and white space: what two rows that say the same have in common."""
    return "".join(normal_forms.plain(text).split())


def _content(new: NewTransaction) -> tuple[Any, ...]:
    """All that a row says. Amounts are compared as numbers: 12800 is 12800.00."""
    amount, _space, currency = new.amount.partition(" ")
    texts = (new.order, new.goods, new.name, new.address)
    return (new.ordered_on, Decimal(amount), currency, *map(_form, texts))


def _enter(ring: KeyRing, fresh: Sequence[tuple[KeyRef, NewTransaction]]) -> None:
    rows = []
    for ref, new in fresh:
        row = Transaction(member_id=ref.subject, ordered_on=new.ordered_on, fiscal_year=ref.generation)
        ring.seal(row, generation=ref.generation, **{name: getattr(new, name) for name in _SEALED})
        rows.append(row)
    fields = Transaction._meta.concrete_fields
    copy_rows(
        Transaction,
        [field.name for field in fields],
        ([field.get_prep_value(getattr(row, field.attname)) for field in fields] for row in rows),
    )
