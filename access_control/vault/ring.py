"""A key ring: the keys of some subjects, opened with one fetch, for one request or batch, then dropped.

``open_sealed`` is the only function that yields plaintext; a test keeps the list of its callers closed.
"""

import dataclasses
import hmac
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from access_control.vault import seal, store
from access_control.vault.errors import Destroyed, KeyNeverMade, NoKey, SealBroken
from access_control.vault.fields import Sealed, SealedField, sealed_field
from access_control.vault.keyring import keyring
from access_control.vault.seal import KeyRef, Place, Sealer

# Sealing draws its nonces at random; that one of them is this has a chance of one in 2⁹⁶.
_HASHING_NONCE = b"keyed-hash/1"


@dataclasses.dataclass(frozen=True)
class BrokenSeal:
    """A sealed value that does not open: whose, which item, in which row."""

    subject: uuid.UUID
    item: str
    row: uuid.UUID


# Set by ``access_control.apps``: what is done about a seal that does not open, before SealBroken is raised.
note_broken: Callable[[BrokenSeal], None] = lambda broken: None  # noqa: E731


class KeyRing:
    """Keys of some subjects. Made by :func:`keys_for` and :func:`new_ring`, never directly."""

    def __init__(self, installation: uuid.UUID) -> None:
        self._installation = installation
        self._stored: dict[KeyRef, store.StoredKey] = {}
        self._keys: dict[KeyRef, AESGCM] = {}
        self._fetched: set[tuple[uuid.UUID, int]] = set()
        self._current: dict[tuple[uuid.UUID, int], int] = {}
        self._names: Mapping[uuid.UUID, str] | None = None
        self._sealers: dict[tuple[uuid.UUID, int], Sealer] = {}

    def _hold(self, ref: KeyRef) -> None:
        held = (ref.subject, ref.category)
        if ref.generation > self._current.get(held, -1):
            self._current[held] = ref.generation
            self._sealers.pop(held, None)

    def _key(self, ref: KeyRef) -> AESGCM:
        if (key := self._keys.get(ref)) is not None:
            return key
        stored = self._stored.get(ref)
        if stored is None:
            raise NoKey(f"no key of category {ref.category}, generation {ref.generation}")
        if stored.wrapped is None:
            assert stored.destroyed_at is not None
            raise Destroyed(stored.destroyed_at, stored.certificate_line)
        kek = keyring().wrapping_key(stored.keyring)
        key = seal.unwrap(
            kek, stored.wrapped, installation=self._installation, keyring_id=stored.keyring, ref=stored.ref
        )
        self._keys[ref] = key
        return key

    def current_generation(self, subject: uuid.UUID, category: int) -> int:
        """The newest generation with a living key. Raises NoKey, or Destroyed when only fences are left."""
        try:
            return self._current[(subject, category)]
        except KeyError:
            fences = [s for r, s in self._stored.items() if (r.subject, r.category) == (subject, category)]
            if fences and (last := max(fences, key=lambda s: s.ref.generation)).destroyed_at:
                raise Destroyed(last.destroyed_at, last.certificate_line) from None
            raise NoKey(f"no key of category {category}") from None

    def holds(self, ref: KeyRef) -> bool:
        """Whether the key is on the ring, ready to seal and open."""
        return ref in self._keys or (ref in self._stored and self._stored[ref].wrapped is not None)

    def next_generation(self, subject: uuid.UUID, category: int) -> int:
        """One above every generation there ever was, fences included: a destroyed one never gets a key again."""
        known = [*self._stored, *self._keys]
        seen = [ref.generation for ref in known if (ref.subject, ref.category) == (subject, category)]
        return max(seen, default=0) + 1

    def seal(self, instance: Any, *, generation: int | None = None, **values: str | None) -> None:
        """Put sealed ``values`` (field name = text; empty or None = nothing) on ``instance``, which is not saved.

        Seals under ``generation``, or the newest living one. Raises NoKey or Destroyed.
        """
        for name, text in values.items():
            field = sealed_field(type(instance), name)
            setattr(instance, name, self._sealed(instance, field, text, generation) if text else None)

    def _sealed(self, instance: Any, field: SealedField, text: str, generation: int | None) -> Sealed:
        item = field.item_for(instance)
        subject = field.subject_of(instance)
        if generation is None:
            generation = self.current_generation(subject, item.category)
        ref = KeyRef(subject, item.category, generation)
        place = Place(item.code, instance.id)
        return Sealed(seal.seal(self._key(ref), text, installation=self._installation, place=place, ref=ref))

    def blobs(
        self, given: Any, fields: Sequence[SealedField], *, row: uuid.UUID, subject: uuid.UUID
    ) -> list[bytes | None]:
        """For COPY: the texts that ``given`` holds under the names of ``fields``, sealed as :meth:`seal` would.

        They are bound to the live row ``row`` of ``subject``, under the newest living keys; an empty text is None.
        """
        noise, end = os.urandom(seal.NONCE_BYTES * len(fields)), 0
        where = row.bytes
        sealers: dict[int, Sealer] = {}
        sealed: list[bytes | None] = []
        for field in fields:
            start, end = end, end + seal.NONCE_BYTES
            if not (text := getattr(given, field.name)):
                sealed.append(None)
                continue
            item = field.item_for(given)
            if (sealer := sealers.get(item.category)) is None:
                sealer = sealers[item.category] = self._sealer(subject, item.category)
            sealed.append(sealer.seal(item.code, where, text, noise[start:end]))
        return sealed

    def _sealer(self, subject: uuid.UUID, category: int) -> Sealer:
        """The newest living key of ``subject``, ready to seal many values. Raises NoKey or Destroyed."""
        held = (subject, category)
        if (sealer := self._sealers.get(held)) is None:
            ref = KeyRef(subject, category, self.current_generation(subject, category))
            sealer = self._sealers[held] = Sealer(self._key(ref), installation=self._installation, ref=ref)
        return sealer

    def open_sealed(self, instance: Any, name: str) -> str:
        """The text of a sealed field ("" when it holds nothing). ``instance`` may be a history row.

        Raises Destroyed when its key was destroyed, NoKey when it was not asked for, and SealBroken when it does not
        open: an incident, which is noted first.
        """
        sealed = getattr(instance, name)
        if sealed is None:
            return ""
        field = sealed_field(type(instance), name)
        subject, item = field.subject_of(instance), field.item_for(instance)
        try:
            return self._opened(sealed.blob, subject, item.category, Place(item.code, instance.id))
        except SealBroken:
            note_broken(BrokenSeal(subject, item.code, instance.id))
            raise

    def _opened(self, blob: bytes, subject: uuid.UUID, expected: int, place: Place) -> str:
        category, generation = seal.header(blob)
        if category != expected:
            raise SealBroken(f"a sealed value of item {place.item} names another category")
        ref = KeyRef(subject, category, generation)
        if (subject, category) in self._fetched and ref not in self._stored and ref not in self._keys:
            raise KeyNeverMade(f"a sealed value of item {place.item} names a key that was never made")
        return seal.unseal(self._key(ref), blob, installation=self._installation, place=place, ref=ref)

    def keyed_hash(self, subject: uuid.UUID, category: int, text: str) -> bytes:
        """A hash (32 bytes) of ``text`` that only the newest living key of ``subject`` can make.

        Equal texts give equal hashes; once the key is destroyed, the hash tells nothing and no text can be tried
        against it. Raises NoKey or Destroyed.
        """
        key = self._key(KeyRef(subject, category, self.current_generation(subject, category)))
        # The key stream of one nonce that seals nothing: a second secret that lives and dies with the key.
        secret = key.encrypt(_HASHING_NONCE, bytes(seal.KEY_BYTES), None)[: seal.KEY_BYTES]
        return hmac.digest(secret, text.encode(), "sha256")

    def named_lines(self, name: Callable[[list[uuid.UUID]], Mapping[uuid.UUID, str]]) -> Mapping[uuid.UUID, str]:
        """The names that ``name`` gives to the certificate lines of the ring's fences; it is asked once."""
        if self._names is None:
            lines = {stored.certificate_line for stored in self._stored.values()}
            self._names = name(sorted(line for line in lines if line is not None))
        return self._names

    def _drop(self) -> None:
        self._keys.clear()
        self._stored.clear()
        self._fetched.clear()
        self._current.clear()
        self._sealers.clear()


@contextmanager
def keys_for(
    subjects: Iterable[uuid.UUID],
    categories: Iterable[int],
    *,
    event: uuid.UUID,
    approval: uuid.UUID | None = None,
) -> Iterator[KeyRing]:
    """A ring with every key of ``subjects`` × ``categories``: one fetch, recorded by the vault for ``event``."""
    ring = KeyRing(store.installation()[0])
    try:
        add_fetched(ring, subjects, categories, event=event, approval=approval)
        yield ring
    finally:
        ring._drop()


def add_fetched(
    ring: KeyRing,
    subjects: Iterable[uuid.UUID],
    categories: Iterable[int],
    *,
    event: uuid.UUID,
    approval: uuid.UUID | None = None,
) -> None:
    """Put every key of ``subjects`` × ``categories`` on the ring: one fetch, none when there are no subjects."""
    if wanted := sorted(set(subjects)):
        kinds = sorted(set(categories))
        ring._fetched.update((subject, kind) for subject in wanted for kind in kinds)
        for key in store.fetch(wanted, kinds, event=event, approval=approval):
            ring._stored[key.ref] = key
            if key.wrapped is not None:
                ring._hold(key.ref)


def require_own_keyring() -> None:
    """Raises KeyringError unless the keyring is the vault's own: under another one nobody is found, and all is lost."""
    store.refuse_another_keyring(keyring().checks())


def add_keys(ring: KeyRing, refs: Sequence[KeyRef]) -> set[KeyRef]:
    """Make keys for ``refs`` and put them on the ring; committed in the vault at once. Returns those that are new.

    A ref that has a living key already is not among them, and is on the ring only if it was fetched.
    Raises FenceStands when one of them was destroyed, KeyringError when this is not the vault's keyring.
    """
    if not refs:
        return set()
    held = keyring()
    require_own_keyring()
    kek_id, kek = held.current, AESGCM(held.wrapping_key(held.current))
    noise, end = os.urandom((seal.KEY_BYTES + seal.NONCE_BYTES) * len(refs)), 0
    raw: dict[KeyRef, bytes] = {}
    wrapped: list[tuple[KeyRef, bytes]] = []
    for ref in refs:
        start, middle, end = end, end + seal.KEY_BYTES, end + seal.KEY_BYTES + seal.NONCE_BYTES
        raw[ref] = key = noise[start:middle]
        bound = seal.wrap(
            kek, key, installation=ring._installation, keyring_id=kek_id, ref=ref, nonce=noise[middle:end]
        )
        wrapped.append((ref, bound))
    made = store.create(wrapped, keyring_id=kek_id)
    for ref in made:
        ring._keys[ref] = AESGCM(raw[ref])
        ring._hold(ref)
    return made


@contextmanager
def new_ring() -> Iterator[KeyRing]:
    """An empty ring, for subjects that have no keys yet; :func:`add_keys` fills it."""
    ring = KeyRing(store.installation()[0])
    try:
        yield ring
    finally:
        ring._drop()


def categories_of(*models: type[Any]) -> set[int]:
    """The categories that the sealed fields of ``models`` may use."""
    return {
        item.category
        for model in models
        for field in model._meta.concrete_fields
        if isinstance(field, SealedField)
        for item in field.items()
    }
