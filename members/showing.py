"""Masked data: everything of a member that a page may show without a reveal. Only masks leave this module."""

import dataclasses
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from access_control import policies
from access_control.ledger import Act
from access_control.models import Staff
from access_control.openings import opening
from access_control.vault.categories import Category
from access_control.vault.errors import Destroyed, NoKey, SealBroken
from access_control.vault.fields import SealedField
from access_control.vault.ring import KeyRing, categories_of
from members.events import Event
from members.inventory import Item
from members.lookups import MAILS
from members.masks import mask
from members.models import DATA_MODELS, ContactPoint, Member, Transaction

VIEW = "members.view_member"


@dataclasses.dataclass(frozen=True)
class Shown:
    """One masked value: the item, its row and column, and the mask (or the sentence why there is none)."""

    item: Item
    row: uuid.UUID
    field: str
    masked: str
    destroyed: bool = False
    empty: bool = False
    note: Any = ""


def mask_value(ring: KeyRing, instance: Any, name: str) -> Shown:
    """The mask of one sealed field; ``instance`` may be a history row. Destroyed and broken values yield no text."""
    field = instance._meta.get_field(name)
    item: Item = field.item_for(instance)
    if getattr(instance, name) is None:
        return Shown(item, instance.id, name, "", empty=True)
    try:
        return Shown(item, instance.id, name, mask(item.mask, ring.open_sealed(instance, name)))
    except Destroyed as destroyed:
        return Shown(item, instance.id, name, _said_of(destroyed, ring), destroyed=True)
    except (SealBroken, NoKey):
        # Corrupt or moved: an incident, and no text. The page says so; the board counts it.
        return Shown(item, instance.id, name, str(_("cannot be opened; tell the privacy officer")), destroyed=True)


# Set by config.console: certificate lines → the certificate in which each stands, by its reference.
certificate_names: Callable[[list[uuid.UUID]], Mapping[uuid.UUID, str]] = lambda lines: {}  # noqa: E731


def _said_of(destroyed: Destroyed, ring: KeyRing) -> str:
    """``destroyed on 2026-12-24 under certificate 20261224-K7QM``."""
    day = timezone.localdate(destroyed.at).isoformat()
    names = ring.named_lines(certificate_names)
    if (name := names.get(destroyed.certificate_line) if destroyed.certificate_line else None) is None:
        return _("destroyed on %(date)s") % {"date": day}
    return _("destroyed on %(date)s under certificate %(certificate)s") % {"date": day, "certificate": name}


def sealed_names(model: type[Any]) -> list[str]:
    """Names of the sealed fields of a model, in order."""
    return [field.name for field in model._meta.concrete_fields if isinstance(field, SealedField)]


@contextmanager
def masking_member(member: Member, why: Event, *, act: Act) -> Iterator[KeyRing]:
    """Everything of ``member``, opened under the actor's grant (the act's case's, when it has one) for their eyes."""
    event = act.record(why, subject=member.pk)
    categories = categories_of(*DATA_MODELS)
    by: dict[str, Any] = {"case": act.case} if act.case else {}
    with opening(
        act.actor,
        VIEW,
        subjects=[member.pk],
        categories=categories,
        event=event,
        targets=[member],
        rows=[member],
        **by,
    ) as ring:
        yield ring


def masked_member(member: Member, *, act: Act) -> list[Shown]:
    """Everything on file about ``member``, masked, in the order of the policy's groups: one fetch, one event."""
    rows = [
        row
        for model in DATA_MODELS
        for row in (
            [member]
            if model is Member
            else model._default_manager.filter(member=member, removed_at=None).order_by("pk")
        )
    ]
    with masking_member(member, Event.SHOWN_MASKED, act=act) as ring:
        return [
            shown
            for row in rows
            for name in sealed_names(type(row))
            if not (shown := mask_value(ring, row, name)).empty
        ]


def masked_records(records: Sequence[Transaction], *, act: Act) -> dict[uuid.UUID, dict[str, Shown]]:
    """Statutory records, masked: record → field → what is shown. One fetch and one event for all of them."""
    if not records:
        return {}
    members = {record.member_id for record in records}
    subject = members.copy().pop() if len(members) == 1 else None
    event = act.record(Event.RECORDS_SHOWN_MASKED, subject=subject, count=len(records))
    action, categories = "members.view_transaction", categories_of(Transaction)
    with opening(act.actor, action, subjects=members, categories=categories, event=event) as ring:
        return {
            record.pk: {
                name: shown for name in sealed_names(Transaction) if not (shown := mask_value(ring, record, name)).empty
            }
            for record in records
        }


@dataclasses.dataclass(frozen=True)
class Hit:
    """A member as a search result: never more than masks."""

    member: uuid.UUID
    state: str
    site: str
    name: str
    login_id: str
    contacts: tuple[str, ...]


def masked_names(member_ids: Iterable[uuid.UUID], *, act: Act) -> dict[uuid.UUID, str]:
    """Masked names of some members, for a list: one fetch and one event for all of them.

    Whoever the actor has no live grant for, at this moment, is left out.
    """
    members = list(Member.objects.filter(pk__in=set(member_ids)))
    if act.actor is not None:
        held = policies.keep_grants(act.actor, VIEW, members)
        members = [member for member in members if member.pk in held]
    if not members:
        return {}
    event = act.record(Event.SHOWN_MASKED, count=len(members))
    subjects = [member.pk for member in members]
    with opening(
        act.actor, VIEW, subjects=subjects, categories=[Category.IDENTITY], event=event, targets=members
    ) as ring:
        return {member.pk: mask_value(ring, member, "name").masked for member in members}


def masked_hits(member_ids: Sequence[uuid.UUID], *, event: uuid.UUID, actor: Staff) -> list[Hit]:
    """The members found, masked, under the event that recorded the search."""
    contacts: dict[uuid.UUID, list[ContactPoint]] = defaultdict(list)
    # No telephone: its mask shows four digits, and those are a fact that the identity check asks for.
    mails = ContactPoint.objects.filter(member_id__in=member_ids, removed_at=None, kind__in=MAILS)
    for contact in mails.order_by("pk"):
        contacts[contact.member_id].append(contact)
    action, categories = "members.find_member", [Category.IDENTITY, Category.CONTACT]
    with opening(actor, action, subjects=member_ids, categories=categories, event=event) as ring:
        return [
            Hit(
                member=member.pk,
                state=member.get_state_display(),
                site=member.entity.name,
                name=mask_value(ring, member, "name").masked,
                login_id=mask_value(ring, member, "login_id").masked,
                contacts=tuple(mask_value(ring, row, "value").masked for row in contacts[member.pk]),
            )
            for member in Member.objects.filter(pk__in=member_ids).select_related("entity").order_by("pk")
        ]
