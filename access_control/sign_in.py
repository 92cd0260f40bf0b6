"""Sign-in that slows guesses: by account and by address, on django-axes' table, lock-out page and middleware.

Two things differ from django-axes' own handler. A try is counted *before* the password is judged, under a lock, so that
many guesses at once are no more than many in a row; the right password gives the count back, to the account and to the
address it was typed at. What was wrong at other addresses stays theirs: no success of others opens an address, nor does
unlocking an account. And of what was typed
nothing is kept but the name of an account: any other name, which may be a password, is kept as a keyed hash, and no
other field of the form or header of the request is kept at all. Every moment is the database's.
"""

import dataclasses
import datetime
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from access_control import policies
from access_control.codes import Reason, SubjectKind
from access_control.events import Event
from access_control.ledger import acting
from access_control.models import LedgerEvent, Staff
from access_control.requests import current_request
from access_control.roles import AGREES

# Wrong passwords after which an account is locked, from wherever they came.
ACCOUNT_TRIES = 5
# Wrong passwords after which an address is locked, for whatever names; a company may share one address.
ADDRESS_TRIES = 20
LOCK_LASTS = datetime.timedelta(minutes=15)
# A command has no address. This one belongs to nobody, and is never locked.
NO_ADDRESS = "0.0.0.0"  # noqa: S104
# What an address has tried under names that are forgiven. No account has this name, and no hash is written so.
NO_NAME = "-"
# How often an account, or an address, is unlocked within a day: each time is a few more guesses for whoever guesses.
UNLOCKS_A_DAY = 3
UNLOCK_WINDOW = datetime.timedelta(days=1)
# Name spaces of PostgreSQL's advisory locks; a name is always locked before an address.
_LOCK_NAME, _LOCK_ADDRESS = 1701, 1702


class Locked(PermissionDenied):
    """Account or address is locked, whatever the password; ``until`` says how long."""

    def __init__(self, until: datetime.datetime) -> None:
        super().__init__("sign-in is locked")
        self.until = until


class UnlockedTooOften(Exception):
    """It was unlocked ``UNLOCKS_A_DAY`` times within a day. ``str()`` says what to do instead."""

    def __str__(self) -> str:
        return str(
            _(
                "This was unlocked three times within a day already. Somebody may be guessing: tell the privacy"
                " officer. It opens by itself after 15 minutes; a forgotten password is set anew by a one-time link."
            )
        )


@dataclasses.dataclass(frozen=True)
class Try:
    """One try to sign in: the how manieth it is since the last success, for the account and for the address."""

    name: str
    of_account: int
    of_address: int
    locked_until: datetime.datetime | None = None

    @property
    def is_last(self) -> bool:
        """Whether the account or the address is locked when this try fails."""
        return self.of_account >= ACCOUNT_TRIES or self.of_address >= ADDRESS_TRIES

    @property
    def locks_account(self) -> bool:
        """Whether it is this try that locks the account, rather than one beside it."""
        return self.of_account == ACCOUNT_TRIES

    @property
    def locks_address(self) -> bool:
        """Whether it is this try that locks the address."""
        return self.of_address == ADDRESS_TRIES


def kept_name(username: str) -> str:
    """What is kept of a name that was typed: the name of an account, or a keyed hash."""
    if Staff.objects.filter(username=username).exists():
        return username
    return "?" + salted_hmac("access_control.sign_in", username, algorithm="sha256").hexdigest()


def client_address(request: HttpRequest | None = None) -> str:
    """The address that the ledger records too."""
    return current_request().address or NO_ADDRESS


def claim_try(username: str) -> Try:
    """Count one try as failed, before it is judged; or say until when no try is allowed, counting nothing."""
    name, address = kept_name(username), client_address()
    with transaction.atomic(), connection.cursor() as cursor:
        _one_at_a_time(_LOCK_NAME, name)
        _one_at_a_time(_LOCK_ADDRESS, address)
        until, of_account, of_address = _failures(cursor, name, address)
        if of_account >= ACCOUNT_TRIES or of_address >= ADDRESS_TRIES:
            return Try(name, of_account, of_address, until)
        cursor.execute(
            """
            INSERT INTO axes_accessattempt AS kept (username, ip_address, user_agent, http_accept, path_info, get_data,
                                                    post_data, failures_since_start, attempt_time)
            VALUES (%(name)s, %(address)s, '', '', '', '', '', 1, clock_timestamp())
                ON CONFLICT (username, ip_address, user_agent) DO UPDATE
               SET failures_since_start = kept.failures_since_start + 1, attempt_time = clock_timestamp()
            """,
            {"name": name, "address": address},
        )
        return Try(name, of_account + 1, of_address + 1)


def _failures(cursor: Any, name: str, address: str) -> tuple[datetime.datetime | None, int, int]:
    """Until when, and how many failures of the account and of the address count now; older ones are forgotten."""
    cursor.execute(
        """
        DELETE FROM axes_accessattempt WHERE id IN (
          SELECT id FROM axes_accessattempt WHERE attempt_time <= clock_timestamp() - %s FOR UPDATE SKIP LOCKED)
        """,
        [LOCK_LASTS],
    )
    cursor.execute(
        """
        SELECT max(attempt_time) + %(lasts)s,
               coalesce(sum(failures_since_start) FILTER (WHERE username = %(name)s), 0),
               coalesce(sum(failures_since_start) FILTER (WHERE ip_address = %(address)s
                                                            AND ip_address <> %(nowhere)s), 0)
          FROM axes_accessattempt
         WHERE attempt_time > clock_timestamp() - %(lasts)s AND (username = %(name)s OR ip_address = %(address)s)
        """,
        {"name": name, "address": address, "nowhere": NO_ADDRESS, "lasts": LOCK_LASTS},
    )
    until, of_account, of_address = cursor.fetchone()
    return until, int(of_account), int(of_address)


# Some tries are forgiven; what must be kept of them is kept under another name, or another address.
_SET_ASIDE = """
WITH forgiven AS (DELETE FROM axes_accessattempt WHERE {forgiven} RETURNING *)
INSERT INTO axes_accessattempt AS kept (username, ip_address, user_agent, http_accept, path_info, get_data,
                                        post_data, failures_since_start, attempt_time)
SELECT {name}, {address}, '', '', '', '', '', sum(failures_since_start), max(attempt_time)
  FROM forgiven WHERE {kept} GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (username, ip_address, user_agent) DO UPDATE
   SET failures_since_start = kept.failures_since_start + EXCLUDED.failures_since_start,
       attempt_time = greatest(kept.attempt_time, EXCLUDED.attempt_time)
"""


def forgive(name: str, *, here: str = NO_ADDRESS) -> None:
    """Forget the failures of an account. Every address but ``here`` keeps what it has tried."""
    sql = _SET_ASIDE.format(
        forgiven="username = %(name)s",
        name=f"'{NO_NAME}'",
        address="ip_address",
        kept=f"ip_address NOT IN (%(here)s, '{NO_ADDRESS}')",
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, {"name": name, "here": here})


def _forgive_address(address: str) -> None:
    """Forget the failures of an address. Every account keeps what was tried on it."""
    sql = _SET_ASIDE.format(
        forgiven="ip_address = %(address)s",
        name="username",
        address=f"'{NO_ADDRESS}'::inet",
        kept=f"username <> '{NO_NAME}'",
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, {"address": address})


def locked_until(account: Staff) -> datetime.datetime | None:
    """Until when nobody signs in to ``account``, or None."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT max(attempt_time) + make_interval(secs => %(lasts)s)
              FROM axes_accessattempt
             WHERE username = %(name)s AND attempt_time > clock_timestamp() - make_interval(secs => %(lasts)s)
            HAVING sum(failures_since_start) >= %(tries)s
            """,
            {"lasts": LOCK_LASTS.total_seconds(), "name": account.username, "tries": ACCOUNT_TRIES},
        )
        row = cursor.fetchone()
    return row[0] if row else None


def unlock(account: Staff, *, actor: Staff) -> None:
    """The owner of ``account`` may try again at once. Raises PermissionDenied, UnlockedTooOften."""
    if not policies.can(actor, "access_control.change_staff"):
        raise PermissionDenied
    with acting(actor, reason=Reason.OWN_ACCOUNT) as act:
        _one_at_a_time(_LOCK_NAME, account.username)
        _require_unlocked_seldom(Event.SIGN_IN_UNLOCKED, subject=account.person_id)
        forgive(account.username)
        act.record(Event.SIGN_IN_UNLOCKED, subject=account.person_id, subject_kind=SubjectKind.STAFF)


def locked_addresses() -> dict[str, datetime.datetime]:
    """The addresses from which nobody signs in now, each with the time until when."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT host(ip_address), max(attempt_time) + make_interval(secs => %(lasts)s)
              FROM axes_accessattempt
             WHERE attempt_time > clock_timestamp() - make_interval(secs => %(lasts)s) AND ip_address <> %(nowhere)s
             GROUP BY ip_address HAVING sum(failures_since_start) >= %(tries)s
             ORDER BY ip_address
            """,
            {"lasts": LOCK_LASTS.total_seconds(), "nowhere": NO_ADDRESS, "tries": ADDRESS_TRIES},
        )
        return dict(cursor.fetchall())


def unlock_address(address: str, *, actor: Staff) -> None:
    """Whoever is behind a locked ``address`` may try again at once; one that is not locked is left as it is.

    The event names the one that locked it, which holds the address. Raises PermissionDenied, UnlockedTooOften.
    """
    if not policies.can(actor, AGREES):
        raise PermissionDenied
    with acting(actor, reason=Reason.OWN_ACCOUNT) as act:
        if address not in locked_addresses():
            return
        _one_at_a_time(_LOCK_ADDRESS, address)
        locks = LedgerEvent.objects.filter(event=Event.ADDRESS_LOCKED, address=address).order_by("-sequence")
        _require_unlocked_seldom(Event.ADDRESS_UNLOCKED, note__in=locks.values("id"))
        _forgive_address(address)
        act.record(Event.ADDRESS_UNLOCKED, note=locks.values_list("id", flat=True).first())


def _one_at_a_time(space: int, what: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [space, what])


def _require_unlocked_seldom(event: Event, **what: Any) -> None:
    if LedgerEvent.objects.filter(event=event, at__gt=Now() - UNLOCK_WINDOW, **what).count() >= UNLOCKS_A_DAY:
        raise UnlockedTooOften


def failed(request: HttpRequest | None, this: Try, owner: Staff | None) -> None:
    """Record what failed; the one try that locks records that too. A locked request gets the page that says so.

    Whoever failed to sign in is not known to be the account's owner, who is therefore the subject, not the actor. Where
    it is the address that locks, nobody is. No record holds a name that is no account's.
    """
    with acting(None, reason=Reason.SIGN_IN_FAILED) as act:
        subject = owner.person_id if owner else None
        if owner is not None:
            act.record(Event.SIGN_IN_FAILED, subject=subject, subject_kind=SubjectKind.STAFF)
        if this.locks_account:
            act.record(Event.SIGN_IN_LOCKED, subject=subject, subject_kind=SubjectKind.STAFF)
        if this.locks_address:
            act.record(Event.ADDRESS_LOCKED)
    if this.is_last:
        with connection.cursor() as cursor:
            mark_locked(request, _failures(cursor, this.name, client_address())[0])


def mark_locked(request: HttpRequest | None, until: datetime.datetime | None) -> None:
    """Have django-axes' middleware answer with the lock-out page."""
    if request is not None:
        request.axes_locked_out = True  # type: ignore[attr-defined]
        request.axes_locked_until = until  # type: ignore[attr-defined]


def locked_page(request: HttpRequest, response: HttpResponse | None = None, credentials: Any = None) -> HttpResponse:
    """When the lock ends and whom to ask; the same whether there is such an account or not."""
    context = {
        **admin.site.each_context(request),
        "title": _("Sign-in is locked"),
        "until": getattr(request, "axes_locked_until", None),
    }
    answer = render(request, "registration/locked.html", context, status=429)
    answer["Retry-After"] = str(int(LOCK_LASTS.total_seconds()))
    return answer


class SignInHandler(AxesDatabaseHandler):
    """Leaves to django-axes its commands and middleware; counting is the backend's, around the password check."""

    def user_login_failed(self, sender: Any, credentials: Any, request: Any = None, **kwargs: Any) -> None:
        """Counted already."""

    def user_logged_in(self, sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
        """Given back already; the ledger says who signed in."""

    def user_logged_out(self, sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
        """Nothing to keep."""
