"""Which lookups a member is found by. A name alone finds nobody: it needs a second fact."""

import uuid
from collections.abc import Iterator

from access_control.vault.categories import Category
from access_control.vault.lookups import LookupField, mac
from access_control.vault.store import Lookup
from members import normal_forms
from members.intake import COUNTRY_OF, NewMember

TELEPHONES = frozenset({"phone", "mobile", "fax"})
MAILS = frozenset({"email", "mobile_email"})


def number_lookup(new: NewMember, subject: uuid.UUID) -> Lookup:
    """The lookup that makes a member number name one member only."""
    return Lookup(
        LookupField.MEMBER_NUMBER,
        mac(LookupField.MEMBER_NUMBER, normal_forms.member_number(new.number)),
        subject,
        Category.IDENTITY,
    )


def login_lookup(new: NewMember, subject: uuid.UUID) -> Lookup:
    """The lookup that makes a login ID name one member only."""
    return Lookup(
        LookupField.LOGIN_ID,
        mac(LookupField.LOGIN_ID, normal_forms.login_id(new.login_id)),
        subject,
        Category.IDENTITY,
    )


def telephones(new: NewMember) -> list[str]:
    """Normal forms of the member's telephone, mobile and fax numbers."""
    country = COUNTRY_OF.get(new.entity, "JP")
    return [
        normal_forms.phone_on_file(contact.value, country)[0] for contact in new.contacts if contact.kind in TELEPHONES
    ]


def _shared(new: NewMember, subject: uuid.UUID) -> Iterator[Lookup]:
    for contact in new.contacts:
        if contact.kind in MAILS:
            yield Lookup(
                LookupField.EMAIL, mac(LookupField.EMAIL, normal_forms.mail(contact.value)), subject, Category.CONTACT
            )
    phones = telephones(new)
    for phone in phones:
        yield Lookup(LookupField.TELEPHONE, mac(LookupField.TELEPHONE, phone), subject, Category.CONTACT)
    country = COUNTRY_OF.get(new.entity, "JP")
    second_facts = [
        *([(LookupField.NAME_AND_BIRTH_DATE, new.birth_date, Category.PROFILE)] if new.birth_date else []),
        *(
            (LookupField.NAME_AND_POSTCODE, normal_forms.postcode(addressee.postcode, country), Category.DELIVERY)
            for addressee in new.addressees
            if addressee.postcode
        ),
        *((LookupField.NAME_AND_LAST_FOUR, phone[-4:], Category.CONTACT) for phone in phones),
    ]
    names = {normal_forms.name(new.name)} | ({normal_forms.kana(new.kana)} if new.kana else set())
    for field, second, category in second_facts:
        for name in names:
            yield Lookup(field, mac(field, name, second), subject, Category.IDENTITY, category)


def shared_lookups(new: NewMember, subject: uuid.UUID) -> list[Lookup]:
    """Every other lookup of a member, each once."""
    return list({(lookup.field, lookup.mac): lookup for lookup in _shared(new, subject)}.values())
