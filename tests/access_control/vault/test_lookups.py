"""Lookups: their bytes are frozen, and they find nobody under another keyring."""

import hashlib
import hmac
import json
import os
import struct

import pytest

from access_control.vault import keyring
from access_control.vault.lookups import NORMAL_FORM_VERSION, VERSIONS, LookupField, hashing, mac

KEY = bytes(range(64, 96))

# Of normal-form version 1.
KNOWN = [
    (1, "M0000001", "", "3e86c299039820eab6945c1c562d06454a7ba55f8396a37d6112f9914e26c0ac"),
    (2, "hanako", "", "53f7f831baa459cd535f66ef46cb7af34b9a359097e79f0aad7792be39d35b5a"),
    (3, "hanako.yamada@example.jp", "", "ab3ba1c9ee2e9f238e128e6f759ba3c2554c0ef6203f8c416baa52065cf81225"),
    (4, "+81355501234", "", "bba98915f148506553c077cc9cbf9556176d795abf5dbc0d7e55cde2a9e1f5d5"),
    (5, "山田花子", "1980-02-03", "b9b1d7691888653eee319971ae44d9190636c06328f3218c1e7e5bfc786fd87f"),
    (6, "山田花子", "1000001", "cf4c680e3403d7ed3db7e134f63ca4bb04cffa94886e74fca19818b7e725267a"),
    (7, "山田花子", "1234", "e7137c3feeb8456dca177ded6d040bb1c4ba025f2c20a4646e041470b993a792"),
]


@pytest.fixture
def known_key(monkeypatch):
    ring = keyring.Keyring({1: bytes(32)}, 1, KEY)
    monkeypatch.setattr("access_control.vault.lookups.keyring", lambda: ring)


@pytest.mark.parametrize(("field", "normal", "second", "frozen"), KNOWN)
def test_the_bytes_of_a_lookup_never_change(known_key, field, normal, second, frozen):
    assert hashing(1)(LookupField(field), normal, second).hex() == frozen
    # Version 2 is laid out alike, and no lookup of one version is one of another.
    text = normal.encode() + (b"\x00" + second.encode() if second else b"")
    newest = hmac.new(KEY, struct.pack(">BB", field, 2) + text, hashlib.sha256).hexdigest()
    assert mac(LookupField(field), normal, second).hex() == newest != frozen


@pytest.mark.parametrize(("field", "normal", "second", "frozen"), KNOWN)
def test_a_lookup_is_laid_out_as_documented(field, normal, second, frozen):
    text = normal.encode("utf-8") + (b"\x00" + second.encode("utf-8") if second else b"")
    assert frozen == hmac.new(KEY, struct.pack(">BB", field, 1) + text, hashlib.sha256).hexdigest()


def test_a_batch_reads_the_keyring_once_and_hashes_alike(monkeypatch):
    read = []
    ring = keyring.Keyring({1: bytes(32)}, 1, KEY)
    monkeypatch.setattr("access_control.vault.lookups.keyring", lambda: read.append(1) or ring)
    of_the_batch = hashing(1)
    assert [of_the_batch(LookupField(field), normal, second).hex() for field, normal, second, _ in KNOWN] == [
        frozen for *_, frozen in KNOWN
    ]
    assert len(read) == 1


def test_the_numbers_of_the_fields_never_change():
    assert (NORMAL_FORM_VERSION, VERSIONS) == (2, (2, 1))
    assert {field.name: field.value for field in LookupField} == {
        "MEMBER_NUMBER": 1,
        "LOGIN_ID": 2,
        "EMAIL": 3,
        "TELEPHONE": 4,
        "NAME_AND_BIRTH_DATE": 5,
        "NAME_AND_POSTCODE": 6,
        "NAME_AND_LAST_FOUR": 7,
    }


def test_one_text_in_two_fields_gives_two_lookups(known_key):
    assert len({mac(field, "1234") for field in LookupField}) == len(LookupField)


def test_the_border_between_two_joined_facts_counts(known_key):
    field = LookupField.NAME_AND_LAST_FOUR
    assert len({mac(field, "ab", "cd"), mac(field, "abc", "d"), mac(field, "abcd"), mac(field, "a", "bcd")}) == 4


def test_another_keyring_finds_nobody(settings, tmp_path):
    before = mac(LookupField.EMAIL, "hanako@example.jp")
    settings.CONSOLE_KEYRING = tmp_path / "keyring.json"
    keyring.make(settings.CONSOLE_KEYRING)
    assert mac(LookupField.EMAIL, "hanako@example.jp") != before


def test_a_lookup_does_not_depend_on_the_key_that_wraps(settings, tmp_path):
    """Keys can be wrapped anew without every lookup being made again."""
    before = mac(LookupField.EMAIL, "hanako@example.jp")
    document = json.loads(settings.CONSOLE_KEYRING.read_text())
    document["wrapping"] = {"2": "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI="}
    document["current"] = 2
    settings.CONSOLE_KEYRING = tmp_path / "keyring.json"
    settings.CONSOLE_KEYRING.touch(0o600)
    settings.CONSOLE_KEYRING.write_text(json.dumps(document))
    os.chmod(settings.CONSOLE_KEYRING, 0o600)
    assert mac(LookupField.EMAIL, "hanako@example.jp") == before
