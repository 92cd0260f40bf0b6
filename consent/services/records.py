"""The first door, for what the law keeps: a keeper of statutory records looks at one, whole, and says why.

No case and no grant: the member may long be gone, and the law, not the member, says that the record is kept (P7.A). So
neither a withdrawal nor a suspension stops it (P4.C). What guards it is the role, the reason, and the record of both.

What can go wrong, and why here it cannot: as at the other doors, the ledger event is committed before the vault is
asked, and the second transaction holds account, member and record under share locks, so that a departure, a move or a
destruction comes before or after a look, never between.
"""

import dataclasses
import datetime
import uuid

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from access_control import policies
from access_control.codes import Purpose, Reason
from access_control.ledger import acting
from access_control.models import Staff
from access_control.openings import opening
from access_control.vault.ring import categories_of
from consent.events import Event
from consent.gate import Code, Decision, Refused
from members.inventory import ITEMS, Item
from members.models import Transaction
from members.showing import sealed_names

REVEAL = "members.reveal_transaction"
# Why somebody may look; anything else is no reason that the law knows.
WHY: tuple[Reason, ...] = (Reason.TAX_AUDIT, Reason.AUTHORITY, Reason.BOOKKEEPING)


@dataclasses.dataclass(frozen=True, repr=False)
class RevealedRecord:
    """A record in clear for one page, with the event that recorded it."""

    values: tuple[tuple[Item, str], ...]
    event: uuid.UUID
    at: datetime.datetime
    reason: Reason


def reveal_record(record: Transaction, *, reason: str, actor: Staff) -> RevealedRecord:
    """The whole record in clear: order, goods, amount, name, address.

    Ledger event and vault record are committed before a value leaves. Raises ValidationError for a reason that is none,
    Refused (recorded) for whoever does not keep records, PermissionDenied when that changed meanwhile or the record has
    gone, Destroyed, SealBroken.
    """
    if reason not in WHY:
        raise ValidationError(_("Choose why the record is looked at."), code="no_reason")
    names = [name for name in sealed_names(Transaction) if getattr(record, name) is not None]
    items = [ITEMS[Transaction._meta.get_field(name).item_for(record).code] for name in names]  # type: ignore[union-attr]
    # 1. Check, record, commit.
    with acting(actor, reason=reason, durable=True) as act:
        allowed = policies.can(actor, REVEAL, record)
        event = act.record(
            Event.RECORD_REVEALED if allowed else Event.RECORD_REFUSED,
            subject=record.member_id,
            items=[item.code for item in items],
            purpose=Purpose.TRANSACTION,
            reason=None if allowed else Code.OTHER_ROLE,
        )
    if not allowed:
        raise Refused(Decision(Code.OTHER_ROLE))
    # 2. Look again under locks, fetch, open, end.
    kept, categories = [record.member, record], categories_of(Transaction)
    with (
        acting(actor, reason=reason),
        opening(actor, REVEAL, subjects=[record.member_id], categories=categories, event=event, rows=kept) as ring,
    ):
        texts = [ring.open_sealed(record, name) for name in names]
    return RevealedRecord(tuple(zip(items, texts, strict=True)), event, timezone.now(), Reason(reason))
