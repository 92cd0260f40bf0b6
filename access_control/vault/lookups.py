"""Keyed hashes by which a subject is found without opening anything.

A lookup is ``HMAC-SHA-256(lookup key, field u8 ‖ version u8 ‖ normal form)``; joined fields put a zero byte between the
two normal forms. Weak point: whoever has the lookup key *and* the table can try every telephone number, so the table
lives beside the keys and dies with them.
"""

import hmac
import struct

from django.db import models

from access_control.vault.keyring import keyring

NORMAL_FORM_VERSION = 1


class LookupField(models.IntegerChoices):
    """What a lookup is computed from. Values are stored and never change meaning."""

    MEMBER_NUMBER = 1
    LOGIN_ID = 2
    EMAIL = 3
    TELEPHONE = 4
    NAME_AND_BIRTH_DATE = 5
    NAME_AND_POSTCODE = 6
    NAME_AND_LAST_FOUR = 7


def mac(field: LookupField, normal: str, second: str = "") -> bytes:
    """The lookup (32 bytes) of a normal form, or of a name's normal form joined with a second fact."""
    text = normal.encode() + (b"\0" + second.encode() if second else b"")
    return hmac.digest(keyring().lookup, struct.pack(">BB", field, NORMAL_FORM_VERSION) + text, "sha256")
