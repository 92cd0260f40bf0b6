"""PostgreSQL from a wheel: one cluster under ``var/``, for the demo and for development.

Only the programs of the wheel are used. Its Python keeps every login open and makes every directory above the data
readable for everybody; here nobody gets in without a password (SCRAM, over a socket in a private directory), and for
the sake of a server that root starts, but that may not run as root, directories above the data can be passed through,
never listed.

What could go wrong, and why it does not:

* Two processes start at once: each step happens under one file lock.
* The first start is killed: the cluster is made beside its place and renamed into it when roles and databases exist.
* The server was killed, or the machine: ``postmaster.pid`` is believed only while its process is a PostgreSQL that
  works in this very directory; what is left of a killed server is ended before the file is removed.
* A command ends while another still works: the last one that uses a server started by a command stops it.
"""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil  # type: ignore[import-untyped]

from config.cluster import (
    DATABASES,
    VERSION,
    Account,
    EmbeddedServerError,
    account_for,
    binary,
    let_through,
    make_cluster,
    run_as,
)

__all__ = [
    "DATABASES",
    "ROLES",
    "EmbeddedServer",
    "EmbeddedServerError",
    "binary",
    "default_server",
    "running_for_this_process",
]

ROLES = ("owner", "app", "purger", "reader")

SOCKET_NAME = ".s.PGSQL.5432"
# Bytes in the path of a Unix socket: Linux takes 107, macOS 103.
SOCKET_PATH_LIMIT = 103
# Seconds. Recovery after a crash may have to replay a good deal before the server is ready.
START_PATIENCE = 120
STOP_PATIENCE = 30
ORPHAN_PATIENCE = 5

# The log is a clear-text file under var/: it gets neither statements nor the details of an error, which quote rows.
SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A statement whose client has died must not keep its locks.
    "client_connection_check_interval": "2s",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
}


@dataclass(frozen=True)
class EmbeddedServer:
    """One PostgreSQL cluster in ``directory``; its passwords, lock and log are files beside it."""

    directory: Path

    @property
    def passwords_file(self) -> Path:
        """The only copy of the passwords, mode 600."""
        return self._beside("-passwords.json")

    @property
    def socket_directory(self) -> Path:
        """The cluster's own directory, or a private one under /tmp when a client could not connect to that path.

        The name depends on the path alone, and not on TMPDIR, so that every process finds the same place. A comma
        would part the path into two hosts.
        """
        inside = self.directory.resolve()
        if len(os.fsencode(inside / SOCKET_NAME)) <= SOCKET_PATH_LIMIT and "," not in str(inside):
            return inside
        return Path("/tmp") / f"console-postgres-{hashlib.sha256(os.fsencode(inside)).hexdigest()[:16]}"  # noqa: S108

    def url(self, database: str, role: str) -> str:
        """The URL of ``database`` for ``role``, for libpq and for django-environ; the server need not be running.

        The socket directory is the parameter ``host``, since django-environ takes an encoded path in the host's
        place for a name and folds its letters. Raises EmbeddedServerError when there is no such database or role.
        """
        if database not in DATABASES or role not in ROLES:
            raise EmbeddedServerError(
                f"There is no database {database!r} for a role {role!r}. "
                f"Databases are {', '.join(DATABASES)}; roles are {', '.join(ROLES)}."
            )
        password = quote(self._passwords()[role], safe="")
        return f"postgres://console_{role}:{password}@/{database}?host={quote(str(self.socket_directory), safe='')}"

    def running(self) -> bool:
        """Whether the server takes connections."""
        return self._postmaster() is not None and self._state_lines()[7:8] == ["ready"]

    def start(self) -> bool:
        """The server runs until ``stop``, made first if need be. True when this call started it."""
        with self._locked():
            with self._users() as users:
                os.ftruncate(users, 0)
            return self._start()

    def stop(self) -> None:
        """No process of the cluster is left, whoever was connected."""
        with self._locked():
            self._stop()

    @contextmanager
    def running_meanwhile(self) -> Iterator[None]:
        """The server runs inside the block. Started by such a block, it ends with the last one, in any process."""
        with self._users() as users:
            fcntl.flock(users, fcntl.LOCK_SH)
            try:
                with self._locked():
                    if not self._postmaster():
                        # Written before the start, so that an interrupted start is stopped as well.
                        os.pwrite(users, b"until the last user leaves\n", 0)
                        self._start()
                yield
            finally:
                with self._locked(), suppress(BlockingIOError):
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if os.fstat(users).st_size:
                        self._stop()

    # Files beside the cluster.

    def _beside(self, suffix: str) -> Path:
        return self.directory.with_name(self.directory.name + suffix)

    @contextmanager
    def _opened(self, suffix: str, flags: int) -> Iterator[int]:
        path = self._beside(suffix)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(path, flags | os.O_CREAT, 0o600)
        except OSError as error:
            raise EmbeddedServerError(
                f"{path} cannot be written ({error.strerror}). Run as the user who owns {path.parent}."
            ) from error
        try:
            yield file
        finally:
            os.close(file)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._opened(".lock", os.O_RDWR) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _users(self) -> Iterator[int]:
        with self._opened(".users", os.O_RDWR) as file:
            yield file

    def _passwords(self) -> dict[str, str]:
        path = self.passwords_file
        try:
            if not path.exists() and not self._exists():
                made = {account: secrets.token_urlsafe(32) for account in ("superuser", *ROLES)}
                _write_once(path, json.dumps(made, indent=1) + "\n")
            mode = path.stat().st_mode
            text = path.read_text()
        except FileNotFoundError:
            raise EmbeddedServerError(
                f"{path} is missing, and nobody can log in to the cluster in {self.directory} without it. "
                f"Put the file back; or, to begin again without the cluster's data, delete {self.directory}."
            ) from None
        except OSError as error:
            raise EmbeddedServerError(
                f"{path} cannot be used ({error.strerror}). Run as the user who owns {path.parent}."
            ) from error
        if mode & 0o077:
            raise EmbeddedServerError(f"{path} can be read by other users. Run `chmod 600` on it.")
        try:
            passwords = json.loads(text)
            return {account: str(passwords[account]) for account in ("superuser", *ROLES)}
        except (ValueError, KeyError, TypeError):
            raise EmbeddedServerError(
                f"{path} is damaged. Put an intact copy back; or, to begin again without the cluster's data, "
                f"delete it together with {self.directory}."
            ) from None

    # The processes.

    def _exists(self) -> bool:
        return (self.directory / "PG_VERSION").exists()

    def _state_lines(self) -> list[str]:
        """``postmaster.pid``: process id first, state in the eighth line; empty when there is none."""
        try:
            return [line.strip() for line in (self.directory / "postmaster.pid").read_text().splitlines()]
        except FileNotFoundError:
            return []
        except PermissionError:
            raise EmbeddedServerError(
                f"The cluster in {self.directory} belongs to another user. Run as that user or as root; or set "
                "CONSOLE_VAR_DIR to a directory of your own."
            ) from None

    def _works_here(self, process: Any) -> bool:
        """Whether ``process`` is a living PostgreSQL of this cluster: each of them works in the data directory."""
        try:
            if process.name() != "postgres" or process.status() == psutil.STATUS_ZOMBIE:
                return False
            return bool(process.cwd() == str(self.directory.resolve()))
        except psutil.Error:
            return False

    def _postmaster(self) -> Any:
        """The server's first process (``psutil.Process``), or None."""
        first = self._state_lines()[:1]
        if not first or not first[0].isdecimal():
            return None
        try:
            process = psutil.Process(int(first[0]))
        except psutil.Error:
            return None
        return process if self._works_here(process) else None

    def _start(self) -> bool:
        if self._postmaster():
            return False
        passwords = self._passwords()
        if not self._exists():
            make_cluster(self.directory, passwords)
        version = (self.directory / "PG_VERSION").read_text().strip()
        if version != VERSION:
            raise EmbeddedServerError(
                f"The cluster in {self.directory} is of PostgreSQL {version}, and the installed programs are of "
                f"{VERSION}. Move it away to begin again, or dump it with the programs it was made with."
            )
        account = account_for(self.directory)
        if account:
            let_through(self.directory, account)
            let_through(binary("postgres"), account)
        self._clear_away_remains()
        self._make_socket_directory(account)
        with self._opened(".log", os.O_WRONLY | os.O_APPEND) as log:
            begun = os.fstat(log).st_size
            # The shell leaves at once, so that the server is nobody's child and outlives whoever started it.
            shell = subprocess.run(
                ["/bin/sh", "-c", '"$@" >&2 & echo $!', "sh", *self._command()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                check=True,
                **run_as(account),
            )
        self._await(int(shell.stdout), begun)
        return True

    def _command(self) -> list[str]:
        sockets = str(self.socket_directory).replace('"', '""')
        settings = {**SETTINGS, "unix_socket_directories": f'"{sockets}"'}
        options = [f"-c{name}={value}" for name, value in settings.items()]
        return [str(binary("postgres")), "-D", str(self.directory.resolve()), *options]

    def _await(self, process_id: int, begun: int) -> None:
        """The server is ready; or its process is gone, and the log from byte ``begun`` on tells why."""
        deadline = time.monotonic() + START_PATIENCE
        try:
            while not self.running():
                if not _lives(process_id) or time.monotonic() > deadline:
                    raise EmbeddedServerError(
                        f"PostgreSQL did not start in {self.directory}: {self._last_lines(begun)}. "
                        f"See {self._beside('.log')}, correct the cause and start again."
                    )
                time.sleep(0.02)
        except BaseException:
            # An interrupt too must not leave a server behind that has not written its postmaster.pid yet.
            with suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGTERM)
            raise

    def _last_lines(self, begun: int) -> str:
        with self._beside(".log").open("rb") as log:
            log.seek(begun)
            lines = log.read().decode(errors="replace").strip().splitlines()
        return " / ".join(lines[-3:]) or "the log gives no reason"

    def _clear_away_remains(self) -> None:
        """No process of a killed server is left, nor a file that a new one would take for a living server's."""
        orphans = [process for process in psutil.process_iter() if self._works_here(process)]
        for process in self._outlasting(orphans, ORPHAN_PATIENCE):
            process.kill()
        self._outlasting(orphans, ORPHAN_PATIENCE)
        for path in (self.directory / "postmaster.pid", self.socket_directory / SOCKET_NAME):
            path.unlink(missing_ok=True)
        (self.socket_directory / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)

    def _stop(self) -> None:
        process = self._postmaster()
        if process is None:
            return
        # Fast: sessions are ended and everything is written. Immediate: the next start recovers. Then by force.
        for number, patience in ((signal.SIGINT, STOP_PATIENCE), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
            if not self._outlasting([process], patience):
                break
        else:
            raise EmbeddedServerError(f"PostgreSQL in {self.directory} (process {process.pid}) does not end. Kill it.")
        if self.socket_directory != self.directory.resolve():
            shutil.rmtree(self.socket_directory, ignore_errors=True)

    def _outlasting(self, processes: list[Any], patience: float) -> list[Any]:
        """Those of ``processes`` that still live after at most ``patience`` seconds."""
        deadline = time.monotonic() + patience
        while any(self._works_here(process) for process in processes) and time.monotonic() < deadline:
            time.sleep(0.02)
        return [process for process in processes if self._works_here(process)]

    def _make_socket_directory(self, account: Account) -> None:
        path = self.socket_directory
        if path == self.directory.resolve():
            return
        user, group = account or (os.geteuid(), os.getegid())
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
            os.chown(path, user, group)
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != user or status.st_mode & 0o077:
            raise EmbeddedServerError(f"{path} is not a private directory of the server. Remove it and start again.")


def default_server() -> EmbeddedServer:
    """The cluster in ``postgres`` under ``CONSOLE_VAR_DIR``, or under the project's ``var``."""
    project = Path(__file__).resolve().parent.parent
    return EmbeddedServer(Path(os.environ.get("CONSOLE_VAR_DIR") or project / "var") / "postgres")


@contextmanager
def running_for_this_process() -> Iterator[None]:
    """The default server runs inside the block; see ``EmbeddedServer.running_meanwhile``."""
    with default_server().running_meanwhile():
        yield


def _write_once(path: Path, text: str) -> None:
    """``path`` holds the text of exactly one writer, whole, mode 600; a file that is there already stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()


def _lives(process_id: int) -> bool:
    """Whether the process is there and is more than an entry that nobody has reaped."""
    try:
        return bool(psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
