"""Settings: safe when a variable is missing, loud when it is wrong, and ``.env.example`` lists every one."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from access_control.checks import check_senders

ROOT = Path(__file__).resolve().parent.parent.parent
PRODUCTION = {
    "SECRET_KEY": "k" * 60,
    "ALLOWED_HOSTS": "console.example.jp",
    "DATABASE_URL": "postgres://console_app:x@localhost/console",
    "VAULT_DATABASE_URL": "postgres://console_app:x@localhost/vault",
}


SENDER = {"site": "マーケット", "window": "窓口", "telephone": "0120-000-000", "mail": "privacy@example.jp"}


def senders(**change):
    said = dict.fromkeys(("jp", "kr", "sg"), SENDER) | change
    return json.dumps({entity: sender for entity, sender in said.items() if sender})


def start(**environment):
    """(exit status, what was said) of loading the settings in an environment of its own."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import config.settings as s; print(s.DEBUG, s.SESSION_COOKIE_SECURE, s.SECURE_SSL_REDIRECT)",
        ],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environment},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def test_production_settings_are_the_safe_ones():
    status, said = start(**PRODUCTION)
    assert (status, said.split()) == (0, ["False", "True", "True"])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY"),
        ({"DEBUG": "maybe"}, "DEBUG"),
        ({"DEMO": "1"}, "DEMO=1"),
        # A demo destroys before its day: not on a database that is there to stay.
        ({"DEMO": "1", "DEBUG": "1"}, "DATABASE_URL"),
        ({"SESSION_IDLE_MINUTES": "0"}, "SESSION_IDLE_MINUTES"),
        ({"SESSION_IDLE_MINUTES": "soon"}, "SESSION_IDLE_MINUTES"),
        ({"CONSOLE_DB_ROLE": "root"}, "CONSOLE_DB_ROLE"),
        ({"CONSOLE_DB_ROLE": "owner"}, "DATABASE_URL_OWNER"),
        ({"DATABASE_URL": "sqlite:///x"}, "DATABASE_URL"),
        ({"VAULT_DATABASE_URL": ""}, "VAULT_DATABASE_URL"),
        ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL"),
        ({"REQUEST_BODY_MAX_BYTES": "1 MiB"}, "REQUEST_BODY_MAX_BYTES"),
        ({"TRUSTED_PROXIES": "proxy.example.jp"}, "TRUSTED_PROXIES"),
        ({"TRUSTED_PROXIES": "10.0.0.1,10.0.0.1/8"}, "TRUSTED_PROXIES"),
        ({"TRUSTED_PROXIES": "0.0.0.0/0"}, "TRUSTED_PROXIES"),
        ({"TRUSTED_PROXIES": "::ffff:0.0.0.0/96"}, "TRUSTED_PROXIES"),
        ({"NOTICE_SENDERS": "{"}, "NOTICE_SENDERS"),
        ({"NOTICE_SENDERS": senders(kr=None)}, "NOTICE_SENDERS: it must have an entry for each of jp, kr, sg"),
        ({"NOTICE_SENDERS": senders(us=SENDER)}, "and no other"),
        ({"NOTICE_SENDERS": senders(jp={**SENDER, "tel": "1"})}, "NOTICE_SENDERS: jp must have site, window"),
        ({"NOTICE_SENDERS": senders(sg={**SENDER, "site": " "})}, "NOTICE_SENDERS: sg.site"),
        ({"NOTICE_SENDERS": senders(sg={**SENDER, "window": 1})}, "NOTICE_SENDERS: sg.window"),
        ({"NOTICE_SENDERS": senders(jp={**SENDER, "telephone": "1\n2"})}, "NOTICE_SENDERS: jp.telephone"),
        ({"NOTICE_SENDERS": senders(jp={**SENDER, "mail": "nobody"})}, "NOTICE_SENDERS: jp.mail"),
    ],
)
def test_a_wrong_variable_stops_the_start_and_is_named(change, named, monkeypatch):
    for name in os.environ:
        if not name.startswith(("PATH", "PYTEST")):
            monkeypatch.delenv(name)
    for name, value in (PRODUCTION | change).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured) as refused:
        runpy.run_path(str(ROOT / "config" / "settings.py"))
    assert named in str(refused.value)


def test_a_start_that_is_refused_ends_with_a_status_and_the_variable():
    status, said = start(**(PRODUCTION | {"SECRET_KEY": ""}))
    assert status != 0
    assert "SECRET_KEY" in said.splitlines()[-1]


def test_notices_from_somebody_made_up_stop_a_deployment(settings):
    settings.NOTICE_SENDERS_MADE_UP, settings.DEFAULT_FROM_EMAIL = True, "Privacy <privacy@marketplace.example>"
    assert [error.id for error in check_senders()] == ["access_control.E008"] * 2
    settings.NOTICE_SENDERS_MADE_UP, settings.DEFAULT_FROM_EMAIL = False, "privacy@example.jp"
    assert check_senders() == []
    assert start(**PRODUCTION, NOTICE_SENDERS=senders())[0] == 0


def test_env_example_lists_every_variable_and_no_other():
    read = set()
    for path in [*ROOT.glob("config/*.py"), ROOT / "manage.py"]:
        text = path.read_text()
        read |= set(re.findall(r'(?:env\.\w+|environ\.get|_boolean|_whole_number)\(\s*"([A-Z_]+)"', text))
    for base in ("DATABASE_URL", "VAULT_DATABASE_URL"):
        read |= {base, f"{base}_OWNER", f"{base}_PURGER", f"{base}_READER"}
    # Set by the project itself or by the system, never by an operator.
    read -= {"DJANGO_SETTINGS_MODULE", "PATH", "XDG_RUNTIME_DIR"}
    listed = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert listed == read
