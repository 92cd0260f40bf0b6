"""Which lookups a member is found by. A name alone finds nobody: it needs a second fact.

Lookups of an older normal form go on finding until ``renew_lookups`` has made every one anew.
"""

import datetime
import uuid
from collections.abc import Callable, Sequence

from access_control.vault import store
from access_control.vault.categories import Category
from access_control.vault.lookups import VERSIONS, LookupField, Mac, hashing, mac
from access_control.vault.store import Lookup
from members import normal_forms
from members.intake import COUNTRY_OF, NewContact, NewMember
from members.normal_forms.characters import is_current, normal_forms_of
from members.normal_forms.names import former_names

TELEPHONES = frozenset({"phone", "mobile", "fax"})
MAILS = frozenset({"email", "mobile_email"})
Probe = tuple[int, bytes]


def in_every_version(
    field: LookupField, form: Callable[[str], str], texts: Sequence[str], versions: Sequence[int] = VERSIONS
) -> list[tuple[Probe, ...]]:
    """For each text what asks the vault whose it is, in every version a lookup may be made of, the newest first."""
    columns = []
    for version in versions:
        hashed = hashing(version)
        with normal_forms_of(version):
            columns.append([(int(field), hashed(field, form(text))) for text in texts])
    return list(zip(*columns, strict=True))


def owners(
    field: LookupField, form: Callable[[str], str], texts: Sequence[str], versions: Sequence[int] = VERSIONS
) -> list[uuid.UUID | None]:
    """Whose each of ``texts`` is, a member number or a login ID; None: nobody's."""
    if not versions:
        return [None] * len(texts)
    probes = in_every_version(field, form, texts, versions)
    owner_of = store.owners(sorted({probe for each in probes for probe in each}))
    return [next((owner_of[mac] for _field, mac in each if mac in owner_of), None) for each in probes]


def number_owners(numbers: Sequence[str], versions: Sequence[int] = VERSIONS) -> list[uuid.UUID | None]:
    """Whose member numbers these are, in their order; None: nobody's."""
    return owners(LookupField.MEMBER_NUMBER, normal_forms.member_number, numbers, versions)


def number_stones(numbers: Sequence[str]) -> list[datetime.datetime | None]:
    """When the members of these numbers were destroyed, in their order; None: nobody of this number was."""
    probes = in_every_version(LookupField.MEMBER_NUMBER, normal_forms.member_number, numbers)
    stones = store.tombstones(sorted({mac for each in probes for _field, mac in each}))
    return [next((stones[mac] for _field, mac in each if mac in stones), None) for each in probes]


def number_lookup(new: NewMember, subject: uuid.UUID, *, mac: Mac = mac) -> Lookup:
    """The lookup that makes a member number name one member only."""
    form = normal_forms.member_number(new.number)
    return Lookup(LookupField.MEMBER_NUMBER, mac(LookupField.MEMBER_NUMBER, form), subject, Category.IDENTITY)


def login_lookup(new: NewMember, subject: uuid.UUID, *, mac: Mac = mac) -> Lookup:
    """The lookup that makes a login ID name one member only."""
    form = normal_forms.login_id(new.login_id)
    return Lookup(LookupField.LOGIN_ID, mac(LookupField.LOGIN_ID, form), subject, Category.IDENTITY)


def _form(contact: NewContact, country: str) -> str:
    """The normal form; intake has made it already, what was opened again has none, and older versions make theirs."""
    if contact.form and is_current():
        return contact.form
    return normal_forms.mail(contact.value) if contact.kind in MAILS else _phone(contact.value, country)


def _phone(value: str, country: str) -> str:
    return normal_forms.phone_on_file(value, country)[0]


def _names(new: NewMember) -> set[str]:
    """The keys of the name, its reading and a former name in brackets; empty when the name was destroyed."""
    names = {normal_forms.name(text) for text in [new.name, *former_names(new.name)] if text}
    return names | ({normal_forms.kana(new.kana)} if new.kana else set())


def shared_lookups(new: NewMember, subject: uuid.UUID, *, mac: Mac = mac) -> list[Lookup]:
    """Every other lookup of a member, each once. A batch gives its own ``mac`` (vault.lookups.hashing)."""
    country = COUNTRY_OF.get(new.entity, "JP")
    # By hash: it is made with its field, so no two fields share one.
    found: dict[bytes, Lookup] = {}
    second_facts: list[tuple[LookupField, str, Category]] = []
    for contact in new.contacts:
        form = _form(contact, country)
        field = LookupField.EMAIL if contact.kind in MAILS else LookupField.TELEPHONE
        hashed = mac(field, form)
        found[hashed] = Lookup(field, hashed, subject, Category.CONTACT)
        if field is LookupField.TELEPHONE:
            second_facts.append((LookupField.NAME_AND_LAST_FOUR, form[-4:], Category.CONTACT))
    if new.birth_date:
        second_facts.append((LookupField.NAME_AND_BIRTH_DATE, new.birth_date, Category.PROFILE))
    for addressee in new.addressees:
        if addressee.postcode:
            postcode = normal_forms.postcode_on_file(addressee.postcode, country)[0]
            second_facts.append((LookupField.NAME_AND_POSTCODE, postcode, Category.DELIVERY))
    names = _names(new)
    for field, second, category in second_facts:
        for name in names:
            hashed = mac(field, name, second)
            found[hashed] = Lookup(field, hashed, subject, Category.IDENTITY, category)
    return list(found.values())


def every_lookup(new: NewMember, subject: uuid.UUID, *, mac: Mac = mac) -> list[Lookup]:
    """All lookups of a member of whom a part may have been destroyed."""
    ids = [number_lookup(new, subject, mac=mac)] if new.number else []
    ids += [login_lookup(new, subject, mac=mac)] if new.login_id else []
    return [*ids, *shared_lookups(new, subject, mac=mac)]


def shared_probes(new: NewMember, subject: uuid.UUID) -> set[Probe]:
    """Field and hash of every lookup that may be shared, in every version."""
    found: set[Probe] = set()
    for version in VERSIONS:
        with normal_forms_of(version):
            found |= {(one.field, one.mac) for one in shared_lookups(new, subject, mac=hashing(version))}
    return found
