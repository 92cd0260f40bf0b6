"""Request ids, what is refused before it is read, and what may be logged: ids, route names and times; never a query,
a value or a message of others.
"""

import dataclasses
import io
import json
import logging
import traceback
import uuid
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import cache
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.views.debug import SafeExceptionReporterFilter

from access_control.addresses import client_address
from access_control.ids import new_id
from access_control.locks import StillUnderWay
from access_control.restore import OF_THE_VAULT, Sign, look, look_briefly
from access_control.vault import consoles
from access_control.vault.errors import AnotherConsole, VaultError

log = logging.getLogger("console.request")


@dataclasses.dataclass(frozen=True)
class Request:
    """Everything from one click or one run shares ``id``. ``web`` is False for commands and jobs.

    ``address`` is the caller's own, not that of a trusted proxy.
    """

    id: uuid.UUID
    address: str | None = None
    web: bool = False


_current: ContextVar[Request | None] = ContextVar("request", default=None)


def current_request() -> Request:
    """The request under way; a command's is made when it is first asked for."""
    found = _current.get()
    if found is None:
        found = Request(new_id())
        _current.set(found)
    return found


class RequestMiddleware:
    """Gives each request an id (answered as ``X-Request-ID``), logs one line, and forbids storing any page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer one request."""
        started = timezone.now()
        address = client_address(
            request.META.get("REMOTE_ADDR", ""),
            request.META.get("HTTP_X_FORWARDED_FOR", ""),
            trusted=settings.TRUSTED_PROXIES,
        )
        here = Request(new_id(), address, web=True)
        token = _current.set(here)
        charset = (request.content_params or {}).get("charset", "utf-8")
        try:
            # Any other codec could smuggle in what is no text, or fail half-way.
            known = charset.lower() in {"utf-8", "utf8"}
            response = self.get_response(request) if known else HttpResponseBadRequest()
        finally:
            _current.reset(token)
        response["X-Request-ID"] = str(here.id)
        if not response.has_header("Cache-Control"):
            add_never_cache_headers(response)
        match = request.resolver_match
        log.info(
            "request",
            extra={
                "fields": {
                    "request_id": str(here.id),
                    "method": request.method,
                    "route": match.view_name if match else None,
                    "status": response.status_code,
                    "ms": round((timezone.now() - started).total_seconds() * 1000),
                }
            },
        )
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """A vault that cannot be opened is said in words; which file or key is at fault goes to the log alone.

        So is what somebody else holds: any page that changes something may meet it. What is not found is our own page
        also with DEBUG: Django's would list every address of the console.
        """
        if isinstance(exception, Http404):
            return render(request, "404.html", status=404)
        if isinstance(exception, StillUnderWay):
            return render(request, "409.html", {"sentence": str(exception)}, status=409)
        if not isinstance(exception, VaultError):
            return None
        log.error("the vault refused: %s", type(exception).__name__, exc_info=exception)
        if isinstance(exception, AnotherConsole):
            return closed(request, look())
        return render(request, "503.html", status=503)


class HeadersMiddleware:
    """The outermost: gives every answer, static files and errors included, the headers that no page may lack."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer one request."""
        response = self.get_response(request)
        for name, value in settings.HEADERS_OF_EVERY_ANSWER.items():
            response.setdefault(name, value)
        return response


class BodyLimitMiddleware:
    """Refuses a body that is larger than any form, before anything of it is parsed or written anywhere.

    The announced length decides. A body of no announced length (chunked) is read into memory up to the limit.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer one request."""
        announced = request.META.get("CONTENT_LENGTH") or ""
        most: int = settings.REQUEST_BODY_MAX_BYTES
        if announced and not (announced.isascii() and announced.isdigit()):
            return HttpResponseBadRequest()
        # Digits beyond those of the limit are not counted: Python refuses to read a number of thousands of digits.
        if len(announced) > len(str(most)) or int(announced or 0) > most:
            return self._refused(request, most)
        if not announced and request.META.get("wsgi.input_terminated"):
            body = request.META["wsgi.input"].read(most + 1)
            if len(body) > most:
                return self._refused(request, most)
            request.META["CONTENT_LENGTH"] = str(len(body))
            request._stream = io.BytesIO(body)
        return self.get_response(request)

    @staticmethod
    def _refused(request: HttpRequest, most: int) -> HttpResponse:
        return render(request, "413.html", {"most": most}, status=413)


class RestoreMiddleware:
    """While a restore of a database is not accepted, everybody gets a page that says so (503), and nothing else.

    Only signing in and out, the choice of a language and static files answer, and the page of a one-time link that was
    made since: whoever is to accept the restore may need it. What cannot be asked counts as closed.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer one request."""
        if request.path.startswith(_open_addresses()):
            return self.get_response(request)
        try:
            signs = look_briefly()
        except (DatabaseError, VaultError) as error:
            log.exception("the restore guard cannot ask: %s", type(error).__name__)
            return render(request, "503.html", status=503)
        if signs:
            if not request.path.startswith(_links()):
                return closed(request, signs)
            request.closed_since = consoles.remembered().told_at  # type: ignore[attr-defined]
        response = self.get_response(request)
        if not signs and request.method not in {"GET", "HEAD", "OPTIONS"}:
            _tell_what_changed()
        return response


def _tell_what_changed() -> None:
    """What was done with this request cannot be forgotten by a restore any more. It is done, whether told or not."""
    try:
        consoles.tell()
    except (DatabaseError, VaultError) as error:
        log.exception("the vault could not be told: %s", type(error).__name__)


@cache
def _open_addresses() -> tuple[str, ...]:
    static = settings.STATIC_URL if settings.STATIC_URL.startswith("/") else f"/{settings.STATIC_URL}"
    return (reverse("admin:login"), reverse("admin:logout"), reverse("set_language"), static)


@cache
def _links() -> str:
    return reverse("first_password", args=["-"]).removesuffix("-/")


def closed(request: HttpRequest, signs: Sequence[Sign]) -> HttpResponse:
    """The page that says what was found and what to do."""
    log.error("closed: a database was restored or moved: %s", ", ".join(signs))
    context = {"signs": [sign.label for sign in signs], "only_vault": bool(signs) and set(signs) <= OF_THE_VAULT}
    return render(request, "restored.html", context, status=503)


class JsonLines(logging.Formatter):
    """One JSON object a line. An exception is its type and frames: messages may quote what was typed."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": timezone.now().isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
        }
        # Only the console's own loggers write sentences that are known to hold no value.
        # Django's security messages quote what was sent; everybody else's templates stand without their arguments.
        own, quoting = record.name.startswith("console"), record.name.startswith("django.security")
        line["message"] = record.getMessage() if own else "refused" if quoting else str(record.msg)
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[0]:
            line["exception"] = record.exc_info[0].__name__
            line["frames"] = [
                f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(record.exc_info[2])
            ]
        if found := _current.get():
            line.setdefault("request_id", str(found.id))
        return json.dumps(line, ensure_ascii=False)


class NothingReported(SafeExceptionReporterFilter):
    """Error reports hold no local variables and no posted values."""

    def is_active(self, request: HttpRequest | None) -> bool:
        """Always, also with DEBUG."""
        return True

    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, Any]:
        """None of what was posted."""
        return {}

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: Any) -> Any:
        """No local variables."""
        return {}.items()
