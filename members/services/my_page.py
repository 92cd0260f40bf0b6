"""What members changed on My Page (P5.A), as the marketplace's file tells it: each is the member's own correction.

It is applied at once, with its history and a correction of the channel *My Page*; nobody in the console decides it.
Three things win over the file, and are named: a correction that is pending (the item is suspended), a correction of the
console that the file does not know (:mod:`members.services.winners`), and the end of the membership. A file that does
not say when it was written is older than every correction of the console.

Values are sealed as for any correction: the category gets a new generation, the survivors are sealed again under it,
and the old generation holds nothing but the past. A batch makes its keys with one call and each table with one
statement. The caller holds the members' rows locked.
"""

import dataclasses
import datetime
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from access_control.codes import Reason
from access_control.copying import copy_rows, update_rows
from access_control.ids import new_id
from access_control.ledger import acting
from access_control.vault import seal, store
from access_control.vault.categories import Category
from access_control.vault.errors import Destroyed, NoKey
from access_control.vault.fields import Sealed
from access_control.vault.lookups import NORMAL_FORM_VERSION, Mac
from access_control.vault.ring import KeyRing, add_keys
from access_control.vault.seal import KeyRef
from members.events import Event
from members.intake import Fault, NewMember
from members.inventory import Item
from members.lookups import shared_lookups, shared_probes
from members.models import Addressee, ContactPoint, Correction, Member, PaymentMeans
from members.services.differences import COLUMNS, PersonPlan, RowPlan, given, plan_of
from members.services.on_file import OnFile
from members.services.winners import Winners

# What a file may change of each table beside the sealed values.
_IN_CLEAR: dict[type[Any], tuple[str, ...]] = {
    Member: (),
    ContactPoint: ("well_formed", "changed_at", "removed_at"),
    Addressee: ("well_formed", "removed_at"),
    PaymentMeans: ("removed_at",),
}


@dataclasses.dataclass(frozen=True)
class Taken:
    """What was taken from a row of the file, and what was kept instead (by item code, with the reason).

    ``items``: the codes of what was taken.
    """

    changed: bool
    kept: tuple[Fault, ...]
    items: frozenset[str] = frozenset()

    @property
    def differed(self) -> set[str]:
        """The codes of the items of which the row said something else than what was on file."""
        return {*self.items, *(fault.field for fault in self.kept)}


NOTHING_TAKEN = Taken(changed=False, kept=())


def take_changes(changed: Sequence[tuple[OnFile, NewMember]], ring: KeyRing, *, mac: Mac) -> dict[uuid.UUID, Taken]:
    """Apply what the members changed on My Page; what wins over the file stays. Nothing immutable may differ.

    Returns what became of each member. The caller holds the transaction and the members' rows.
    """
    if not changed:
        return {}
    winners = Winners([person for person, _new in changed], ring)
    plans = [plan_of(person, new, winners.of(person, new.exported_at)) for person, new in changed]
    effective = [plan for plan in plans if plan.changes() or plan.added]
    items_of = {plan.subject: _items_of(plan) for plan in plans}
    if effective:
        with acting(None, reason=Reason.MY_PAGE) as act:
            exported = {person.member.pk: new.exported_at for person, new in changed}
            _apply(effective, ring, exported, now=timezone.now())
            subjects = [plan.subject for plan in effective]
            act.record_each(
                Event.CORRECTION_APPLIED,
                subjects,
                items_of={subject: sorted(items_of[subject]) for subject in subjects},
            )
        _move_lookups(effective, mac=mac)
    acted = {plan.subject for plan in effective}
    return {
        plan.subject: Taken(plan.subject in acted, tuple(plan.kept), frozenset(items_of[plan.subject]))
        for plan in plans
    }


def _items_of(plan: PersonPlan) -> set[str]:
    """Codes of the items that are changed or added."""
    added = {item.code for model, entry in plan.added for item in given(model, entry).values()}
    return added | {item.code for _row, _column, item in plan.changes()}


def _apply(
    plans: Sequence[PersonPlan],
    ring: KeyRing,
    exported: dict[uuid.UUID, datetime.datetime | None],
    *,
    now: datetime.datetime,
) -> None:
    """Keys, then rows, then the corrections that say what was superseded."""
    superseded = {plan.subject: _superseded(plan) for plan in plans}
    refs: dict[tuple[uuid.UUID, int], KeyRef] = {}
    made = []
    for plan in plans:
        for category in sorted({*superseded[plan.subject], *_categories_added(plan)}):
            ref, is_new = _generation(ring, plan.subject, category, anew=category in superseded[plan.subject])
            refs[plan.subject, category] = ref
            made += [ref] if is_new else []
    add_keys(ring, made)
    for model in COLUMNS:
        _update(model, plans, refs, ring, now=now)
        _insert(model, plans, refs, ring)
    copy_rows(
        Correction,
        _CORRECTION,
        (
            _correction(plan.subject, change, exported[plan.subject] or now, now, superseded[plan.subject])
            for plan in plans
            for change in plan.changes()
        ),
    )


_CORRECTION = (
    "id",
    "member",
    "item",
    "row",
    "field",
    "channel",
    "state",
    "reason",
    "asked_at",
    "decided_at",
    "superseded_category",
    "superseded_generation",
)


def _correction(
    subject: uuid.UUID,
    change: tuple[RowPlan, str, Item],
    asked_at: datetime.datetime,
    now: datetime.datetime,
    superseded: dict[int, int],
) -> list[Any]:
    """The row of an applied correction; with the generation that held the old value, where there was one."""
    row_plan, column, item = change
    old = superseded.get(item.category)
    channel, state = Correction.Channel.MY_PAGE.value, Correction.State.APPLIED.value
    named = [new_id(), subject, item.code, row_plan.row.pk, column, channel, state, Reason.MY_PAGE.value]
    return [*named, asked_at, now, None if old is None else item.category.value, old]


def _superseded(plan: PersonPlan) -> dict[int, int]:
    """Category → the generation under which its values stand, for the categories of which a value is replaced."""
    replaced = {item.category for _row, _column, item in plan.changes()}
    found: dict[int, int] = {}
    for row_plan in plan.rows:
        for column in COLUMNS[type(row_plan.row)]:
            value = getattr(row_plan.row, column)
            if value is not None:
                category, generation = seal.header(value.blob)
                if category in replaced:
                    found[category] = max(generation, found.get(category, generation))
    return found


def _categories_added(plan: PersonPlan) -> set[int]:
    """The categories in which something is sealed, replaced or not."""
    added = {item.category for model, entry in plan.added for item in given(model, entry).values()}
    return {*added, *(item.category for _row, _column, item in plan.changes())}


def _generation(ring: KeyRing, subject: uuid.UUID, category: int, *, anew: bool) -> tuple[KeyRef, bool]:
    """The key to seal under, and whether it is to be made."""
    if not anew:
        try:
            return KeyRef(subject, category, ring.current_generation(subject, category)), False
        except (NoKey, Destroyed):
            # There is none, or none any more: what comes now is new data.
            pass
    return KeyRef(subject, category, ring.next_generation(subject, category)), True


def _update(
    model: type[Any],
    plans: Sequence[PersonPlan],
    refs: dict[tuple[uuid.UUID, int], KeyRef],
    ring: KeyRing,
    *,
    now: datetime.datetime,
) -> None:
    """Every live row of a category of which a value is replaced is sealed again, with what it shall hold."""
    category = _CATEGORY[model]
    changed = []
    for plan in plans:
        if all(item.category != category for _row, _column, item in plan.changes()):
            continue
        for row_plan in plan.rows:
            if type(row_plan.row) is model:
                _seal_row(row_plan, ring, refs[plan.subject, category].generation, now=now)
                changed.append(row_plan.row)
    names = [*COLUMNS[model], *_IN_CLEAR[model]]
    update_rows(model, names, [[row.pk, *(_raw(row, name) for name in names)] for row in changed])


def _seal_row(row_plan: RowPlan, ring: KeyRing, generation: int, *, now: datetime.datetime) -> None:
    row, after = row_plan.row, row_plan.after
    texts = {column: getattr(after, column) if after is not None else "" for column in COLUMNS[type(row)]}
    if after is None:
        row.removed_at = now
    elif after is not row_plan.before and hasattr(after, "well_formed"):
        row.well_formed = after.well_formed
    if after is not row_plan.before and isinstance(row, ContactPoint):
        row.changed_at = now
    ring.seal(row, generation=generation, **texts)


def _insert(
    model: type[Any], plans: Sequence[PersonPlan], refs: dict[tuple[uuid.UUID, int], KeyRef], ring: KeyRing
) -> None:
    """The rows that are new."""
    rows = []
    for plan in plans:
        for _model, entry in (added for added in plan.added if added[0] is model):
            clear = {name: getattr(entry, name) for name in ("kind", "well_formed") if hasattr(entry, name)}
            row = model(member_id=plan.subject, **clear)
            texts = {column: getattr(entry, column) for column in COLUMNS[model]}
            ring.seal(row, generation=refs[plan.subject, _CATEGORY[model]].generation, **texts)
            rows.append(row)
    if rows:
        names = [field.name for field in model._meta.concrete_fields]
        copy_rows(model, names, ([_raw(row, name) for name in names] for row in rows))


_CATEGORY: dict[type[Any], int] = {
    Member: Category.PROFILE,
    ContactPoint: Category.CONTACT,
    Addressee: Category.DELIVERY,
    PaymentMeans: Category.PAYMENT,
}


def _raw(row: Any, name: str) -> Any:
    """A value as the driver takes it."""
    value = getattr(row, row._meta.get_field(name).attname)
    return value.blob if isinstance(value, Sealed) else value


def _move_lookups(plans: Sequence[PersonPlan], *, mac: Mac) -> None:
    """The members are found by the new values before this commits, and no longer by the old ones afterwards."""
    added = []
    for plan in plans:
        after = plan.after()
        old, new = shared_probes(plan.person.clear, plan.subject), shared_probes(after, plan.subject)
        added += [one for one in shared_lookups(after, plan.subject, mac=mac) if (one.field, one.mac) not in old]
        if removed := sorted(old - new):
            transaction.on_commit(_removal(plan.subject, removed))
    if added:
        store.add_lookups(added, version=NORMAL_FORM_VERSION)


def _removal(subject: uuid.UUID, lookups: list[tuple[int, bytes]]) -> Callable[[], None]:
    return lambda: store.remove_lookups(subject, lookups)
