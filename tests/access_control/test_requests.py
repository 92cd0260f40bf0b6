"""Number 22: whose address the ledger names, what is refused before it is read, and headers on every answer."""

import io
import tempfile

import pytest
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.urls import reverse

from access_control.addresses import client_address, trusted_proxies
from access_control.models import LedgerEvent

TRUSTED = trusted_proxies(["10.0.0.0/8", "192.0.2.7", "2001:db8:1::/48"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        # No proxy: whatever it says of others is not believed.
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("127.0.0.1", "198.51.100.1", "127.0.0.1"),
        # One proxy, several proxies, and what the caller wrote before them.
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        ("192.0.2.7", "1.1.1.1,10.9.9.9 , 203.0.113.9,10.0.0.4,  192.0.2.7", "203.0.113.9"),
        ("2001:db8:1::5", "2001:db8:2::9", "2001:db8:2::9"),
        # All are proxies: the farthest called by itself.
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", " , ", "10.0.0.1"),
        # Ports, brackets, quotation marks, zones, IPv4 inside IPv6.
        ("10.0.0.1", "203.0.113.9:51234", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8::9]:443", "2001:db8::9"),
        ("10.0.0.1", "[2001:db8::9]", "2001:db8::9"),
        ("10.0.0.1", '"[2001:DB8:0::9]:443"', "2001:db8::9"),
        ("10.0.0.1", "fe80::1%eth0", "fe80::1"),
        ("::ffff:10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.1.1.1, ::ffff:10.0.0.2", "1.1.1.1"),
        # What is no address ends what is believed: the caller's own words stand left of it.
        ("10.0.0.1", "203.0.113.9, unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, , 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "203.0.113.9, 999.1.1.1, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "203.0.113.9:x", "10.0.0.1"),
        ("10.0.0.1", "[2001:db8::9", "10.0.0.1"),
        ("10.0.0.1", "2001:db8::9::1", "10.0.0.1"),
        ("10.0.0.1", "<script>", "10.0.0.1"),
        # A local socket has no address.
        ("", "203.0.113.9", None),
        ("@", "203.0.113.9", None),
    ],
)
def test_the_caller_is_the_right_most_address_that_is_no_trusted_proxy(peer, forwarded, address):
    assert client_address(peer, forwarded, trusted=TRUSTED) == address


def test_a_trusted_local_socket_is_believed():
    trusted = trusted_proxies([" unix ", "", "10.0.0.1"])
    assert client_address("", "1.1.1.1, 203.0.113.9, 10.0.0.1", trusted=trusted) == "203.0.113.9"


def test_networks_may_be_written_as_ipv4_inside_ipv6():
    trusted = trusted_proxies(["::ffff:10.0.0.0/104"])
    assert client_address("10.1.2.3", "203.0.113.9", trusted=trusted) == "203.0.113.9"


def test_a_ledger_row_carries_the_callers_address_and_not_the_proxys(client, agent, settings):
    settings.TRUSTED_PROXIES = trusted_proxies(["127.0.0.1"])
    client.force_login(agent)
    find = reverse("admin:members_member_find")
    client.post(find, {"identifier": "nobody-here"}, headers={"X-Forwarded-For": "9.9.9.9, 203.0.113.9:1234"})
    settings.TRUSTED_PROXIES = trusted_proxies([])
    client.post(find, {"identifier": "nobody-here"}, headers={"X-Forwarded-For": "203.0.113.9"})
    found = LedgerEvent.objects.filter(event="member:found").order_by("sequence")
    assert list(found.values_list("address", flat=True)) == ["203.0.113.9", "127.0.0.1"]


def test_every_answer_has_the_headers_of_every_answer(client, agent):
    static = client.get("/static/console/frame.css")
    assert static.status_code == 200
    broken_host = client.get("/", headers={"host": "evil.example"})
    assert broken_host.status_code == 400
    not_found, signing_in = client.get("/no-such-page/"), client.get(reverse("admin:login"))
    client.force_login(agent)
    answers = [static, broken_host, not_found, signing_in, client.get(reverse("admin:index"))]
    answers.append(client.post(reverse("admin:login"), b"x", content_type="text/plain; charset=utf-7"))
    for answer in answers:
        assert "camera=()" in answer["Permissions-Policy"]
        assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer["X-Content-Type-Options"] == "nosniff"


# The body limit


class Untouched(io.RawIOBase):
    """A body of which nothing may be read."""

    def read(self, *_):
        raise AssertionError("the body was read")

    readline = readinto = read


def answered(body, **environ):
    """(status, page) of a POST with ``body``, straight to the WSGI handler."""
    said = []
    full = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": reverse("admin:login"),
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "HTTP_ACCEPT_LANGUAGE": "en",
        "wsgi.url_scheme": "http",
        "wsgi.input": body,
        "wsgi.errors": io.StringIO(),
        **environ,
    }
    page = b"".join(WSGIHandler()(full, lambda status, headers, *_: said.append(status)))
    return int(said[0].split()[0]), page.decode()


@pytest.mark.parametrize("length", ["1048577", "99999999999999999999", "9" * 5_000])
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"])
def test_a_body_over_the_limit_is_refused_unread(length, kind):
    status, page = answered(Untouched(), CONTENT_LENGTH=length, CONTENT_TYPE=kind)
    assert status == 413
    assert "larger than any form" in page


@pytest.mark.parametrize("length", ["-1", "1e3", "٣", "+5", "0x10"])
def test_a_length_that_is_none_is_refused_unread(length):
    assert answered(Untouched(), CONTENT_LENGTH=length)[0] == 400


def test_a_body_without_an_announced_length_is_read_up_to_the_limit_only():
    body = io.BytesIO(b"x" * 5_000_000)
    assert answered(body, HTTP_TRANSFER_ENCODING="chunked", **{"wsgi.input_terminated": True})[0] == 413
    assert body.tell() == settings.REQUEST_BODY_MAX_BYTES + 1
    small = answered(io.BytesIO(b"username=x"), HTTP_TRANSFER_ENCODING="chunked", **{"wsgi.input_terminated": True})
    assert small[0] == 403  # read, and refused for its missing token
    # A server that does not end such a body: nothing of it is read at all.
    assert answered(Untouched(), HTTP_TRANSFER_ENCODING="chunked")[0] == 403


def test_what_is_uploaded_never_reaches_the_disk(client, agent, monkeypatch):
    def touched(*_, **__):
        raise AssertionError("a temporary file was made")

    for maker in ("NamedTemporaryFile", "TemporaryFile", "SpooledTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, maker, touched)
    client.force_login(agent)
    file = io.BytesIO(b"x" * 900_000)
    file.name = "x.csv"
    assert client.post(reverse("admin:members_member_find"), {"identifier": "nobody", "f": file}).status_code == 200
    file.seek(0)
    large = io.BytesIO(b"x" * 1_100_000)
    large.name = "x.csv"
    assert client.post(reverse("admin:members_member_find"), {"identifier": "nobody", "f": large}).status_code == 413
