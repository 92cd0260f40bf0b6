"""What ``make run`` stands on: the port, the children, the mail sink, the catalogues."""

import os
import smtplib
import socket
import sys
import time

import pytest

from config import messages, run


@pytest.fixture
def children():
    """Children of this test, all ended with it."""
    begun = run.Children(run.Signals(), dict(os.environ))
    yield begun
    begun.end()


def test_a_port_in_use_is_named_before_anything_starts(monkeypatch):
    with socket.create_server((run.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("PORT", str(port))
        with pytest.raises(run.RunError, match=f"Port {port} cannot be used"):
            run.chosen_port()


@pytest.mark.parametrize("text", ["http", "0", "65536", "-1", "8e3"])
def test_what_is_no_port_is_refused(monkeypatch, text):
    monkeypatch.setenv("PORT", text)
    with pytest.raises(run.RunError, match="1 to 65535"):
        run.chosen_port()


def test_a_child_that_ends_is_named_with_its_last_words(children):
    child, reader = children.begin("The baker", "-c", "import sys; sys.exit('no flour')", echo=True)
    child.process.wait()
    reader.join()
    with pytest.raises(run.RunError, match=r"The baker ended by itself with exit status 1\.\nno flour"):
        children.check()


def test_a_step_that_fails_is_named(children):
    with pytest.raises(run.RunError, match="The oven: failed with exit status 3"):
        children.carry_out("The oven", "-c", "raise SystemExit(3)")


def test_a_signal_ends_a_step_that_is_under_way(children):
    children.signals.received = True
    with pytest.raises(run.Stopped):
        children.carry_out("The dough", "-c", "import time; time.sleep(60)")
    [child] = children.living
    children.end()
    assert child.process.poll() is not None


def test_children_of_children_end_too_even_when_they_will_not(children, monkeypatch):
    monkeypatch.setattr(run, "STOP_PATIENCE", 0.5)
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    )
    code = f"import subprocess; subprocess.run([{sys.executable!r}, '-c', {stubborn!r}])"
    child, reader = children.begin("The mill", "-c", code, echo=True)
    while not child.lines:
        time.sleep(0.01)
    children.end()
    # The pipe is closed only when the last process that holds it has ended.
    reader.join(timeout=10)
    assert not reader.is_alive()


def test_the_mail_sink_takes_every_message():
    with run.mail_sink() as url:
        host, port = url.removeprefix("smtp://").split(":")
        with smtplib.SMTP(host, int(port)) as link:
            refused = link.sendmail("privacy@marketplace.example", ["hanako@example.jp"], b"Subject: x\r\n\r\nx")
    assert refused == {}


def test_a_catalogue_is_compiled_when_it_is_newer_and_only_then(tmp_path):
    source = tmp_path / "ja" / "LC_MESSAGES" / "django.po"
    source.parent.mkdir(parents=True)
    head = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n\n'
    source.write_text(head + 'msgid "Member"\nmsgstr "会員"\n')
    assert [messages.compile_messages(tmp_path), messages.compile_messages(tmp_path)] == [1, 0]
    assert "会員".encode() in source.with_suffix(".mo").read_bytes()
    source.write_text(head + 'msgid "Member"\nno catalogue\n')
    os.utime(source, (time.time() + 5, time.time() + 5))
    with pytest.raises(messages.MessagesError, match=r"django\.po, line"):
        messages.compile_messages(tmp_path)
