"""The embedded server, for real: each test starts and stops PostgreSQL in a path with a space."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import environ
import psycopg
import pytest

from config.embedded import DATABASES, ROLES, EmbeddedServer, EmbeddedServerError, binary

PROJECT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def cluster():
    """A cluster that has been started once, in a path with a space."""
    with TemporaryDirectory(prefix="console cluster ") as name:
        server = EmbeddedServer(Path(name) / "var" / "postgres")
        server.start()
        yield server
        server.stop()


@pytest.fixture
def place():
    """An empty directory. pytest's own stand under one that each new session closes to the server's user again."""
    with TemporaryDirectory(prefix="console-cluster-") as name:
        yield Path(name)


@pytest.fixture
def server(cluster):
    """The cluster, stopped before and after the test."""
    cluster.stop()
    yield cluster
    cluster.stop()


@pytest.fixture
def untouched(place):
    """A server that has never been started."""
    server = EmbeddedServer(place / "postgres")
    yield server
    server.stop()


def process_id(server):
    return int((server.directory / "postmaster.pid").read_text().splitlines()[0])


def start_elsewhere(server, *more):
    """Another process that starts the server and then does ``more``."""
    path = repr(str(server.directory))
    lines = ["from pathlib import Path", "from config.embedded import EmbeddedServer"]
    code = "\n".join([*lines, f"server = EmbeddedServer(Path({path}))", *(more or ["print(server.start())"])])
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, stdin=pipe, stdout=pipe, text=True)


def test_a_started_server_lets_the_owner_into_both_databases(server):
    assert server.start() is True
    assert server.running()
    for database in DATABASES:
        with psycopg.connect(server.url(database, "owner")) as link:
            assert link.execute("SELECT current_user, current_database()").fetchone() == ("console_owner", database)


def test_starting_twice_starts_once(server):
    assert [server.start(), server.start()] == [True, False]


def test_the_server_is_durable_and_listens_on_a_private_socket_only(server):
    server.start()
    names = ("fsync", "full_page_writes", "listen_addresses", "TimeZone", "client_connection_check_interval")
    with psycopg.connect(server.url("console", "owner")) as link:
        found = [link.execute("SELECT current_setting(%s)", [name]).fetchone()[0] for name in names]
    assert found == ["on", "on", "", "UTC", "2s"]
    assert stat.S_IMODE(server.socket_directory.stat().st_mode) == 0o700


@pytest.mark.parametrize("user", ["postgres", "console_owner"])
def test_nobody_gets_in_without_the_password(server, user):
    server.start()
    for password in ("", "wrong"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(host=str(server.socket_directory), dbname="console", user=user, password=password)


def test_urls_are_for_django_environ_too(server):
    config = environ.Env.db_url_config(server.url("vault", "app"))
    assert config["NAME"] == "vault"
    assert config["USER"] == "console_app"
    assert config["OPTIONS"] == {"host": str(server.socket_directory)}
    assert " " in config["OPTIONS"]["host"]


def test_urls_and_passwords_stand_before_the_server_was_ever_started(untouched):
    urls = {untouched.url(database, role) for database in DATABASES for role in ROLES}
    assert len(urls) == len(DATABASES) * len(ROLES)
    assert urls == {untouched.url(database, role) for database in DATABASES for role in ROLES}
    assert stat.S_IMODE(untouched.passwords_file.stat().st_mode) == 0o600
    assert not untouched.running()


@pytest.mark.parametrize(("database", "role"), [("postgres", "owner"), ("console", "superuser")])
def test_an_unknown_database_or_role_has_no_url(server, database, role):
    with pytest.raises(EmbeddedServerError, match="There is no database"):
        server.url(database, role)


def test_processes_that_start_at_once_agree_on_one_server(untouched):
    starting = [start_elsewhere(untouched) for _ in range(3)]
    answers = sorted(process.communicate(timeout=60)[0].strip() for process in starting)
    assert answers == ["False", "False", "True"]
    assert untouched.running()


def test_a_killed_server_starts_again_with_its_data(server):
    server.start()
    with psycopg.connect(server.url("console", "owner"), autocommit=True) as link:
        link.execute("CREATE TABLE kept (number int)")
        busy = psycopg.connect(server.url("console", "owner"))
        busy.execute("SELECT 1")
        os.kill(process_id(server), signal.SIGKILL)
    busy.close()
    while server.running():
        time.sleep(0.01)
    assert server.start() is True
    with psycopg.connect(server.url("console", "owner"), autocommit=True) as link:
        link.execute("DROP TABLE kept")


def test_a_process_id_that_now_belongs_to_another_program_does_not_block_the_start(server):
    server.start()
    server.stop()
    lines = [os.getpid(), server.directory, 1, 5432, server.socket_directory, "", "0 0", "ready"]
    (server.directory / "postmaster.pid").write_text("".join(f"{line}\n" for line in lines))
    assert not server.running()
    assert server.start() is True


def test_a_first_start_that_was_killed_is_begun_again(untouched):
    partial = untouched.directory.with_name("postgres.partial")
    partial.mkdir()
    (partial / "PG_VERSION").write_text("18\n")
    assert untouched.start() is True
    assert not partial.exists()


def test_a_path_too_long_for_a_socket_gets_a_private_place_that_goes_with_the_server(place):
    server = EmbeddedServer(place / ("long " * 20) / "postgres")
    server.start()
    try:
        assert server.socket_directory.parent == Path("/tmp")
        assert stat.S_IMODE(server.socket_directory.stat().st_mode) == 0o700
        with psycopg.connect(server.url("console", "owner")) as link:
            link.execute("SELECT 1")
    finally:
        server.stop()
    assert not server.socket_directory.exists()


def test_a_socket_place_that_somebody_else_has_opened_is_refused(place):
    server = EmbeddedServer(place / ("long " * 20) / "postgres")
    server.socket_directory.mkdir()
    server.socket_directory.chmod(0o777)
    try:
        with pytest.raises(EmbeddedServerError, match="not a private directory"):
            server.start()
    finally:
        server.socket_directory.rmdir()


def test_passwords_that_are_gone_are_not_made_anew_for_a_cluster_that_stands(server):
    text = server.passwords_file.read_text()
    server.passwords_file.unlink()
    try:
        with pytest.raises(EmbeddedServerError, match="missing"):
            server.start()
        server.passwords_file.touch(mode=0o600)
        with pytest.raises(EmbeddedServerError, match="damaged"):
            server.url("console", "app")
        server.passwords_file.write_text(text)
        server.passwords_file.chmod(0o640)
        with pytest.raises(EmbeddedServerError, match="other users"):
            server.start()
    finally:
        server.passwords_file.write_text(text)
        server.passwords_file.chmod(0o600)
    assert server.start() is True


def test_a_directory_with_other_files_is_left_alone(untouched):
    untouched.directory.mkdir()
    (untouched.directory / "letter.txt").write_text("mine")
    with pytest.raises(EmbeddedServerError, match="no PostgreSQL cluster"):
        untouched.start()
    assert (untouched.directory / "letter.txt").read_text() == "mine"


def test_a_start_that_fails_tells_what_the_server_said(server):
    settings = server.directory / "postgresql.conf"
    text = settings.read_text()
    settings.write_text(f"{text}\nno_such_setting = 1\n")
    try:
        with pytest.raises(EmbeddedServerError, match="no_such_setting"):
            server.start()
    finally:
        settings.write_text(text)
    assert not server.running()


def test_the_last_of_several_commands_stops_the_server(server):
    with server.running_meanwhile():
        other = start_elsewhere(server, "with server.running_meanwhile():", "    print(1, flush=True)", "    input()")
        assert other.stdout.readline() == "1\n"
    assert server.running()
    other.communicate("\n", timeout=60)
    assert not server.running()


def test_a_command_leaves_a_server_alone_that_was_started_to_stay(server):
    server.start()
    with server.running_meanwhile():
        pass
    assert server.running()


def test_a_block_that_fails_stops_the_server_too(server):
    with pytest.raises(LookupError), server.running_meanwhile():
        raise LookupError
    assert not server.running()


def test_an_error_of_the_database_puts_no_value_into_the_log(server):
    server.start()
    with psycopg.connect(server.url("console", "owner"), autocommit=True) as link:
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            link.execute("SELECT 'hanako@example.jp' || 'x'::int")
        link.execute("CREATE TEMP TABLE t (v text CHECK (v = ''))")
        with pytest.raises(psycopg.errors.CheckViolation):
            link.execute("INSERT INTO t VALUES ('hanako@example.jp')")
    assert "hanako" not in server.directory.with_name("postgres.log").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the cluster to another user")
def test_directories_above_the_cluster_can_be_passed_through_and_not_listed(place):
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    server = EmbeddedServer(closed / "postgres")
    server.start()
    server.stop()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o701
    assert stat.S_IMODE(server.directory.stat().st_mode) == 0o700
    assert server.directory.stat().st_uid != 0


def test_the_programs_of_the_wheel_are_found_and_others_are_not():
    answer = subprocess.run([binary("pg_dump"), "--version"], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith("pg_dump (PostgreSQL) 18")
    with pytest.raises(EmbeddedServerError, match="not installed"):
        binary("pg_nothing")
