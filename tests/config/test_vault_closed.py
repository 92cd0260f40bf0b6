"""A keyring that is missing, unreadable or another one: said in words, nothing opened, no value and no path shown."""

import os

import pytest
from django.urls import reverse

from access_control.vault import keyring


@pytest.fixture
def open_case_page(client, identified):
    client.force_login(identified.owner)
    return lambda: client.get(
        reverse("admin:members_case_change", args=[identified.pk]), headers={"accept-language": "en"}
    )


def test_a_missing_keyring(open_case_page, settings, tmp_path):
    assert open_case_page().status_code == 200
    settings.CONSOLE_KEYRING = tmp_path / "gone.json"
    answer = open_case_page()
    assert answer.status_code == 503
    assert b"No value can be opened" in answer.content
    assert str(tmp_path).encode() not in answer.content
    assert not settings.CONSOLE_KEYRING.exists()


def test_another_keyring_opens_nothing(open_case_page, settings, tmp_path):
    settings.CONSOLE_KEYRING = tmp_path / "other.json"
    keyring.make(settings.CONSOLE_KEYRING)
    answer = open_case_page()
    # Every value says that it cannot be opened; no mask of anything is shown.
    assert answer.status_code == 200
    assert "cannot be opened" in answer.content.decode()
    assert "山＊" not in answer.content.decode()


def test_a_keyring_that_others_can_read(open_case_page, settings, tmp_path):
    settings.CONSOLE_KEYRING = tmp_path / "open.json"
    keyring.make(settings.CONSOLE_KEYRING)
    os.chmod(settings.CONSOLE_KEYRING, 0o640)
    assert open_case_page().status_code == 503


def test_under_another_keyring_nobody_is_said_to_be_unknown(client, agent, hanako, settings, tmp_path):
    """A search under another lookup key would find nobody and look like an answer."""
    settings.CONSOLE_KEYRING = tmp_path / "other.json"
    keyring.make(settings.CONSOLE_KEYRING)
    client.force_login(agent)
    assert client.post(reverse("admin:members_member_find"), {"identifier": "hanako"}).status_code == 503
