"""Which lookups a member is found by. A name alone finds nobody: it needs a second fact."""

import uuid

from access_control.vault.categories import Category
from access_control.vault.lookups import LookupField, Mac, mac
from access_control.vault.store import Lookup
from members import normal_forms
from members.intake import COUNTRY_OF, NewContact, NewMember

TELEPHONES = frozenset({"phone", "mobile", "fax"})
MAILS = frozenset({"email", "mobile_email"})


def number_probe(number: str) -> tuple[int, bytes]:
    """What asks the vault whose member number this is."""
    return LookupField.MEMBER_NUMBER, mac(LookupField.MEMBER_NUMBER, normal_forms.member_number(number))


def number_lookup(new: NewMember, subject: uuid.UUID, *, mac: Mac = mac) -> Lookup:
    """The lookup that makes a member number name one member only."""
    form = normal_forms.member_number(new.number)
    return Lookup(LookupField.MEMBER_NUMBER, mac(LookupField.MEMBER_NUMBER, form), subject, Category.IDENTITY)


def login_lookup(new: NewMember, subject: uuid.UUID, *, mac: Mac = mac) -> Lookup:
    """The lookup that makes a login ID name one member only."""
    form = normal_forms.login_id(new.login_id)
    return Lookup(LookupField.LOGIN_ID, mac(LookupField.LOGIN_ID, form), subject, Category.IDENTITY)


def _form(contact: NewContact, country: str) -> str:
    """The normal form; intake has made it already, what was opened again has none."""
    if contact.form:
        return contact.form
    return normal_forms.mail(contact.value) if contact.kind in MAILS else _phone(contact.value, country)


def _phone(value: str, country: str) -> str:
    return normal_forms.phone_on_file(value, country)[0]


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
    names = {normal_forms.name(new.name)} | ({normal_forms.kana(new.kana)} if new.kana else set())
    for field, second, category in second_facts:
        for name in names:
            hashed = mac(field, name, second)
            found[hashed] = Lookup(field, hashed, subject, Category.IDENTITY, category)
    return list(found.values())
