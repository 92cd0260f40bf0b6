"""A run in a process of its own, watched, and killed (SIGKILL) at the n-th thing it does.

What it does is said by the code: every named point of ``retention.points`` and every SQL statement on both databases.
"""

import contextlib
import os
import signal
import time
import traceback

from django.db import DatabaseError, connections

from retention import points
from retention.services.purging import run_plan
from tests.databases import become


class Watched:
    """Counts what happens; writes each thing to ``pipe`` and kills the process at ``kill_at``: a count, a named point,
    or never (None).
    """

    def __init__(self, pipe, kill_at):
        self.pipe, self.kill_at, self.count = pipe, kill_at, 0

    def happens(self, what):
        self.count += 1
        os.write(self.pipe, (what + "\n").encode())
        if (self.kill_at is not None and what == f"point {self.kill_at}") or self.count == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def statement(self, execute, sql, params, many, context):
        self.happens(f"{context['connection'].alias}: {' '.join(sql.split())[:60]}")
        return execute(sql, params, many, context)


def started(work):
    """``work(pipe)`` in a forked process: its id, and a file of what it writes."""
    connections.close_all()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        status = 70
        try:
            work(writing)
            status = 0
        except BaseException:  # noqa: BLE001
            os.write(writing, traceback.format_exc().encode())
        finally:
            os._exit(status)
    os.close(writing)
    return child, os.fdopen(reading)


def in_a_child(work):
    """Run ``work(pipe)`` in a forked process; returns (what it wrote, exit status; negative: killed by that signal)."""
    child, said = started(work)
    with said:
        lines = said.read().splitlines()
    _pid, status = os.waitpid(child, 0)
    return lines, os.waitstatus_to_exitcode(status)


def run_and_kill(plan, *, at=None):
    """The run of a plan as the purger, killed ``at`` an act (count or Point); returns (what it did, exit status)."""

    def work(pipe):
        watched = Watched(pipe, at)
        with contextlib.ExitStack() as stack:
            for alias in ("default", "vault"):
                stack.enter_context(connections[alias].execute_wrapper(watched.statement))
            points.watch = lambda point: watched.happens(f"point {point}")
            run_plan(plan)

    become("purger")
    try:
        return in_a_child(work)
    finally:
        become("app")
        nobody_purges()


def nobody_purges(patience=20):
    """Returns when PostgreSQL has noticed that the killed process is gone."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        with connections["default"].cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE '%%\\_purger' AND datname = ANY (%s)",
                [[connection.settings_dict["NAME"] for connection in connections.all()]],
            )
            if not cursor.fetchone()[0]:
                return
    raise TimeoutError("a session of the purger does not end")


class Cut(Watched):
    """Ends the console connection of the watched process at the n-th thing it does, or at a named point, and waits
    there until ``gate`` opens; the process goes on, and does not know.
    """

    def __init__(self, pipe, cut_at, gate):
        super().__init__(pipe, None)
        self.cut_at, self.gate = cut_at, gate

    def happens(self, what):
        super().happens(what)
        if self.cut_at in (self.count, what):
            _end_console_session()
            os.write(self.pipe, b"cut\n")
            os.read(self.gate, 1)

    def statement(self, execute, sql, params, many, context):
        answer = super().statement(execute, sql, params, many, context)
        if sql == "SELECT 1":
            # What follows is the vault's commit, which no wrapper sees.
            self.happens("answered")
        return answer


def _end_console_session():
    """As an operator would, with another session of the same role; returns when the session is gone."""
    import psycopg

    database = connections["default"].settings_dict
    pid = connections["default"].connection.info.backend_pid
    with psycopg.connect(
        host=database["HOST"],
        port=database["PORT"] or None,
        dbname=database["NAME"],
        user=database["USER"],
        password=database["PASSWORD"],
        autocommit=True,
    ) as link:
        assert link.execute("SELECT pg_terminate_backend(%s, 20000)", [pid]).fetchone()[0]


def run_and_cut(plan, *, at, meanwhile, change=lambda: None):
    """The run of a plan as the purger, its console connection ended ``at`` an act, when ``meanwhile()`` is called here.

    ``meanwhile`` returns when everything that it started is over or waits for a lock. ``change`` is called in the
    purger's process first. Returns what the run did.
    """
    gate, opener = os.pipe()

    def work(pipe):
        change()
        watched = Cut(pipe, at, gate)
        with contextlib.ExitStack() as stack:
            for alias in ("default", "vault"):
                stack.enter_context(connections[alias].execute_wrapper(watched.statement))
            points.watch = lambda point: watched.happens(f"point {point}")
            try:
                run_plan(plan)
            except DatabaseError:
                watched.happens("failed")

    become("purger")
    try:
        child, said = started(work)
        become("app")
        acts = []
        for line in said:
            acts.append(line.strip())
            if line == "cut\n":
                meanwhile()
                os.write(opener, b"x")
        said.close()
        _pid, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0, acts[-20:]
        return acts
    finally:
        os.close(gate)
        os.close(opener)
        become("app")
        nobody_purges()
