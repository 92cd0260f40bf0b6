"""Ids of everything bound to a seal or named in the ledger: UUIDv7, made in Python (RFC 9562, 5.7)."""

import uuid

import uuid_utils


def new_id() -> uuid.UUID:
    """A new UUIDv7. Its first 48 bits tell the millisecond, so papers for outsiders never show it."""
    return uuid.UUID(int=uuid_utils.uuid7().int)
