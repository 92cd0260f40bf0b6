"""Mail: how a notice leaves, to whatever address is on file, and what a server's refusal means.

Old addresses of Japanese carriers have local parts that no standard allows (``ta..ro@``, ``taro.@``); they are alive,
and leave in quotes, as a server takes them. What no server can take is refused for this message alone.
"""

import contextlib
import dataclasses
import re
import smtplib
import uuid
from collections.abc import Sequence
from email.message import EmailMessage as Message
from email.policy import SMTP
from email.utils import formatdate

from django.conf import settings
from django.core import mail
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.smtp import EmailBackend

_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_QUOTED = re.compile(r'"([ !#-\[\]-~]|\\[ -~])+"')
_PRINTABLE = re.compile(r"[!-~]+")
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
_AGREED = frozenset({250, 251})
_GO_ON = 354
# Of these the server speaks to us, not about the message: who we are, and whether we may send at all.
_OUR_OWN_FAULT = frozenset({530, 534, 535, 538})


# The server had the message and did not answer, or not in a way that can be read: nobody knows whether it arrived.
NO_ANSWER = "no_answer"
# Nor of this one: whoever sent it died meanwhile.
INTERRUPTED = "Interrupted"


class NoMailServer(Exception):
    """EMAIL_URL names no server, so the message stays where it was."""


class NoServerBackend(BaseEmailBackend):
    """Refuses every message."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Raises NoMailServer."""
        raise NoMailServer("EMAIL_URL is not set.")


class NotMailable(Exception):
    """No server can take this address, now or later."""


class Undelivered(Exception):
    """No server has said that it took the message. ``final``: it is not sent again.

    ``code`` says why in a word, without the server's text.
    """

    def __init__(self, code: str, *, final: bool) -> None:
        super().__init__(code)
        self.code, self.final = code, final


@dataclasses.dataclass(frozen=True, repr=False)
class Letter:
    """One message to one address."""

    to: str
    subject: str
    body: str
    reply_to: str


def as_servers_take_it(address: str) -> str:
    """The address as it is written in SMTP and in headers: an odd local part in quotes, the domain in ASCII.

    Raises NotMailable, without the address.
    """
    local, _at, domain = address.strip().rpartition("@")
    try:
        domain = domain.encode("idna").decode()
    except UnicodeError:
        raise NotMailable from None
    if not _DOMAIN.fullmatch(domain):
        raise NotMailable
    if _DOT_ATOM.fullmatch(local) or _QUOTED.fullmatch(local):
        return f"{local}@{domain}"
    if not _PRINTABLE.fullmatch(local):
        raise NotMailable
    escaped = local.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"@{domain}'


def send(letter: Letter) -> None:
    """The server took the letter. Raises Undelivered."""
    try:
        address = as_servers_take_it(letter.to)
    except NotMailable:
        raise Undelivered("not_mailable", final=True) from None
    message = _message(letter, address)
    connection = mail.get_connection()
    try:
        if isinstance(connection, EmailBackend):
            _hand_over(connection, address, message)
        else:
            EmailMessage(letter.subject, letter.body, to=[address], headers=_headers(letter)).send()
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise Undelivered(type(error).__name__, final=False) from None


def _message(letter: Letter, address: str) -> bytes:
    """Headers and text. The address is written as it is: the standard library would take its quotes away."""
    message = Message(policy=SMTP)
    message["Subject"] = letter.subject
    message["From"] = settings.DEFAULT_FROM_EMAIL
    message["Date"] = formatdate()
    for name, value in _headers(letter).items():
        message[name] = value
    message.set_content(letter.body, cte="base64")
    return f"To: {address}\r\n".encode() + message.as_bytes()


def _headers(letter: Letter) -> dict[str, str]:
    own_domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].strip("> ")
    return {
        "Message-ID": f"<{uuid.uuid4().hex}@{own_domain}>",
        "Reply-To": letter.reply_to,
        # Nobody's holiday answer comes back (RFC 3834).
        "Auto-Submitted": "auto-generated",
    }


def _hand_over(connection: EmailBackend, address: str, message: bytes) -> None:
    """One connection for one letter, so that what the server says is about this one.

    Whatever breaks off once the message is on its way is final, else the member might get it twice.
    """
    connection.open()
    server = connection.connection
    assert server is not None
    try:
        server.ehlo_or_helo_if_needed()
        _require(server.mail(settings.DEFAULT_FROM_EMAIL)[0])
        _require(server.rcpt(address)[0])
        ready = server.docmd("DATA")[0]
        if ready != _GO_ON:
            raise _refused(ready)
        try:
            # A line that begins with a dot gets another one; a dot alone ends the message (RFC 5321, 4.5.2).
            server.send(re.sub(rb"(?m)^\.", b"..", message).rstrip(b"\r\n") + b"\r\n.\r\n")
            code, _text = server.getreply()
        except (smtplib.SMTPException, OSError):
            raise Undelivered(NO_ANSWER, final=True) from None
        if code not in _AGREED and not 400 <= code < 600:
            raise Undelivered(NO_ANSWER, final=True)
        _require(code)
    finally:
        # How the goodbye goes makes no difference to what was said before.
        with contextlib.suppress(smtplib.SMTPException, OSError):
            connection.close()


def _require(code: int) -> None:
    """The server agreed. Raises Undelivered."""
    if code not in _AGREED:
        raise _refused(code)


def _refused(code: int) -> Undelivered:
    """5xx about the message is final; 4xx, what is about us, and what is no answer, may pass."""
    return Undelivered(f"smtp_{code}", final=500 <= code < 600 and code not in _OUR_OWN_FAULT)
