"""Keyed hashes by which a subject is found without opening anything.

A lookup is ``HMAC-SHA-256(lookup key, field u8 ‖ version u8 ‖ normal form)``; joined fields put a zero byte between the
two normal forms. Weak point: whoever has the lookup key *and* the table can try every telephone number, so the table
lives beside the keys and dies with them.
"""

import hmac
from typing import Protocol

from django.db import models

from access_control.vault.keyring import keyring

# What new lookups are made of, and every version that lookups may still be made of, the newest first.
NORMAL_FORM_VERSION = 2
VERSIONS = (2, 1)


class LookupField(models.IntegerChoices):
    """What a lookup is computed from. Values are stored and never change meaning."""

    MEMBER_NUMBER = 1
    LOGIN_ID = 2
    EMAIL = 3
    TELEPHONE = 4
    NAME_AND_BIRTH_DATE = 5
    NAME_AND_POSTCODE = 6
    NAME_AND_LAST_FOUR = 7


# By version and the field's number.
_HEADS = {version: tuple(bytes([number, version]) for number in range(max(LookupField) + 1)) for version in VERSIONS}


class Mac(Protocol):
    """What makes the lookup (32 bytes) of a normal form, or of a name's joined with a second fact."""

    def __call__(self, field: LookupField, normal: str, second: str = "") -> bytes:
        """The lookup."""


def mac(field: LookupField, normal: str, second: str = "") -> bytes:
    """The lookup (32 bytes) of a normal form, or of a name's normal form joined with a second fact."""
    return hashing()(field, normal, second)


def hashing(version: int = NORMAL_FORM_VERSION) -> Mac:
    """:func:`mac` for one batch, of normal forms of ``version``: the keyring is read once, and not kept."""
    keyed = hmac.new(keyring().lookup, digestmod="sha256")
    heads = _HEADS[version]

    def one(field: LookupField, normal: str, second: str = "") -> bytes:
        hashed = keyed.copy()
        hashed.update(heads[field] + normal.encode() + (b"\0" + second.encode() if second else b""))
        return hashed.digest()

    return one
