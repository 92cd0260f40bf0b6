"""Queueing notices to a member (purpose 4): the address sealed under the case's correspondence key, never in clear."""

import dataclasses
import datetime
import uuid
from collections.abc import Sequence

from access_control.ledger import Act
from access_control.vault.ring import KeyRing
from members.events import Event
from members.lookups import MAILS
from members.models import Case, ContactPoint, Member, Notice
from members.services.cases import correspondence_ring


@dataclasses.dataclass(frozen=True, repr=False)
class Destination:
    """Where a notice goes: what it says, the item and row the address belongs to, and the address in clear."""

    kind: str
    item: str
    row: uuid.UUID
    address: str


def mails_on_file(member: Member, kind: str, ring: KeyRing) -> list[Destination]:
    """Every mail address the member has, for a notice of ``kind``; ``ring`` opens the *contact* category."""
    contacts = ContactPoint.objects.filter(member=member, kind__in=MAILS, removed_at=None).order_by("pk")
    return [Destination(kind, f"contact.{row.kind}", row.pk, ring.open_sealed(row, "value")) for row in contacts]


def queue_notices(
    case: Case,
    destinations: Sequence[Destination],
    ring: KeyRing,
    *,
    act: Act,
    now: datetime.datetime,
    about: str = "",
) -> list[Notice]:
    """Queue a notice to each destination; ``about``: the item it is about, when it is about one."""
    member = case.member
    assert member is not None
    if not destinations:
        return []
    event = act.record(Event.NOTICE_QUEUED, subject=member.pk, count=len(destinations))
    generation = correspondence_ring(member.pk, case.pk, ring, event=event)
    notices = []
    for to in destinations:
        notice = Notice(
            member=member,
            case=case,
            kind=to.kind,
            language="ja" if member.entity_id == "jp" else "en",
            item=to.item,
            row=to.row,
            about=about,
            queued_at=now,
            next_try_at=now,
        )
        ring.seal(notice, generation=generation, to=to.address)
        notices.append(notice)
    return Notice.objects.bulk_create(notices)
