"""What the law keeps of a transaction (P7.A): sealed under *statutory* when it is written. One and a million alike.

Nothing of the member is opened: name and address come with the row. A member is found by member number in the vault.

What can go wrong, and why here it cannot: a record could be sealed under a key that a purge is about to destroy, so the
member rows are held from the look at the keys to the commit, and a purge passes over rows that are held. A fiscal year
that was destroyed could come back by a late file: its fence refuses the row, and no other.

Order across the two databases: keys commit in the vault first, rows after. A crash in between leaves keys without rows;
a second try finds the living keys and goes on with them.
"""

import dataclasses
import uuid
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any

from access_control.copying import copy_rows
from access_control.ledger import Act
from access_control.models import Entity
from access_control.vault import store
from access_control.vault.categories import Category
from access_control.vault.ring import KeyRing, add_fetched, add_keys, new_ring, require_own_keyring
from access_control.vault.seal import KeyRef
from members import normal_forms
from members.events import Event
from members.intake import NewTransaction
from members.lookups import number_probe
from members.models import Member, Transaction, fiscal_year

CREATED, UNCHANGED = "created", "unchanged"
UNKNOWN_MEMBER, DESTROYED_YEAR = "unknown_member", "destroyed_year"
_SEALED = ("order", "goods", "amount", "name", "address")


@dataclasses.dataclass(frozen=True)
class Registered:
    """What became of one row: created, unchanged, or refused and why."""

    outcome: str


def register_transactions(news: Sequence[NewTransaction], *, act: Act) -> list[Registered]:
    """Enter new transactions; returns what became of each, in order. The caller holds the transaction.

    An order has as many rows as it has articles and refunds. A row that says the same as one of the member's rows of
    that order, on file or in this batch, is that row and unchanged; any other is a further row of the order.
    """
    require_own_keyring()
    refs = _keys_of(news)
    living, destroyed = _standing({ref for ref in refs if ref is not None})
    results: list[Registered] = []
    fresh: list[tuple[KeyRef, NewTransaction]] = []
    with new_ring() as ring:
        on_file = _on_file(
            ring, living, {(ref, _form(new.order)) for ref, new in zip(refs, news, strict=True) if ref}, act=act
        )
        for ref, new in zip(refs, news, strict=True):
            if ref is None:
                results.append(Registered(UNKNOWN_MEMBER))
            elif ref in destroyed:
                results.append(Registered(DESTROYED_YEAR))
            elif (row := (ref, *_content(new))) in on_file:
                results.append(Registered(UNCHANGED))
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


def _keys_of(news: Sequence[NewTransaction]) -> list[KeyRef | None]:
    """The key of each: the member's *statutory* key of the fiscal year. None where nobody has the member number.

    The members' rows are held from here on.
    """
    probes = [number_probe(new.number) for new in news]
    owner_of = store.owners(sorted(set(probes)))
    held = Member.objects.filter(pk__in=owner_of.values()).exclude(state=Member.State.DESTROYED)
    entity_of = dict(held.order_by("pk").select_for_update(no_key=True).values_list("pk", "entity"))
    first_month = dict(Entity.objects.values_list("code", "fiscal_year_starts"))

    def key(subject: uuid.UUID | None, new: NewTransaction) -> KeyRef | None:
        # Whose data was destroyed, or whose joining never came to its end, has no number any more, or none yet.
        if subject not in entity_of:
            return None
        return KeyRef(subject, Category.STATUTORY, fiscal_year(new.ordered_on, first_month[entity_of[subject]]))

    return [key(owner_of.get(mac), new) for (_field, mac), new in zip(probes, news, strict=True)]


def _standing(wanted: Collection[KeyRef]) -> tuple[set[KeyRef], set[KeyRef]]:
    """Those of ``wanted`` that live, and those of which a fence is left. No key is fetched for it."""
    states = [state for state in store.status(sorted({ref.subject for ref in wanted})) if state.ref in wanted]
    return {state.ref for state in states if state.alive}, {state.ref for state in states if not state.alive}


def _on_file(
    ring: KeyRing, living: Collection[KeyRef], told: Collection[tuple[KeyRef, str]], *, act: Act
) -> set[tuple[Any, ...]]:
    """What the rows on file say of the orders ``told`` (key, order number). One fetch, recorded; none for new keys."""
    members = {ref.subject for ref in living}
    if not members:
        return set()
    event = act.record(Event.TRANSACTIONS_COMPARED, count=len(members))
    add_fetched(ring, members, [Category.STATUTORY], event=event)
    found = set()
    for row in Transaction.objects.filter(member__in=members, fiscal_year__in={ref.generation for ref in living}):
        ref = KeyRef(row.member_id, Category.STATUTORY, row.fiscal_year)
        if ref not in living:
            continue
        # What says nothing of a told order is not opened further.
        if (ref, _form(order := ring.open_sealed(row, "order"))) in told:
            rest = {name: ring.open_sealed(row, name) for name in _SEALED if name != "order"}
            opened = NewTransaction(number="", order=order, ordered_on=row.ordered_on, **rest)
            found.add((ref, *_content(opened)))
    return found


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
