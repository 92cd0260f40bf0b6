"""``python -m config.run``: the whole console on this machine, until a signal ends it. ``make run`` calls it.

Every child has a process group of its own, so that one signal from the terminal reaches this process alone, and this
process ends the children, then the database, in that order. A signal only sets a mark that each wait looks at: an
exception out of a signal handler could fall between the birth of a child and its entry in the list.
"""

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from aiosmtpd.smtp import SMTP
from rich.console import Console
from rich.table import Table
from rich.text import Text

from config.embedded import EmbeddedServerError, default_server, running_for_this_process
from config.messages import MessagesError, compile_messages

PROJECT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
DEFAULT_PORT = 8000
DEMO_MEMBERS, DEMO_SEED = 2000, 1
# Seconds.
STEP = 0.1
SERVING_PATIENCE = 60
STOP_PATIENCE = 10
LINES_KEPT = 20

say = Console(stderr=True, highlight=False)


class RunError(Exception):
    """The console cannot run; the message says what, and the next step."""


class Stopped(Exception):
    """Somebody asked for the end."""


@dataclass
class Signals:
    """Whether a signal has asked for the end."""

    received: bool = False

    def watch(self) -> None:
        """From now on Ctrl-C, ``kill`` and a closed terminal are asked through ``pause``."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, *_: object) -> None:
        self.received = True

    def pause(self) -> None:
        """A short wait. Raises Stopped when a signal was received."""
        if self.received:
            raise Stopped
        time.sleep(STEP)


@dataclass
class Child:
    """A running child; ``lines`` are the last ones it wrote."""

    name: str
    process: subprocess.Popen[str]
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))

    def read(self, *, echo: bool) -> None:
        """Collect, and with ``echo`` pass on, what the child writes until it ends."""
        stream: IO[str] | None = self.process.stdout
        for line in stream or ():
            self.lines.append(line.rstrip("\n"))
            if echo:
                # The terminal may be gone already.
                with suppress(OSError):
                    sys.stderr.write(line)
                    sys.stderr.flush()


@dataclass
class Children:
    """The children of this run, in the order in which they were begun."""

    signals: Signals
    environment: dict[str, str]
    living: list[Child] = field(default_factory=list)

    def begin(self, name: str, *command: str, echo: bool) -> tuple[Child, threading.Thread]:
        """A Python child. With ``echo`` its errors are collected and passed on like its output."""
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=PROJECT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if echo else None,
            process_group=0,
            text=True,
            errors="replace",
        )
        child = Child(name, process)
        self.living.append(child)
        reader = threading.Thread(target=child.read, kwargs={"echo": echo}, daemon=True)
        reader.start()
        return child, reader

    def carry_out(self, name: str, *command: str) -> str:
        """Run a step to its end; the last line it printed. Raises RunError when it fails."""
        child, reader = self.begin(name, *command, echo=False)
        while child.process.poll() is None:
            self.signals.pause()
        self.living.remove(child)
        reader.join()
        if child.process.returncode:
            raise RunError(f"{name}: failed with exit status {child.process.returncode}. Its own words stand above.")
        return child.lines[-1] if child.lines else ""

    def check(self) -> None:
        """Raises RunError when a child has ended."""
        for child in self.living:
            if child.process.poll() is not None:
                # Its last words may still be on their way.
                time.sleep(STEP)
                words = "\n".join(["", *child.lines])
                raise RunError(f"{child.name} ended by itself with exit status {child.process.returncode}.{words}")

    def end(self) -> None:
        """No process of any child's group is left."""
        for number, patience in ((signal.SIGTERM, STOP_PATIENCE), (signal.SIGKILL, 1)):
            for child in self.living:
                with suppress(ProcessLookupError):
                    os.killpg(child.process.pid, number)
            deadline = time.monotonic() + patience
            while any(child.process.poll() is None for child in self.living) and time.monotonic() < deadline:
                time.sleep(STEP)


class Forgetting:
    """Takes every message and keeps none."""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """The message is accepted; nothing of it is stored or shown."""
        return "250 Accepted and forgotten"


@contextmanager
def mail_sink() -> Iterator[str]:
    """A mail server on this machine for as long as the block lasts; its URL."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(
        loop.create_server(lambda: SMTP(Forgetting(), hostname="localhost", loop=loop), HOST, 0)
    )
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"smtp://{HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()


def chosen_port() -> int:
    """``PORT``, or 8000. Raises RunError when it is no port, or taken."""
    text = os.environ.get("PORT") or str(DEFAULT_PORT)
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise RunError("PORT must be a number from 1 to 65535.")
    port = int(text)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise RunError(
                f"Port {port} cannot be used ({error.strerror}). Stop what uses it, or choose another one, "
                "for example: PORT=8001 make run"
            ) from None
    return port


def is_on(environment: dict[str, str], name: str) -> bool:
    """Whether the settings will read the variable as yes."""
    return environment.get(name, "").strip().lower() in {"1", "true", "yes", "on"}


def serves(port: int) -> bool:
    """Whether the console answers."""
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/")
        # 503: it serves, and says why it is closed.
        return connection.getresponse().status in {*range(500), 503}
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def tell(url: str, accounts: list[dict[str, str]]) -> None:
    """Print the address and the demo accounts on standard output."""
    out = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    out.print(Text.assemble("\nThe console: ", (url, "bold cyan")))
    if accounts:
        table = Table("role", "username", "password", title="Demo accounts", title_justify="left")
        for account in accounts:
            table.add_row(account["role"], account["username"], account["password"])
        out.print(table)
    out.print("Ctrl-C stops everything.")


@contextmanager
def step(name: str) -> Iterator[None]:
    """Say that the block is under way, and how long it took."""
    begun = time.monotonic()
    say.print(f"… {name}", style="dim")
    yield
    say.print(f"✓ {name} [dim]{time.monotonic() - begun:.1f} s[/dim]")


def run(signals: Signals) -> None:
    """Serve until a signal or the end of a child; then nothing that was started here is left."""
    port = chosen_port()
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment.setdefault("DEBUG", "1")
    environment.pop("CONSOLE_DB_ROLE", None)
    embedded = not environment.get("DATABASE_URL")
    environment.setdefault("DEMO", "1" if embedded else "0")
    with ExitStack() as stack:
        if embedded:
            with step("PostgreSQL"):
                stack.enter_context(running_for_this_process())
        if not environment.get("EMAIL_URL"):
            environment["EMAIL_URL"] = stack.enter_context(mail_sink())
        children = Children(signals, environment)
        stack.callback(children.end)
        with step("Roles and tables"):
            children.carry_out("config.prepare", "-m", "config.prepare")
        with step("Messages"):
            compile_messages()
        accounts = []
        if is_on(environment, "DEMO"):
            with step("Demo data"):
                size = ["--members", str(DEMO_MEMBERS), "--seed", str(DEMO_SEED)]
                answer = children.carry_out("load_demo", "manage.py", "load_demo", "--if-empty", *size, "--json")
                accounts = json.loads(answer)["accounts"]
        with step("Web server and worker"):
            children.begin("The worker", "manage.py", "procrastinate", "worker", echo=True)
            # The control socket would be a file under the home directory.
            gunicorn = ["-m", "gunicorn", "config.wsgi", "--bind", f"{HOST}:{port}", "--no-control-socket"]
            gunicorn += ["--worker-class", "gthread", "--workers", "2", "--threads", "4"]
            children.begin("The web server", *gunicorn, "--log-level", "warning", "--graceful-timeout", "3", echo=True)
            deadline = time.monotonic() + SERVING_PATIENCE
            while not serves(port):
                children.check()
                signals.pause()
                if time.monotonic() > deadline:
                    raise RunError(f"The web server does not answer within {SERVING_PATIENCE} s. See its words above.")
        tell(f"http://{HOST}:{port}/", accounts)
        while True:
            signals.pause()
            children.check()
            if embedded and not default_server().running():
                raise RunError("PostgreSQL ended by itself. See postgres.log under var/, then run again.")


def main() -> int:
    """Exit status: 0 after a signal, 1 when something failed."""
    signals = Signals()
    signals.watch()
    try:
        run(signals)
    except Stopped:
        with suppress(OSError):
            say.print("Stopped.")
    except (RunError, EmbeddedServerError, MessagesError) as error:
        say.print(Text(str(error), style="bold red"), soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
