"""The keyring file: what is wrong with it is said, with the next step and no key; nothing is made by itself."""

import base64
import json
import os
import stat

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from access_control.ids import new_id
from access_control.vault import keyring, store
from access_control.vault.errors import KeyringError
from access_control.vault.ring import add_keys, new_ring
from access_control.vault.seal import KeyRef

ONE = base64.b64encode(b"\x01" * 32).decode()
TWO = base64.b64encode(b"\x02" * 32).decode()
GOOD = {"format": 1, "current": 1, "wrapping": {"1": ONE}, "lookup": TWO}


@pytest.fixture
def path(tmp_path, settings):
    """Where the keyring of this test belongs; nothing is there yet."""
    settings.CONSOLE_KEYRING = tmp_path / "secrets" / "keyring.json"
    settings.CONSOLE_KEYRING.parent.mkdir()
    return settings.CONSOLE_KEYRING


def write(path, document, mode=0o600):
    path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
    path.chmod(mode)
    return path


def refused(path):
    """The message of the refusal; it names the file and holds no key."""
    with pytest.raises(KeyringError) as error:
        keyring.keyring()
    message = str(error.value)
    assert str(path) in message
    assert ONE not in message
    assert TWO not in message
    return message


# Known answer


def test_the_form_of_the_file_never_changes(path):
    path.write_text(
        '{"format": 1, "current": 2, "wrapping":'
        ' {"1": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=", "2": "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="},'
        ' "lookup": "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM="}'
    )
    path.chmod(0o600)
    ring = keyring.keyring()
    assert ring == keyring.Keyring({1: b"\x01" * 32, 2: b"\x02" * 32}, 2, b"\x03" * 32)
    assert ring.wrapping_key(1) == b"\x01" * 32


# Making one


def test_a_made_keyring_is_complete_random_and_for_the_owner_only(path):
    before = os.umask(0)
    try:
        keyring.make(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(json.loads(path.read_text())) == {"format", "current", "wrapping", "lookup"}
    ring = keyring.load(path)
    assert list(ring.wrapping) == [ring.current] == [1]
    assert len(ring.wrapping_key(1)) == len(ring.lookup) == 32
    assert ring.wrapping_key(1) != ring.lookup
    path.unlink()
    keyring.make(path)
    assert keyring.load(path) != ring


def test_making_makes_the_folders_too(path):
    keyring.make(path.parent / "a" / "b" / "keyring.json")
    assert (path.parent / "a" / "b" / "keyring.json").is_file()


@pytest.mark.parametrize("content", [json.dumps(GOOD).encode(), b"", b"not a keyring"])
def test_an_existing_file_is_never_overwritten(path, content):
    write(path, content)
    with pytest.raises(KeyringError, match="exists already"):
        keyring.make(path)
    with pytest.raises(CommandError, match="exists already"):
        call_command("make_keyring")
    assert path.read_bytes() == content


def test_a_link_is_never_followed_when_making(path):
    elsewhere = path.parent / "elsewhere"
    path.symlink_to(elsewhere)
    with pytest.raises(KeyringError, match="exists already"):
        keyring.make(path)
    assert not elsewhere.exists()


def test_the_command_makes_it_once_and_never_shows_it(path, capsys):
    call_command("make_keyring")
    shown = capsys.readouterr()
    document = json.loads(path.read_text())
    assert str(path) in shown.out
    assert document["lookup"] not in shown.out + shown.err
    assert document["wrapping"]["1"] not in shown.out + shown.err


# Missing, unreadable, malformed

FAULTS = {
    "empty": b"",
    "not JSON": b"{",
    "not UTF-8": b'{"format": "\xff\xfe"}',
    "a list": [GOOD],
    "a number": 1,
    "null": None,
    "no field": {},
    "no format": {key: value for key, value in GOOD.items() if key != "format"},
    "unknown format": GOOD | {"format": 2},
    "format is text": GOOD | {"format": "1"},
    "no current": {key: value for key, value in GOOD.items() if key != "current"},
    "current key missing": GOOD | {"current": 2},
    "current is no number": GOOD | {"current": "one"},
    "current is nothing": GOOD | {"current": None},
    "no keys at all": GOOD | {"wrapping": {}},
    "keys in a list": GOOD | {"wrapping": [ONE]},
    "key id is no number": GOOD | {"wrapping": {"one": ONE}},
    "short key": GOOD | {"wrapping": {"1": base64.b64encode(b"\x01" * 31).decode()}},
    "long key": GOOD | {"wrapping": {"1": base64.b64encode(b"\x01" * 33).decode()}},
    "short key that is not current": GOOD | {"wrapping": {"1": ONE, "2": "AAAA"}},
    "key is no base64": GOOD | {"wrapping": {"1": "*" * 44}},
    "key is a number": GOOD | {"wrapping": {"1": 7}},
    "no lookup key": {key: value for key, value in GOOD.items() if key != "lookup"},
    "short lookup key": GOOD | {"lookup": "AAAA"},
    "lookup key is empty": GOOD | {"lookup": ""},
    "lookup key is nothing": GOOD | {"lookup": None},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_malformed_keyring_is_refused_naming_the_file_and_no_key(path, fault):
    write(path, fault)
    refused(path)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_malformed_keyring_comes_with_the_next_step(path, fault):
    write(path, fault)
    assert "Put back the keyring" in refused(path)


@pytest.mark.parametrize("told", [ONE, {"1": ONE}, [ONE]])
def test_a_key_in_the_wrong_field_is_not_repeated(path, told):
    write(path, GOOD | {"format": told})
    refused(path)


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(GOOD).replace('"current": 1', '"current": Infinity').encode(),
        json.dumps(GOOD).replace('"current": 1', '"current": 1e400').encode(),
        json.dumps(GOOD).replace('"current": 1', '"current": ' + "1" * 5000).encode(),
        b"[" * 100_000,
    ],
    ids=["infinity", "overflow", "digits", "depth"],
)
def test_strange_numbers_and_depths_are_malformed_too(path, content):
    write(path, content)
    refused(path)


@settings(deadline=None, max_examples=100)
@given(content=st.binary(max_size=60))
def test_any_bytes_are_refused_with_the_same_typed_error(tmp_path_factory, content):
    path = write(tmp_path_factory.mktemp("keyring") / "keyring.json", content)
    with pytest.raises(KeyringError):
        keyring.load(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from([ONE, TWO, "1", ""]) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["1", "2", "x"]), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=150)
@given(field=st.sampled_from(sorted(GOOD)), value=JSON)
def test_any_value_in_any_field_gives_a_whole_keyring_or_a_typed_error(tmp_path_factory, field, value):
    path = write(tmp_path_factory.mktemp("keyring") / "keyring.json", GOOD | {field: value})
    try:
        ring = keyring.load(path)
    except KeyringError:
        return
    assert ring.current in ring.wrapping
    assert {len(key) for key in [*ring.wrapping.values(), ring.lookup]} == {32}


def test_a_missing_keyring_says_where_it_should_be_and_what_to_do(path):
    message = refused(path)
    assert "Put back the keyring" in message
    assert "make_keyring" in message
    assert list(path.parent.iterdir()) == []


def test_a_missing_keyring_makes_no_key_and_no_file(path):
    subject = new_id()
    with new_ring() as ring, pytest.raises(KeyringError):
        add_keys(ring, [KeyRef(subject, 1, 1)])
    assert store.status([subject]) == []
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o660, 0o666, 0o777])
def test_a_keyring_that_others_may_touch_is_refused(path, mode):
    write(path, GOOD, mode)
    assert "chmod 600" in refused(path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_keyring_of_the_owner_alone_is_read(path, mode):
    write(path, GOOD, mode)
    assert keyring.keyring().current == 1


@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_a_folder_in_its_place_is_refused(path, mode):
    path.mkdir(mode)
    path.chmod(mode)
    refused(path)


def test_a_keyring_never_shows_its_keys(path):
    ring = keyring.load(write(path, GOOD))
    for shown in (repr(ring), str(ring), f"{ring}"):
        assert "\\x01" not in shown
        assert ONE not in shown
    with pytest.raises(KeyringError) as unknown:
        ring.wrapping_key(9)
    assert "9" in str(unknown.value)
    assert "Put back the keyring" in str(unknown.value)


# Changed on disk


def test_a_changed_keyring_is_noticed(path):
    write(path, GOOD)
    assert keyring.keyring().current == 1
    write(path, GOOD | {"current": 2, "wrapping": {"1": ONE, "2": TWO}})
    assert keyring.keyring().wrapping_key(2) == b"\x02" * 32
    path.chmod(0o644)
    assert "chmod 600" in refused(path)
    path.chmod(0o600)
    assert keyring.keyring().current == 2
    path.write_bytes(b"{")
    refused(path)
    path.unlink()
    assert "is missing" in refused(path)


def test_a_keyring_put_back_with_an_old_time_is_noticed(path):
    """A backup tool restores the time of the file as well."""
    write(path, GOOD)
    stamp = path.stat()
    assert keyring.keyring().lookup == b"\x02" * 32
    replacement = write(path.with_suffix(".new"), GOOD | {"lookup": ONE})
    os.utime(replacement, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    replacement.rename(path)
    assert keyring.keyring().lookup == b"\x01" * 32
