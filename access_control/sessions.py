"""Sessions whose keys the database does not know: it stores a hash, the cookie holds the key.

A dump, a backup or a replica of the table signs nobody in. A key has 165 random bits: its hash cannot be tried out.
"""

import base64
import hashlib
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.base_session import AbstractBaseSession
from django.utils import timezone

# The width of Django's column; 40 letters of base64 are 240 bits of the hash.
COLUMN = 40


def stored_key(session_key: str) -> str:
    """What the table holds in place of a session's key."""
    digest = hashlib.sha256(session_key.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode()[:COLUMN]


class SessionStore(DatabaseStore):
    """Django's database sessions, found by the hash of their key."""

    def _get_session_from_db(self) -> AbstractBaseSession | None:
        key = self.session_key
        if key is None:
            return None
        found = self.model.objects.filter(session_key=stored_key(key), expire_date__gt=timezone.now()).first()
        if found is None:
            self._session_key = None
        return found

    def exists(self, session_key: str) -> bool:
        """Whether the key is taken."""
        return super().exists(stored_key(session_key))

    def create_model_instance(self, data: dict[str, Any]) -> AbstractBaseSession:
        """The row of this session, under the hash of its key."""
        row = super().create_model_instance(data)
        row.session_key = stored_key(row.session_key)
        return row

    def delete(self, session_key: str | None = None) -> None:
        """The session has ended; one that never was is no error."""
        key = session_key or self.session_key
        if key is not None:
            self.model.objects.filter(session_key=stored_key(key)).delete()

    # Django's own asynchronous twins ask the table by the key itself.

    async def _aget_session_from_db(self) -> AbstractBaseSession | None:
        return await sync_to_async(self._get_session_from_db)()

    async def aexists(self, session_key: str) -> bool:
        """As ``exists``."""
        return await sync_to_async(self.exists)(session_key)

    async def acreate_model_instance(self, data: dict[str, Any]) -> AbstractBaseSession:
        """As ``create_model_instance``."""
        return await sync_to_async(self.create_model_instance)(data)

    async def adelete(self, session_key: str | None = None) -> None:
        """As ``delete``."""
        await sync_to_async(self.delete)(session_key)
