"""Members as they are on file, in clear, for as long as an import or a correction compares them."""

import dataclasses
import uuid
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from access_control.vault.errors import Destroyed, NoKey, SealBroken, VaultError
from access_control.vault.ring import KeyRing
from members.intake import NewAddressee, NewContact, NewMember, NewPaymentMeans
from members.models import Addressee, ContactPoint, Member, PaymentMeans

ADDRESSEE_COLUMNS = ("name", "kana", "postcode", "address", "phone")
PAYMENT_COLUMNS = ("token", "brand", "expiry", "last_four", "bank", "branch", "holder", "phone")
_SEALED_TEXTS = ("number", "login_id", "name", "kana", "birth_date", "sex", "occupation")


@dataclasses.dataclass(frozen=True, repr=False)
class OnFile:
    """A member's rows, each beside its values in clear. ``clear`` is all of it as intake would have read it."""

    member: Member
    contacts: list[tuple[ContactPoint, NewContact]]
    addressees: list[tuple[Addressee, NewAddressee]]
    payment_means: list[tuple[PaymentMeans, NewPaymentMeans]]
    clear: NewMember


def people_on_file(
    member_ids: Sequence[uuid.UUID], ring: KeyRing
) -> tuple[dict[uuid.UUID, OnFile], dict[uuid.UUID, VaultError]]:
    """The members, opened on ``ring`` (which holds all data categories); and those who do not open, each with why."""
    rows: dict[type[Any], dict[uuid.UUID, list[Any]]] = {
        model: defaultdict(list) for model in (ContactPoint, Addressee, PaymentMeans)
    }
    for model, by_member in rows.items():
        for row in model._default_manager.filter(member_id__in=member_ids, removed_at=None).order_by("pk"):
            by_member[row.member_id].append(row)
    found: dict[uuid.UUID, OnFile] = {}
    failures: dict[uuid.UUID, VaultError] = {}
    for member in Member.objects.filter(pk__in=member_ids):
        try:
            found[member.pk] = _opened(member, {model: by_member[member.pk] for model, by_member in rows.items()}, ring)
        except (Destroyed, NoKey, SealBroken) as failure:
            failures[member.pk] = failure
    return found, failures


def _opened(member: Member, rows: dict[type[Any], list[Any]], ring: KeyRing) -> OnFile:
    def texts(row: Any, names: Sequence[str]) -> dict[str, Any]:
        return {name: ring.open_sealed(row, name) for name in names}

    contacts = [
        (row, NewContact(row.kind, **texts(row, ("value",)), well_formed=row.well_formed)) for row in rows[ContactPoint]
    ]
    addressees = [
        (row, NewAddressee(**texts(row, ADDRESSEE_COLUMNS), well_formed=row.well_formed)) for row in rows[Addressee]
    ]
    payment_means = [(row, NewPaymentMeans(row.kind, **texts(row, PAYMENT_COLUMNS))) for row in rows[PaymentMeans]]
    clear = NewMember(
        entity=member.entity_id,
        joined_on=member.joined_on,
        last_used_on=member.last_used_on,
        contacts=tuple(sorted(clear for _row, clear in contacts)),
        addressees=tuple(sorted(clear for _row, clear in addressees)),
        payment_means=tuple(sorted(clear for _row, clear in payment_means)),
        **texts(member, _SEALED_TEXTS),
    )
    return OnFile(member, contacts, addressees, payment_means, clear)


def stored_people(member_ids: Sequence[uuid.UUID], ring: KeyRing) -> dict[uuid.UUID, NewMember]:
    """The members in clear, opened on ``ring``. Raises as opening a value does."""
    found, failures = people_on_file(member_ids, ring)
    for failure in failures.values():
        raise failure
    return {member: person.clear for member, person in found.items()}
