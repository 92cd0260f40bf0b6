"""Normal forms: one spelling for every way a person, a caller or a file may write the same fact.

Two spellings of one fact have the same normal form, and a normal form is its own normal form. Lookups are made of
these forms, so a change here that alters the form of any text needs a new normal-form version in the vault.
What cannot be read raises `NotNormal`, which never holds the text itself.
"""

from members.normal_forms.characters import plain
from members.normal_forms.dates import date
from members.normal_forms.identifiers import login_id, member_number, reading
from members.normal_forms.mails import mail, new_mail
from members.normal_forms.names import kana, name
from members.normal_forms.not_normal import NotNormal
from members.normal_forms.numbers import (
    SeenNumber,
    forbidden_number,
    forbidden_numbers,
    holds_card_number,
    holds_my_number,
    last_four,
    postcode,
    postcode_on_file,
)
from members.normal_forms.phones import phone, phone_on_file

__all__ = [
    "NotNormal",
    "SeenNumber",
    "date",
    "forbidden_number",
    "forbidden_numbers",
    "holds_card_number",
    "holds_my_number",
    "kana",
    "last_four",
    "login_id",
    "mail",
    "member_number",
    "name",
    "new_mail",
    "phone",
    "phone_on_file",
    "plain",
    "postcode",
    "postcode_on_file",
    "reading",
]
