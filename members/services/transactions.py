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
from typing import Any

from access_control.copying import copy_rows
from access_control.ledger import Act
from access_control.models import Entity
from access_control.vault import store
from access_control.vault.categories import Category
from access_control.vault.ring import KeyRing, add_fetched, add_keys, new_ring, require_own_keyring
from access_control.vault.seal import KeyRef
from members.events import Event
from members.intake import NewTransaction
from members.lookups import number_probe
from members.models import Member, Transaction, fiscal_year

CREATED, UNCHANGED, CONFLICT = "created", "unchanged", "conflict"
UNKNOWN_MEMBER, DESTROYED_MEMBER, DESTROYED_YEAR = "unknown_member", "destroyed", "destroyed_year"
_SEALED = ("order", "goods", "amount", "name", "address")
_COMPARED = ("ordered_on", "goods", "amount", "name", "address")


@dataclasses.dataclass(frozen=True)
class Registered:
    """What became of one new transaction: created, unchanged, in conflict (``fields`` differ), or refused and why.

    ``destroyed_at``: when the member, or the records of that fiscal year, were destroyed.
    """

    outcome: str
    fields: tuple[str, ...] = ()
    destroyed_at: datetime.datetime | None = dataclasses.field(default=None, compare=False)


def register_transactions(news: Sequence[NewTransaction], *, act: Act) -> list[Registered]:
    """Enter new transactions; returns what became of each, in order. The caller holds the transaction.

    An order number that the member has already in that fiscal year, on file or in this batch, is compared, and nothing
    is changed: unchanged, or in conflict.
    """
    require_own_keyring()
    refs = _keys_of(news, lock=True)
    living, destroyed = _standing({ref for ref in refs if ref is not None})
    refused = _refused(news, refs, destroyed)
    results: list[Registered] = []
    fresh: list[tuple[KeyRef, NewTransaction]] = []
    with new_ring() as ring:
        on_file = _on_file(ring, living, act=act)
        for position, (ref, new) in enumerate(zip(refs, news, strict=True)):
            if ref is None or position in refused:
                results.append(refused[position])
            elif (there := on_file.get((ref, new.order))) is None:
                results.append(Registered(CREATED))
                fresh.append((ref, new))
                on_file[ref, new.order] = new
            else:
                differing = _differences(ring, there, new)
                results.append(Registered(CONFLICT if differing else UNCHANGED, differing))
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
    asked = {position: number_probe(news[position].number)[1] for position, ref in enumerate(refs) if ref is None}
    stones = store.tombstones(sorted(set(asked.values())))
    refused = {
        position: Registered(DESTROYED_MEMBER if mac in stones else UNKNOWN_MEMBER, destroyed_at=stones.get(mac))
        for position, mac in asked.items()
    }
    for position, ref in enumerate(refs):
        if ref is not None and ref in destroyed:
            refused[position] = Registered(DESTROYED_YEAR, destroyed_at=destroyed[ref])
    return refused


def _keys_of(news: Sequence[NewTransaction], *, lock: bool) -> list[KeyRef | None]:
    """The key of each: the member's *statutory* key of the fiscal year. None where nobody has the member number.

    With ``lock`` the members' rows are locked from here on.
    """
    probes = [number_probe(new.number) for new in news]
    owner_of = store.owners(sorted(set(probes)))
    held = Member.objects.filter(pk__in=owner_of.values()).exclude(state=Member.State.DESTROYED)
    if lock:
        held = held.select_for_update(no_key=True)
    entity_of = dict(held.order_by("pk").values_list("pk", "entity"))
    first_month = dict(Entity.objects.values_list("code", "fiscal_year_starts"))

    def key(subject: uuid.UUID | None, new: NewTransaction) -> KeyRef | None:
        # Whose data was destroyed, or whose joining never came to its end, has no number any more, or none yet.
        if subject not in entity_of:
            return None
        return KeyRef(subject, Category.STATUTORY, fiscal_year(new.ordered_on, first_month[entity_of[subject]]))

    return [key(owner_of.get(mac), new) for (_field, mac), new in zip(probes, news, strict=True)]


def _standing(wanted: Collection[KeyRef]) -> tuple[set[KeyRef], dict[KeyRef, datetime.datetime | None]]:
    """Those of ``wanted`` that live, and those of which a fence is left, since when. No key is fetched for it."""
    states = [state for state in store.status(sorted({ref.subject for ref in wanted})) if state.ref in wanted]
    return {state.ref for state in states if state.alive}, {
        state.ref: state.destroyed_at for state in states if not state.alive
    }


def _on_file(ring: KeyRing, living: Collection[KeyRef], *, act: Act) -> dict[tuple[KeyRef, str], Any]:
    """Order numbers on file under the ``living`` keys → their rows. One fetch, recorded; none for new keys only."""
    members = {ref.subject for ref in living}
    if not members:
        return {}
    event = act.record(Event.TRANSACTIONS_COMPARED, count=len(members))
    add_fetched(ring, members, [Category.STATUTORY], event=event)
    rows = Transaction.objects.filter(member__in=members, fiscal_year__in={ref.generation for ref in living})
    keyed = ((KeyRef(row.member_id, Category.STATUTORY, row.fiscal_year), row) for row in rows)
    return {(ref, ring.open_sealed(row, "order")): row for ref, row in keyed if ref in living}


def _differences(ring: KeyRing, there: Any, new: NewTransaction) -> tuple[str, ...]:
    """Names of the fields in which a row on file, or an earlier one of the batch, differs from ``new``."""

    def value(name: str) -> object:
        return (
            ring.open_sealed(there, name)
            if name in _SEALED and isinstance(there, Transaction)
            else (getattr(there, name))
        )

    return tuple(name for name in _COMPARED if value(name) != getattr(new, name))


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
