"""What the host does to accounts, also while a restore of a database is not accepted."""

import contextlib
from collections.abc import Iterator

from django.db import DatabaseError

from access_control import restore
from access_control.vault import consoles
from access_control.vault.errors import VaultError


@contextlib.contextmanager
def telling() -> Iterator[None]:
    """What is done inside cannot be forgotten by a restore any more. A restored console has nothing to tell the vault.

    It is done, whether or not the vault answers.
    """
    signs: object = True
    with contextlib.suppress(DatabaseError, VaultError, OSError):
        signs = restore.look()
    try:
        yield
    finally:
        if not signs:
            with contextlib.suppress(DatabaseError, VaultError):
                consoles.tell()
