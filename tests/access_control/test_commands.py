"""Commands: what they print, how they end, and what they refuse."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from access_control.vault import keyring
from access_control.vault.roles import role_names
from tests.databases import become


def test_setup_roles_twice_changes_nothing(committed):
    become("owner")
    try:
        out = io.StringIO()
        call_command("setup_roles", "--json", stdout=out)
        assert json.loads(out.getvalue()) == {
            "made": [],
            "roles": [role_names()[role] for role in ("app", "purger", "reader")],
        }
    finally:
        become("app")


def test_setup_roles_by_a_role_that_may_not_says_what_is_needed(committed):
    with pytest.raises(CommandError, match="CREATEROLE"):
        call_command("setup_roles", stdout=io.StringIO())


def test_show_databases_is_for_the_embedded_server_only(settings):
    settings.EMBEDDED_DATABASE = True
    out = io.StringIO()
    call_command("show_databases", "--json", stdout=out)
    urls = json.loads(out.getvalue())
    assert {database: set(roles) for database, roles in urls.items()} == {
        "console": {"owner", "app", "purger", "reader"},
        "vault": {"owner", "app", "purger", "reader"},
    }
    settings.EMBEDDED_DATABASE = False
    with pytest.raises(CommandError) as refused:
        call_command("show_databases")
    assert refused.value.returncode == 2


def test_load_demo_refuses_outside_demo_and_over_data(settings, agent):
    settings.DEMO = False
    with pytest.raises(CommandError) as refused:
        call_command("load_demo")
    assert refused.value.returncode == 2
    assert "DEMO" in str(refused.value)
    settings.DEMO = True
    with pytest.raises(CommandError, match="--members 0"):
        call_command("load_demo", "--members", "0")


def test_load_demo_is_the_same_for_the_same_seed_and_keeps_what_is_there():
    out = io.StringIO()
    call_command("load_demo", "--members", "30", "--seed", "3", "--json", stdout=out, stderr=io.StringIO())
    first = json.loads(out.getvalue())
    assert first["members"] == 30
    assert [account["username"] for account in first["accounts"]] == [
        *("agent", "agent2", "supervisor", "officer", "auditor", "administrator", "records")
    ]
    out = io.StringIO()
    call_command("load_demo", "--members", "99", "--if-empty", "--json", stdout=out, stderr=io.StringIO())
    assert json.loads(out.getvalue()) == first
    with pytest.raises(CommandError, match="--if-empty"):
        call_command("load_demo", "--members", "99")


def test_make_keyring_never_touches_a_keyring_that_is_there(settings):
    before = settings.CONSOLE_KEYRING.read_bytes()
    with pytest.raises(CommandError, match="exists already"):
        call_command("make_keyring")
    assert settings.CONSOLE_KEYRING.read_bytes() == before
    assert keyring.load(settings.CONSOLE_KEYRING).current == 1
