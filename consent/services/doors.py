"""The three doors. What lets plaintext out of the console is one of these, and nothing else.

``reveal``   a person looks: grant, case, purpose
``use``      the system uses an item: gate
``provide``  an item leaves the house: gate and a basis of clause 4

What can go wrong, and why here it cannot: a value could be shown without a trace, so the ledger event is committed
before the vault is asked, and the vault writes its own record before it answers. A value could be shown after access
was revoked, so the second transaction re-checks account, grant and member under share locks, and a revocation waits
for those.
"""

import dataclasses
import datetime
import uuid
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from django.utils import timezone

from access_control import locks, policies
from access_control.codes import Purpose, Reason
from access_control.ids import new_id
from access_control.ledger import Act, acting
from access_control.models import Staff
from access_control.openings import opening
from access_control.vault.errors import VaultError
from access_control.vault.fields import SealedField
from consent.events import Event
from consent.gate import Code, Decision, Refused, decide
from consent.models import Engagement, Provision, Recipient, SubjectReference
from members.inventory import ITEMS, Item
from members.models import DATA_MODELS, Case, Member

REVEAL = "members.reveal_member"

# What a recipient may be given between the parties of a transaction (C3) or to settle charges (C2): at most what that
# work holds. Anything else needs an engagement.
SCOPE_WITHOUT_CONSENT: dict[tuple[str, str], frozenset[str]] = {
    (Provision.Basis.C3, Recipient.Kind.CARRIER): frozenset(
        {"addressee.name", "addressee.postcode", "addressee.address", "addressee.phone"}
    ),
    (Provision.Basis.C2, Recipient.Kind.SETTLEMENT): frozenset(
        {"payment.card_token", "payment.card_expiry", "payment.holder", "payment.mobile"}
    ),
}

# What a person may look for, under a grant given for a purpose.
PURPOSES_UNDER: dict[int, tuple[Purpose, ...]] = {
    Purpose.COMPLAINT: (Purpose.COMPLAINT, Purpose.CUSTOMER_SERVICE, Purpose.IDENTITY, Purpose.DELIVERY)
}


class NothingThere(Exception):
    """The member has no such value."""


@dataclasses.dataclass(frozen=True, repr=False)
class Revealed:
    """A value in clear for one page, with the event that recorded it."""

    text: str
    item: Item
    row: uuid.UUID
    field: str
    event: uuid.UUID
    at: datetime.datetime
    purpose: Purpose


@dataclasses.dataclass(frozen=True, repr=False)
class Handed:
    """What leaves the house: values by (row id, item code), under the reference that the recipient knows."""

    provision: uuid.UUID
    reference: str
    values: dict[tuple[uuid.UUID, str], str]


def locate(member: Member, row_id: uuid.UUID, field: str) -> tuple[Any, Item]:
    """The row of the member's data with this id, and the item in its column. Raises NothingThere."""
    for model in DATA_MODELS:
        owner = {"pk": row_id} if model is Member else {"pk": row_id, "member": member}
        row = model._default_manager.filter(**owner).first()
        if row is None or (model is Member and row.pk != member.pk):
            continue
        for column in row._meta.concrete_fields:
            if column.name == field and isinstance(column, SealedField) and getattr(row, field) is not None:
                return row, ITEMS[column.item_for(row).code]
    raise NothingThere


def _refuse(act: Act, event: str, member: Member, item: str, purpose: int, decision: Decision) -> None:
    act.record(event, subject=member.pk, items=[item] if item else [], purpose=purpose, reason=decision.code)


def reveal(member: Member, *, row: uuid.UUID, field: str, purpose: Purpose, case: Case, actor: Staff) -> Revealed:
    """One item in clear, for the agent of an open, identified case.

    Ledger event and vault record are committed before the value leaves. Raises Refused (recorded), PermissionDenied
    when the actor has no live grant at all, NothingThere, Destroyed, SealBroken.
    """
    decision = Decision()
    grant, item_code = None, ""
    # 1. Check, record, commit. Without a grant, not even whether there is such a value is said.
    with acting(actor, reason=Reason.DAILY_WORK, case=case.pk, durable=True) as act:
        try:
            grant = policies.live_grant(actor, REVEAL, member, case=case)
        except PermissionDenied:
            closed = case.state == Case.State.CLOSED and case.owner_id == actor.pk and case.member_id == member.pk
            decision = Decision(Code.CASE_CLOSED if closed else Code.NO_GRANT)
        if grant is not None:
            target, item = locate(member, row, field)
            item_code = item.code
            if item.category not in grant.categories:
                decision = Decision(Code.OTHER_CATEGORY)
            elif purpose not in PURPOSES_UNDER.get(grant.purpose, ()):
                decision = Decision(Code.OTHER_PURPOSE)
            else:
                decision = decide(member, item=item.code, row=row, purpose=purpose, case=case.pk)
        if decision.allowed:
            event = act.record(Event.REVEALED, subject=member.pk, items=[item.code], purpose=purpose)
        else:
            _refuse(act, Event.REVEAL_REFUSED, member, item_code, purpose, decision)
    if not decision.allowed:
        raise Refused(decision)
    assert grant is not None
    # 2. Look again under locks, fetch, open, end.
    with (
        acting(actor, reason=Reason.DAILY_WORK, case=case.pk),
        opening(
            actor,
            REVEAL,
            subjects=[member.pk],
            categories=[item.category],
            event=event,
            targets=[member],
            rows=[member],
            pk=grant.pk,
        ) as ring,
    ):
        text = ring.open_sealed(target, field)
    return Revealed(text, item, row, field, event, timezone.now(), Purpose(purpose))


def use(
    member: Member,
    sealed: Any,
    field: str,
    *,
    item: str,
    row: uuid.UUID,
    purpose: Purpose,
    reason: str,
    case: uuid.UUID | None = None,
    decided: bool = False,
) -> str:
    """The system uses a value: ``sealed.field``, judged as ``item`` of ``row``. Raises Refused (recorded), VaultError.

    ``decided``: the value is a copy that a decided correction made.

    The member row stays locked from the judgement to the opening, so a suspension or a destruction comes before or
    after, never between. The text is returned only once the event is committed.
    """
    text, failure = "", None
    with acting(None, reason=reason, case=case, durable=True) as act:
        member = locks.change_one(Member, member.pk)
        decision = decide(member, item=item, row=row, purpose=purpose, case=case, decided=decided)
        if decision.allowed:
            event = act.record(Event.USED, subject=member.pk, items=[item], purpose=purpose)
            category = sealed._meta.get_field(field).item_for(sealed).category
            try:
                with opening(None, None, subjects=[member.pk], categories=[category], event=event) as ring:
                    text = ring.open_sealed(sealed, field)
            except VaultError as error:
                # The vault has its record of the fetch, so the event stays as well.
                failure = error
        else:
            _refuse(act, Event.USE_REFUSED, member, item, purpose, decision)
    if failure is not None:
        raise failure
    if not decision.allowed:
        raise Refused(decision)
    return text


def _basis(
    recipient: Recipient, items: Sequence[str], purpose: int, basis: str, today: datetime.date
) -> tuple[Engagement | None, Decision]:
    """The engagement that covers a provision (B1), or whether the declared scope does (C2, C3)."""
    if basis == Provision.Basis.B1:
        engagement = Engagement.objects.filter(
            recipient=recipient,
            announced_on__lte=today,
            starts_on__lte=today,
            ends_on__gte=today,
            items__contains=list(items),
            purposes__contains=[purpose],
        ).first()
        return engagement, Decision() if engagement else Decision(Code.NOT_ANNOUNCED)
    scope = SCOPE_WITHOUT_CONSENT.get((basis, recipient.kind), frozenset())
    return None, Decision() if set(items) <= scope else Decision(Code.NO_BASIS)


def provide(
    member: Member,
    *,
    what: Sequence[tuple[uuid.UUID, str]],
    recipient: Recipient,
    basis: str,
    purpose: Purpose,
    actor: Staff | None,
    reason: str,
    case: Case | None = None,
    batch: uuid.UUID | None = None,
) -> Handed:
    """Hand ``what`` (row id, field) to ``recipient``, locked, recorded and committed as in :func:`use`.

    Raises Refused (recorded), NothingThere, VaultError.
    """
    now = timezone.now()
    if not what:
        raise NothingThere
    located = [(row_id, field, *locate(member, row_id, field)) for row_id, field in what]
    items = sorted({item.code for _row, _field, _target, item in located})
    handed, failure = None, None
    with acting(actor, reason=reason, case=case.pk if case else None, durable=True) as act:
        policies.hold(actor)
        member = locks.change_one(Member, member.pk)
        engagement, decision = _basis(recipient, items, purpose, basis, timezone.localdate(now))
        for row_id, _field, _target, item in located:
            if decision.allowed:
                decision = decide(member, item=item.code, row=row_id, purpose=purpose, now=now)
        if decision.allowed:
            reference, _created = SubjectReference.objects.get_or_create(member=member, recipient=recipient)
            event = act.record(Event.PROVIDED, subject=member.pk, items=items, purpose=purpose)
            try:
                categories = {item.category for *_rest, item in located}
                with opening(actor, None, subjects=[member.pk], categories=categories, event=event) as ring:
                    values = {
                        (row_id, item.code): ring.open_sealed(target, field) for row_id, field, target, item in located
                    }
            except VaultError as error:
                # The vault has its record of the fetch, so the event stays; nothing was provided.
                failure = error
            else:
                provision = Provision.objects.create(
                    reference=reference,
                    items=items,
                    purpose=purpose,
                    basis=basis,
                    engagement=engagement,
                    case=case,
                    actor=actor,
                    at=now,
                    batch=batch or new_id(),
                )
                handed = Handed(provision.pk, reference.reference, values)
        else:
            _refuse(act, Event.PROVISION_REFUSED, member, items[0], purpose, decision)
    if failure is not None:
        raise failure
    if handed is None:
        raise Refused(decision)
    return handed
