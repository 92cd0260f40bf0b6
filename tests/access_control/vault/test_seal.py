"""The two sealed formats: their bytes are frozen, and nothing opens that was changed or moved."""

import dataclasses
import struct
import uuid

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from access_control.vault import seal
from access_control.vault.categories import Category, generation_of_case
from access_control.vault.errors import SealBroken, UnknownFormat, VaultError
from access_control.vault.seal import KeyRef, Place

KEY = bytes(range(32))
KEK = bytes(range(32, 64))
NONCE = bytes(range(100, 112))
NAME = "山田 花子"

quick = settings(deadline=None, max_examples=60)


@dataclasses.dataclass(frozen=True)
class Bound:
    """Everything a blob is bound to."""

    installation: uuid.UUID = uuid.UUID("01890a5d-ac96-774b-bcce-b302099a8057")
    item: str = "member.name"
    row: uuid.UUID = uuid.UUID("01890a5d-ac96-7ab2-8f3d-000000000002")
    subject: uuid.UUID = uuid.UUID("01890a5d-ac96-7ab2-8f3d-000000000001")
    category: int = 1
    generation: int = 1

    @property
    def ref(self):
        return KeyRef(self.subject, self.category, self.generation)

    def seal(self, text, nonce=b""):
        place = Place(self.item, self.row)
        return seal.seal(AESGCM(KEY), text, installation=self.installation, place=place, ref=self.ref, nonce=nonce)

    def unseal(self, blob, key=KEY):
        place = Place(self.item, self.row)
        return seal.unseal(AESGCM(key), blob, installation=self.installation, place=place, ref=self.ref)


@dataclasses.dataclass(frozen=True)
class Wrapped:
    """Everything a wrapped key is bound to."""

    installation: uuid.UUID = Bound.installation
    keyring_id: int = 1
    subject: uuid.UUID = Bound.subject
    category: int = 1
    generation: int = 1

    @property
    def bound(self):
        ref = KeyRef(self.subject, self.category, self.generation)
        return {"installation": self.installation, "keyring_id": self.keyring_id, "ref": ref}

    def wrap(self, key=KEY, nonce=b""):
        return seal.wrap(AESGCM(KEK), key, nonce=nonce, **self.bound)

    def unwrap(self, wrapped, kek=KEK):
        return seal.unwrap(kek, wrapped, **self.bound)


categories = st.integers(1, 7)
generations = st.integers(0, 2**63 - 1)
bounds = st.builds(
    Bound,
    installation=st.uuids(),
    item=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40),
    row=st.uuids(),
    subject=st.uuids(),
    category=categories,
    generation=generations,
)
wraps = st.builds(
    Wrapped,
    installation=st.uuids(),
    keyring_id=st.integers(0, 2**32 - 1),
    subject=st.uuids(),
    category=categories,
    generation=generations,
)


def parts_of(kind):
    return [field.name for field in dataclasses.fields(kind)]


def flips(blob):
    """Every blob that differs from ``blob`` in one bit."""
    for bit in range(len(blob) * 8):
        changed = bytearray(blob)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


# Known answers

BLOBS = [
    (
        Bound(),
        NAME,
        "010100000000000000016465666768696a6b6c6d6e6fadaa6f81ed597676b4d3ba454ae56afd42c2060a8b6cf372a7d1"
        "ac48fba3a5486fe8551acd99255b26a3f65812f08810",
    ),
    (
        Bound(item="contact.email", category=2, generation=3),
        "hanako.yamada@example.jp",
        "010200000000000000036465666768696a6b6c6d6e6f207ab007128678e75f0f3e8cbb250f8523af7666ee42990227d1"
        "ac48fba3a5482861b98fd1b5cc7ab265a2d494101cd0",
    ),
    (
        Bound(item="case.note", category=6, generation=0x01890A5DAC967AB2),
        "x",
        "010601890a5dac967ab26465666768696a6b6c6d6e6f309bde6679e9569e3e625fe8da656afd42c2060a8b6cf372a7d1"
        "ac48fba3a548f501d3f435e5e60dc4a63e87a766edaa",
    ),
    (
        Bound(category=7, generation=2**63 - 1),
        "髙𠮷",
        "01077fffffffffffffff6465666768696a6b6c6d6e6fa1b04796d947e11e3e625fe8da656afd42c2060a8b6cf372a7d1"
        "ac48fba3a54827860f177d5536c63537949c96623ad4",
    ),
]
WRAPPED = [
    (
        Wrapped(),
        "016465666768696a6b6c6d6e6f"
        "b56c8cd0dbb4f2cad45dd5d3861a9062d993f76d2adf785adb5974646b54393cd113a472ce96835757dd5eaba51eede5",
    ),
    (
        Wrapped(keyring_id=7, category=6, generation=0x01890A5DAC967AB2),
        "016465666768696a6b6c6d6e6f"
        "b56c8cd0dbb4f2cad45dd5d3861a9062d993f76d2adf785adb5974646b54393c310eb92ba2a2c1a6d7820577be7bfa13",
    ),
]


@pytest.mark.parametrize(("bound", "text", "frozen"), BLOBS)
def test_the_bytes_of_a_blob_never_change(bound, text, frozen):
    assert bound.seal(text, nonce=NONCE).hex() == frozen
    assert bound.unseal(bytes.fromhex(frozen)) == text


@pytest.mark.parametrize(("bound", "text", "frozen"), BLOBS)
def test_a_blob_is_laid_out_as_documented(bound, text, frozen):
    item = bound.item.encode("ascii")
    context = b"".join(
        [
            b"\x01",
            bound.installation.bytes,
            struct.pack(">H", len(item)) + item,
            bound.row.bytes,
            bound.subject.bytes,
            struct.pack(">B", bound.category),
            struct.pack(">Q", bound.generation),
        ]
    )
    header = b"\x01" + struct.pack(">B", bound.category) + struct.pack(">Q", bound.generation)
    plain = text.encode("utf-8") + b"\x80"
    while len(plain) % 32:
        plain += b"\x00"
    assert frozen == (header + NONCE + AESGCM(KEY).encrypt(NONCE, plain, context)).hex()
    assert seal.header(bytes.fromhex(frozen)) == (bound.category, bound.generation)


@pytest.mark.parametrize(("bound", "frozen"), WRAPPED)
def test_the_bytes_of_a_wrapped_key_never_change(bound, frozen):
    assert bound.wrap(nonce=NONCE).hex() == frozen
    name = Bound()
    opens = bound.unwrap(bytes.fromhex(frozen))
    place = Place(name.item, name.row)
    assert seal.unseal(opens, name.seal(NAME), installation=name.installation, place=place, ref=name.ref) == NAME


@pytest.mark.parametrize(("bound", "frozen"), WRAPPED)
def test_a_wrapped_key_is_laid_out_as_documented(bound, frozen):
    context = b"".join(
        [
            b"wrap",
            b"\x01",
            bound.installation.bytes,
            struct.pack(">I", bound.keyring_id),
            bound.subject.bytes,
            struct.pack(">B", bound.category),
            struct.pack(">Q", bound.generation),
        ]
    )
    assert frozen == (b"\x01" + NONCE + AESGCM(KEK).encrypt(NONCE, KEY, context)).hex()


def test_the_generation_of_a_case_is_the_first_half_of_its_id():
    case = uuid.UUID("01890a5d-ac96-774b-bcce-b302099a8057")
    assert generation_of_case(case) == 0x01890A5DAC96774B == 110631063291066187
    assert generation_of_case(case) == struct.unpack(">Q", case.bytes[:8])[0]


def test_the_numbers_of_the_categories_never_change():
    assert {category.name: category.value for category in Category} == {
        "IDENTITY": 1,
        "CONTACT": 2,
        "DELIVERY": 3,
        "PAYMENT": 4,
        "PROFILE": 5,
        "CORRESPONDENCE": 6,
        "STATUTORY": 7,
    }


# Round trip


@quick
@given(st.text(), bounds)
def test_any_text_comes_back_as_it_went_in(text, bound):
    blob = bound.seal(text)
    assert bound.unseal(blob) == text
    assert seal.header(blob) == (bound.category, bound.generation)


@pytest.mark.parametrize("text", ["", "\0", "x\0\0", "À", "x" * 31, "x" * 32, "山" * 11, "\0" * 64, "\x80"])
def test_padding_takes_nothing_from_the_text(text):
    assert Bound().unseal(Bound().seal(text)) == text


@quick
@given(st.text(), st.text())
def test_lengths_differ_by_whole_blocks_only(one, other):
    assert (len(Bound().seal(one)) - len(Bound().seal(other))) % 32 == 0


@quick
@given(st.binary(min_size=32, max_size=32), wraps)
def test_any_key_comes_back_as_it_went_in(key, bound):
    opens = bound.unwrap(bound.wrap(key))
    assert AESGCM(key).decrypt(NONCE, opens.encrypt(NONCE, b"words", None), None) == b"words"


def test_the_same_text_never_gives_the_same_blob_twice():
    assert len({Bound().seal(NAME) for _ in range(100)}) == 100
    assert len({Wrapped().wrap() for _ in range(100)}) == 100


def test_the_length_of_a_blob_does_not_tell_short_texts_apart():
    """After its key is gone, history keeps a blob for ever: its length must not say what the key no longer can."""
    assert len({len(Bound(item="member.sex").seal(text)) for text in ("male", "other", "female")}) == 1


def test_text_that_is_no_unicode_is_refused_without_being_repeated():
    with pytest.raises((ValueError, VaultError)) as refused:
        Bound().seal("秘密\ud800")
    assert "秘密" not in repr(refused.value)


# Changed


def test_no_flipped_bit_of_a_blob_opens():
    for changed in flips(Bound().seal(NAME)):
        with pytest.raises(SealBroken) as broken:
            Bound().unseal(changed)
        assert NAME not in str(broken.value)
        assert broken.value.__cause__ is None


def test_no_flipped_bit_of_a_wrapped_key_opens():
    for changed in flips(Wrapped().wrap()):
        with pytest.raises(SealBroken):
            Wrapped().unwrap(changed)


@quick
@given(st.text(min_size=1), bounds, st.data())
def test_no_flipped_bit_of_any_blob_opens(text, bound, data):
    changed = bytearray(bound.seal(text))
    bit = data.draw(st.integers(0, len(changed) * 8 - 1))
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealBroken):
        bound.unseal(bytes(changed))


def test_a_changed_format_byte_is_an_unknown_format():
    for first in set(range(256)) - {1}:
        with pytest.raises(UnknownFormat):
            Bound().unseal(bytes([first]) + Bound().seal(NAME)[1:])
        with pytest.raises(UnknownFormat):
            Wrapped().unwrap(bytes([first]) + Wrapped().wrap()[1:])


def test_no_truncated_blob_or_key_opens():
    blob, wrapped = Bound().seal(NAME), Wrapped().wrap()
    for length in range(len(blob)):
        with pytest.raises(SealBroken):
            Bound().unseal(blob[:length])
    for length in range(len(wrapped)):
        with pytest.raises(SealBroken):
            Wrapped().unwrap(wrapped[:length])


@quick
@given(st.binary(min_size=1, max_size=80))
def test_no_extended_blob_or_key_opens(more):
    for changed in (Bound().seal(NAME) + more, more + Bound().seal(NAME)):
        with pytest.raises(SealBroken):
            Bound().unseal(changed)
    for changed in (Wrapped().wrap() + more, more + Wrapped().wrap()):
        with pytest.raises(SealBroken):
            Wrapped().unwrap(changed)


@quick
@given(st.binary(max_size=100))
def test_any_other_bytes_are_refused_with_a_typed_error(noise):
    for first in (b"", b"\x01", b"\x01\x01" + struct.pack(">Q", 1)):
        with pytest.raises(SealBroken):
            Bound().unseal(first + noise)
        with pytest.raises(SealBroken):
            Wrapped().unwrap(first + noise)


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe\x80" + bytes(29), b"\xff\xfe", b"", bytes(32), b"x" * 32, b"x\x80y" + bytes(29)],
    ids=["no UTF-8", "no padding", "empty", "zeros", "no mark", "letters behind the mark"],
)
def test_an_authentic_blob_that_holds_no_padded_text_is_broken(content):
    bound = Bound(item="a")
    context = b"\x01" + bound.installation.bytes + b"\0\x01a" + bound.row.bytes + bound.subject.bytes
    body = AESGCM(KEY).encrypt(NONCE, content, context + struct.pack(">BQ", 1, 1))
    with pytest.raises(SealBroken):
        bound.unseal(struct.pack(">BBQ", 1, 1, 1) + NONCE + body)


# Moved


@pytest.mark.parametrize("part", parts_of(Bound))
@quick
@given(text=st.text(), bound=bounds, other=bounds)
def test_a_blob_does_not_open_anywhere_else(part, text, bound, other):
    assume(getattr(bound, part) != getattr(other, part))
    elsewhere = dataclasses.replace(bound, **{part: getattr(other, part)})
    blob = bound.seal(text)
    with pytest.raises(SealBroken):
        elsewhere.unseal(blob)
    # The header made to fit does not help.
    header = struct.pack(">BBQ", 1, elsewhere.category, elsewhere.generation)
    with pytest.raises(SealBroken):
        elsewhere.unseal(header + blob[10:])
    # Nor do two values that change places.
    with pytest.raises(SealBroken):
        bound.unseal(elsewhere.seal(text))


@pytest.mark.parametrize("part", parts_of(Wrapped))
@quick
@given(bound=wraps, other=wraps)
def test_a_wrapped_key_does_not_open_anywhere_else(part, bound, other):
    assume(getattr(bound, part) != getattr(other, part))
    elsewhere = dataclasses.replace(bound, **{part: getattr(other, part)})
    with pytest.raises(SealBroken):
        elsewhere.unwrap(bound.wrap())
    with pytest.raises(SealBroken):
        bound.unwrap(elsewhere.wrap())


def test_item_and_row_cannot_borrow_bytes_from_each_other():
    """An item code one letter longer, over a row id moved by one byte, is another place."""
    blob = Bound(item="ab", row=uuid.UUID(bytes=b"c" * 16)).seal(NAME)
    with pytest.raises(SealBroken):
        Bound(item="abc", row=uuid.UUID(bytes=b"c" * 15 + Bound.subject.bytes[:1])).unseal(blob)


def test_a_blob_and_a_wrapped_key_cannot_pose_as_each_other():
    """Under one and the same key, neither format opens as the other."""
    wrapped = seal.wrap(AESGCM(KEY), KEK, **Wrapped().bound)
    with pytest.raises(SealBroken):
        Bound().unseal(wrapped)
    with pytest.raises(SealBroken):
        Bound().unseal(struct.pack(">BBQ", 1, 1, 1) + wrapped[1:])
    as_key = Bound().seal("x" * 32)
    with pytest.raises(SealBroken):
        seal.unwrap(KEY, b"\x01" + as_key[10:], **Wrapped().bound)


@quick
@given(st.binary(min_size=32, max_size=32))
def test_another_key_opens_nothing(other):
    assume(other not in (KEY, KEK))
    with pytest.raises(SealBroken):
        Bound().unseal(Bound().seal(NAME), key=other)
    with pytest.raises(SealBroken):
        Wrapped().unwrap(Wrapped().wrap(), kek=other)
