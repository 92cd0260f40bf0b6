"""Calling a function of the vault database, whose refusals become errors of the vault."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import Error as DatabaseError
from django.db import connections

from access_control.vault.errors import AnotherConsole, CeilingReached, FenceStands, KeyringError, VaultError

# Arrays travel in binary (%b): as text, each byte of a key or a lookup would be written as two letters.
ALIAS = "vault"
_ERRORS: dict[str, type[VaultError]] = {
    "CV001": FenceStands,
    "CV002": CeilingReached,
    "CV006": AnotherConsole,
    "CV011": KeyringError,
}


@contextmanager
def call(sql: str, *parameters: Any) -> Iterator[Any]:
    """The cursor after one call. Raises the error of ``errors`` that the vault's SQLSTATE names."""
    with connections[ALIAS].cursor() as cursor:
        try:
            cursor.execute(sql, parameters)
        except DatabaseError as error:
            known = _ERRORS.get(getattr(error.__cause__, "sqlstate", "") or "")
            if known is None:
                raise
            raise known(str(error.__cause__).splitlines()[0]) from None
        yield cursor
