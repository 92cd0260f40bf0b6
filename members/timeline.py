"""The history of a member as people read it: who, when, why, which case, masked before and after."""

import dataclasses
import datetime
import uuid
from collections import defaultdict
from typing import Any

from access_control.codes import Reason
from access_control.history import history_of
from access_control.ledger import Act
from access_control.models import Staff
from access_control.vault.errors import Destroyed, NoKey, SealBroken
from access_control.vault.fields import SealedField
from access_control.vault.ring import KeyRing
from members.events import Event
from members.inventory import ITEMS
from members.models import DATA_MODELS, Case, Member
from members.showing import mask_value, masking_member, sealed_names

MOST_ROWS = 500


@dataclasses.dataclass(frozen=True)
class Change:
    """One changed item: its label, masked before (empty when it was new) and after (empty when it went).

    Or the state of the membership, in words.
    """

    label: Any
    before: str
    after: str


@dataclasses.dataclass(frozen=True)
class Entry:
    """Everything one act changed."""

    at: datetime.datetime
    who: str
    why: Any
    case: Case | None
    kind: str
    changes: list[Change]


def timeline(member: Member, *, act: Act) -> list[Entry]:
    """The newest changes of a member's data, newest first: one fetch, one event.

    Values sealed again without a change are no change: that is judged on the text, which never leaves this function.
    """
    versions: list[Any] = []
    for model in DATA_MODELS:
        history = history_of(model)
        assert history is not None
        owner = {"id": member.pk} if model is Member else {"member_id": member.pk}
        rows = history._default_manager.filter(**owner).order_by("-history_id")[:MOST_ROWS]
        versions += [(model, row) for row in reversed(rows)]
    changes: dict[tuple[int, uuid.UUID | None], list[Change]] = defaultdict(list)
    heads: dict[tuple[int, uuid.UUID | None], Any] = {}
    with masking_member(member, Event.HISTORY_SHOWN, act=act) as ring:
        before: dict[uuid.UUID, Any] = {}
        for model, row in versions:
            act_key = (row.history_xid, row.history_request_id)
            found = _changes(model, before.get(row.id), row, ring)
            before[row.id] = row
            if found:
                heads.setdefault(act_key, row)
                changes[act_key] += found
    staff = {
        account.pk: account.get_full_name()
        for account in Staff.objects.filter(pk__in={row.history_user_id for row in heads.values()}).select_related(
            "person"
        )
    }
    cases = Case.objects.in_bulk({row.history_case_id for row in heads.values() if row.history_case_id})
    entries = [
        Entry(
            at=row.history_date,
            who=staff.get(row.history_user_id, ""),
            why=Reason(row.history_change_reason).label
            if row.history_change_reason in Reason.values
            else row.history_change_reason,
            case=cases.get(row.history_case_id),
            kind=row.history_type,
            changes=changes[key],
        )
        for key, row in heads.items()
    ]
    return sorted(entries, key=lambda entry: entry.at, reverse=True)


def _changes(model: type[Any], before: Any, after: Any, ring: KeyRing) -> list[Change]:
    found = []
    if model is Member and before is not None and before.state != after.state:
        label = model._meta.get_field("state").verbose_name
        found.append(Change(label, before.get_state_display(), after.get_state_display()))
    for name in sealed_names(model):
        old, new = getattr(before, name, None), getattr(after, name)
        if old == new or (old is not None and new is not None and _same_text(before, after, name, ring)):
            continue
        field = model._meta.get_field(name)
        assert isinstance(field, SealedField)
        found.append(
            Change(
                label=ITEMS[field.item_for(after).code].label,
                before=mask_value(ring, before, name).masked if old is not None else "",
                after=mask_value(ring, after, name).masked if new is not None else "",
            )
        )
    return found


def _same_text(before: Any, after: Any, name: str, ring: KeyRing) -> bool:
    try:
        return ring.open_sealed(before, name) == ring.open_sealed(after, name)
    except (Destroyed, NoKey, SealBroken):
        # One of the two is destroyed or broken: it cannot be known, so it is shown as a change.
        return False
