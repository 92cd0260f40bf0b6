"""Key-encryption keys and the lookup key, outside both databases: a file of mode 600, behind a small interface.

A key service would replace :func:`keyring`; nothing else reads the file. No key is ever made by itself:
``make_keyring`` makes the file once, and refuses while the vault already holds keys wrapped under another.
"""

import base64
import dataclasses
import hmac
import json
import os
import secrets
import stat
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from access_control.vault.errors import KeyringError

FILE_FORMAT = 1
KEY_BYTES = 32
PUT_BACK = "Put back the keyring from its backup."


@dataclasses.dataclass(frozen=True, repr=False)
class Keyring:
    """Key-encryption keys by id (32 bytes each), the id that wraps new keys, and the lookup key (32 bytes)."""

    wrapping: dict[int, bytes]
    current: int
    lookup: bytes

    def checks(self) -> dict[int, bytes]:
        """A value (32 bytes) for each key by which it is known again, and nothing else; 0 is the lookup key."""
        keys = {0: self.lookup, **self.wrapping}
        return {key_id: hmac.digest(key, b"check", "sha256") for key_id, key in keys.items()}

    def wrapping_key(self, key_id: int) -> bytes:
        """The key-encryption key ``key_id``. Raises KeyringError when this keyring does not hold it."""
        try:
            return self.wrapping[key_id]
        except KeyError:
            raise KeyringError(
                f"The keyring holds no key {key_id}. Put back the keyring that this vault was sealed with."
            ) from None


def make(path: Path) -> None:
    """Write a new keyring, with one key-encryption key, to ``path``, mode 600. Raises KeyringError if it exists."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    document = {
        "format": FILE_FORMAT,
        "current": 1,
        "wrapping": {"1": base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()},
        "lookup": base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode(),
    }
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyringError(f"{path} exists already and is left as it is.") from None
    with os.fdopen(handle, "w") as file:
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def load(path: Path) -> Keyring:
    """Read the keyring. Raises KeyringError, naming the file and the fault, never a key."""
    try:
        with path.open(encoding="utf-8") as file:
            # Of the file that was opened, not of whatever stands at the path a moment later.
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise KeyringError(f"{path} can be read by others (mode {mode:o}). Run: chmod 600 on it.")
            document = json.load(file)
    except FileNotFoundError:
        raise KeyringError(f"{path} is missing. {PUT_BACK} On a new installation run make_keyring.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise KeyringError(f"{path} cannot be read as a keyring ({type(error).__name__}). {PUT_BACK}") from None
    try:
        if document["format"] != FILE_FORMAT:
            raise KeyringError(f"{path} has another keyring format than {FILE_FORMAT}, the one known here. {PUT_BACK}")
        wrapping = {int(key_id): base64.b64decode(text, validate=True) for key_id, text in document["wrapping"].items()}
        ring = Keyring(wrapping, int(document["current"]), base64.b64decode(document["lookup"], validate=True))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise KeyringError(f"{path} is no keyring: a field is missing or malformed. {PUT_BACK}") from None
    if ring.current not in wrapping or any(len(key) != KEY_BYTES for key in [*wrapping.values(), ring.lookup]):
        raise KeyringError(
            f"{path} is no keyring: a key is not {KEY_BYTES} bytes, or the current key is missing. {PUT_BACK}"
        )
    return ring


@lru_cache(maxsize=1)
def _loaded(path: Path, inode: int, changed: int, size: int, mode: int) -> Keyring:
    return load(path)


def keyring() -> Keyring:
    """The keyring of this installation, read again when the file changes. Raises KeyringError."""
    path = Path(settings.CONSOLE_KEYRING)
    try:
        status = path.stat()
    except OSError:
        return load(path)
    # The time of change, not of modification: a backup tool puts the latter back as well.
    return _loaded(path, status.st_ino, status.st_ctime_ns, status.st_size, status.st_mode)
