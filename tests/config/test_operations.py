"""docs/operations.md says only what is so: each command, option, variable, unit, link and code in it is real."""

import argparse
import configparser
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from access_control.vault.sql import TRIGGERS
from manage import ROLE_OF
from retention.models import Parked

ROOT = Path(__file__).resolve().parent.parent.parent
GUIDE = ROOT / "docs" / "operations.md"
TEXT = GUIDE.read_text()
# (language, text) of each block of code, and each span of code in the prose between them.
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
PROSE = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
SPANS = re.findall(r"`([^`]+)`", PROSE)
SHELL = [text for language, text in BLOCKS if language in {"sh", "cron", "ini"}]
VARIABLES = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
# Variables of cron and of the units themselves.
NOT_OURS = {"SHELL", "OUT"}


def commands_named():
    """(command, the words behind it) wherever the guide runs one or names one with its arguments."""
    found = []
    for text in [*SHELL, *SPANS]:
        for rest in re.findall(r"manage\.py ([a-z_]+(?: [^;&|<>'()\n]*)?)", text):
            found.append(rest.split())
    return found + [words for span in SPANS if (words := span.split()) and words[0] in get_commands()]


def parser_of(name):
    app = get_commands()[name]
    command = app if not isinstance(app, str) else load_command_class(app, name)
    return command.create_parser("manage.py", name)


def options_of(parser):
    options = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            options |= {option for sub in action.choices.values() for option in options_of(sub)}
    return options


def test_every_command_and_option_is_real():
    ran = commands_named()
    assert {"plan_purge", "run_purge", "verify_purge", "policy_board", "report", "migrate", "setup_roles"} <= {
        words[0] for words in ran
    }
    for name, *words in ran:
        assert name in get_commands(), name
        known = options_of(parser_of(name))
        for word in words:
            if word.startswith("--"):
                assert word.split("=")[0] in known, f"{name} {word}"


def test_every_name_is_one_of_the_project():
    sources = "".join(
        path.read_text()
        for folder in ("access_control", "consent", "members", "retention", "config")
        for path in (ROOT / folder).rglob("*.py")
    )
    of_postgresql = {"pg_dump", "pg_restore"}
    named = {word for span in SPANS for word in re.findall(r"^[a-z]+(?:_[a-z]+)+", span)}
    assert [word for word in named - of_postgresql if word not in get_commands() and word not in sources] == []


def test_every_variable_is_in_the_example():
    named = {name for text in SHELL for name in re.findall(r"(?:^|\s|=)([A-Z][A-Z_]{2,})=", text)}
    named |= {name for text in SHELL for name in re.findall(r"\$\$?([A-Z][A-Z_]{2,})", text)}
    named |= {span.split("=")[0] for span in SPANS if re.fullmatch(r"[A-Z][A-Z]+(?:_[A-Z]+)+(?:=.*)?", span)}
    assert {"DATABASE_URL", "CONSOLE_JOURNAL", "CONSOLE_KEYRING", "CONSOLE_SIGNING_KEY"} <= named
    assert named - VARIABLES - NOT_OURS == set()


def test_every_module_and_file_that_is_run_or_linked_is_there():
    for text in SHELL:
        for module in re.findall(r"-m (config[.\w]*|gunicorn|pip)", text):
            assert find_spec(module), module
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (GUIDE.parent / target).exists(), target
    for span in SPANS:
        if re.fullmatch(r"[\w/]+/\w+\.py", span):
            assert (ROOT / span).exists(), span


def test_every_anchor_is_a_heading():
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).strip().replace(" ", "-")
        for line in TEXT.splitlines()
        if line.startswith("#")
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) - headings == set()


@pytest.mark.parametrize("source", [text for language, text in BLOCKS if language == "python"])
def test_the_python_in_it_is_python_and_imports_what_there_is(source):
    compile(source, "docs/operations.md", "exec")
    exec("\n".join(line for line in source.splitlines() if line.startswith(("import ", "from "))), {})


def units():
    """File name → the unit, for each block that is one."""
    found = {}
    for language, text in BLOCKS:
        if language == "ini" and text.startswith("# /etc/systemd/system/"):
            name = text.splitlines()[0].rsplit("/", 1)[1]
            unit = configparser.ConfigParser(interpolation=None, strict=False)
            unit.optionxform = str
            unit.read_string(text)
            found[name] = unit
    return found


def test_every_timer_has_its_service_and_its_zone():
    every = units()
    timers = [name for name in every if name.endswith(".timer")]
    assert len(timers) == 4
    for name in timers:
        assert name.replace(".timer", ".service") in every
        when = every[name]["Timer"]["OnCalendar"]
        assert when.endswith(" Asia/Tokyo") or when == "*-*-* *:15:00", when
    for name, unit in every.items():
        if name.endswith(".service"):
            started = shlex.split(unit["Service"]["ExecStart"])
            assert started[0] in {"/srv/console/.venv/bin/python", "/bin/sh", "/usr/local/sbin/console-purge"}
            # A single percent sign means something to systemd.
            assert "%" not in unit["Service"]["ExecStart"].replace("%%", "")


def test_every_line_of_cron_has_five_fields_a_user_and_no_bare_percent_sign():
    (table,) = [text for language, text in BLOCKS if language == "cron"]
    lines = [line for line in table.splitlines() if line and not re.match(r"[A-Z]+=", line)]
    assert len(lines) == 6
    for line in lines:
        *when, user, command = line.split(None, 6)
        assert all(re.fullmatch(r"\*|\d+", field) for field in when)
        assert user == "console"
        assert not re.search(r"(?<!\\)%", command)


def test_the_clock_names_the_role_that_manage_chooses():
    table = TEXT.split("## The clock")[1].split("###")[0]
    rows = re.findall(r"^\| [^|]+\| ([^|]+) \| ([a-z, ]+) \|", table, re.MULTILINE)
    told = {}
    for cell, roles in rows:
        names = [span.split()[0] for span in re.findall(r"`([^`]+)`", cell)]
        if names:
            told |= dict(zip(names, roles.split(", "), strict=True))
    assert len(told) == 7
    assert told == {name: ROLE_OF.get(name, "app") for name in told}


def test_each_status_is_told_for_each_scheduled_command():
    table = TEXT.split("### What a status means")[1].split("## Watching")[0]
    told = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert {"plan_purge", "approve_purge", "run_purge", "verify_purge", "policy_board", "report"} <= told


def test_every_reason_for_parking_is_explained_and_no_other():
    table = TEXT.split("### An item was parked")[1].split("###")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(Parked.Reason.values)


def test_every_finding_of_a_verification_is_explained_and_no_other():
    source = (ROOT / "retention" / "services" / "verifying.py").read_text()
    codes = set(re.findall(r'found\.add\("(\w+)"', source)) | set(re.findall(r'^ +\("(\w+)", ', source, re.MULTILINE))
    table = TEXT.split("### verify_purge failed")[1].split("###")[0]
    cells = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", table, re.MULTILINE)
    assert {code for cell in cells for code in re.findall(r"`(\w+)`", cell)} == codes
    assert len(codes) == 24


def test_the_ceilings_are_those_that_are_laid():
    fetches, destructions = re.search(r"1, (\d+), (\d+), clock_timestamp", TRIGGERS).groups()
    assert f"{int(destructions):,} destructions an hour" in TEXT
    assert f"{int(fetches):,} fetched subjects an hour" in TEXT
