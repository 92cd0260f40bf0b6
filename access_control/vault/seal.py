"""The two sealed formats. Both are AES-256-GCM; both are fixed, and known-answer vectors keep them so.

Blob         ``01 | category u8 | generation u64 | nonce 12 | ciphertext | tag 16`` (big-endian)
Wrapped key  ``01 | nonce 12 | 32 bytes of ciphertext | tag 16``

What a blob encrypts is the text in UTF-8, one byte 80, and zeros up to a multiple of 32 bytes (ISO/IEC 7816-4): a blob
stays in history when its key is gone, and its length must not tell "male" from "female".

Associated data binds a blob to its installation, inventory item, live row, subject, category and generation, so that a
value moved to another row, item or person does not open. A wrapped key is bound likewise.
"""

import dataclasses
import os
import struct
import uuid
from functools import lru_cache
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from access_control.vault.errors import SealBroken, UnknownFormat

BLOB_FORMAT = 1
WRAP_FORMAT = 1
NONCE_BYTES = 12
TAG_BYTES = 16
KEY_BYTES = 32
PAD_BYTES = 32
_HEADER = struct.Struct(">BBQ")
HEAD_BYTES = _HEADER.size
_KEY_NAME = struct.Struct(">BQ")


class KeyRef(NamedTuple):
    """Names one key: subject, category (1–7), generation (0 … 2⁶³-1)."""

    subject: uuid.UUID
    category: int
    generation: int


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a sealed value belongs: its inventory item code (ASCII) and the id of its live row."""

    item: str
    row: uuid.UUID


@lru_cache(maxsize=256)
def _item_context(item: str) -> bytes:
    code = item.encode("ascii")
    return struct.pack(">H", len(code)) + code


def _key_context(ref: KeyRef) -> bytes:
    return ref.subject.bytes + _KEY_NAME.pack(ref.category, ref.generation)


def _blob_context(installation: uuid.UUID, place: Place, ref: KeyRef) -> bytes:
    head = bytes([BLOB_FORMAT]) + installation.bytes
    return head + _item_context(place.item) + place.row.bytes + _key_context(ref)


def _wrap_context(installation: uuid.UUID, keyring_id: int, ref: KeyRef) -> bytes:
    head = b"wrap" + bytes([WRAP_FORMAT]) + installation.bytes
    return head + struct.pack(">I", keyring_id) + _key_context(ref)


def seal(key: AESGCM, text: str, *, installation: uuid.UUID, place: Place, ref: KeyRef, nonce: bytes = b"") -> bytes:
    """The blob of ``text``. ``nonce`` is given by known-answer tests only; otherwise it is random.

    Raises ValueError, without the text, for what is no Unicode text (a lone surrogate).
    """
    return Sealer(key, installation=installation, ref=ref).seal(place.item, place.row.bytes, text, nonce)


class Sealer:
    """One key, made ready to seal many values: what all of them share is put together once."""

    __slots__ = ("_end", "_head", "_header", "_key")

    def __init__(self, key: AESGCM, *, installation: uuid.UUID, ref: KeyRef) -> None:
        self._key = key
        self._header = _HEADER.pack(BLOB_FORMAT, ref.category, ref.generation)
        self._head = bytes([BLOB_FORMAT]) + installation.bytes
        self._end = _key_context(ref)

    def seal(self, item: str, row: bytes, text: str, nonce: bytes = b"") -> bytes:
        """The blob of ``text`` at the place ``item`` and ``row``. ``nonce`` must be random; without one it is drawn."""
        nonce = nonce or os.urandom(NONCE_BYTES)
        try:
            plain = text.encode() + b"\x80"
        except UnicodeEncodeError:
            raise ValueError(f"the text for item {item} is no Unicode text") from None
        plain += bytes(-len(plain) % PAD_BYTES)
        sealed = self._key.encrypt(nonce, plain, self._head + _item_context(item) + row + self._end)
        return self._header + nonce + sealed


def head(category: int, generation: int) -> bytes:
    """What every blob begins with (``HEAD_BYTES``) that is sealed under this generation."""
    return _HEADER.pack(BLOB_FORMAT, category, generation)


def header(blob: bytes) -> tuple[int, int]:
    """(category, generation) of a blob, unauthenticated until it is opened. Raises UnknownFormat or SealBroken."""
    if len(blob) < 1 or blob[0] != BLOB_FORMAT:
        raise UnknownFormat("a sealed value of unknown format")
    if len(blob) < _HEADER.size + NONCE_BYTES + PAD_BYTES + TAG_BYTES:
        raise SealBroken("a sealed value is truncated")
    _, category, generation = _HEADER.unpack_from(blob)
    return category, generation


def unseal(key: AESGCM, blob: bytes, *, installation: uuid.UUID, place: Place, ref: KeyRef) -> str:
    """The text of a blob. Raises SealBroken when any bit, or anything it is bound to, differs."""
    if header(blob) != (ref.category, ref.generation):
        raise SealBroken("a sealed value names another key")
    body = blob[_HEADER.size :]
    try:
        padded = key.decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], _blob_context(installation, place, ref))
        plain = padded.rstrip(b"\0")
        if not plain.endswith(b"\x80"):
            raise SealBroken(f"a sealed value of item {place.item} is not padded")
        return plain[:-1].decode()
    except (InvalidTag, UnicodeDecodeError):
        raise SealBroken(f"a sealed value of item {place.item} does not open") from None


def wrap(
    kek: AESGCM, key: bytes, *, installation: uuid.UUID, keyring_id: int, ref: KeyRef, nonce: bytes = b""
) -> bytes:
    """``key`` (32 bytes) wrapped under ``kek``. ``nonce`` must be random; without one it is drawn here."""
    nonce = nonce or os.urandom(NONCE_BYTES)
    return bytes([WRAP_FORMAT]) + nonce + kek.encrypt(nonce, key, _wrap_context(installation, keyring_id, ref))


def unwrap(kek: bytes, wrapped: bytes, *, installation: uuid.UUID, keyring_id: int, ref: KeyRef) -> AESGCM:
    """The wrapped key, ready to use. Raises UnknownFormat or SealBroken."""
    if len(wrapped) < 1 or wrapped[0] != WRAP_FORMAT:
        raise UnknownFormat("a wrapped key of unknown format")
    if len(wrapped) != 1 + NONCE_BYTES + KEY_BYTES + TAG_BYTES:
        raise SealBroken("a wrapped key is truncated")
    try:
        key = AESGCM(kek).decrypt(wrapped[1:13], wrapped[13:], _wrap_context(installation, keyring_id, ref))
    except InvalidTag:
        raise SealBroken("a wrapped key does not open: it is corrupt, was moved, or the keyring is another") from None
    return AESGCM(key)
