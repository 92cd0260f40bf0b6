"""Finding a caller: exact identifiers only, at most five masked hits, recorded without the term."""

import contextlib
import dataclasses
import re
from collections.abc import Callable
from functools import partial

from django.core.exceptions import PermissionDenied

from access_control import policies
from access_control.codes import Purpose, Reason
from access_control.ledger import acting
from access_control.models import Staff
from access_control.vault import store
from access_control.vault.lookups import LookupField, mac
from access_control.vault.ring import require_own_keyring
from members import normal_forms
from members.events import Event
from members.intake import COUNTRY_OF
from members.models import Member
from members.showing import Hit, masked_hits

MOST_HITS = 5
# Longer than any identifier is: such a text is none.
LONGEST = 400
_HALVES = re.compile("[\ud800-\udfff]")
_FIELDS = {
    "telephone": LookupField.TELEPHONE,
    "email": LookupField.EMAIL,
    "login_id": LookupField.LOGIN_ID,
    "member_number": LookupField.MEMBER_NUMBER,
}


class SecondFactNeeded(Exception):
    """A name alone finds nobody: it needs a date of birth, a postcode or the last four digits of a telephone."""


@dataclasses.dataclass(frozen=True)
class Found:
    """At most five hits, and whether there are more."""

    hits: list[Hit]
    more: bool


def find(identifier: str, second: str = "", *, actor: Staff) -> Found:
    """Members with exactly this identifier, however it is written; with a name, those who share the second fact too.

    Raises PermissionDenied, or SecondFactNeeded when only a name was given and nothing else matches.
    """
    if not policies.can(actor, "members.find_member"):
        raise PermissionDenied
    # A number is read as each site's country would; a login ID may look like anything, also like an address.
    require_own_keyring()
    identifier, second = _typed(identifier), _typed(second)
    readings = list(
        dict.fromkeys(
            reading for country in COUNTRY_OF.values() for reading in normal_forms.reading(identifier, country)
        )
    )
    with contextlib.suppress(normal_forms.NotNormal):
        readings.append(("login_id", normal_forms.login_id(identifier)))
    probes = [(_FIELDS[kind], mac(_FIELDS[kind], normal)) for kind, normal in readings if kind in _FIELDS]
    names = [normal for kind, normal in readings if kind in {"name", "kana"}]
    seconds = _second_facts(second)
    probes += [(field, mac(field, name, fact)) for name in names for field, fact in seconds]
    with acting(actor, reason=Reason.DAILY_WORK) as act:
        ids = store.find(probes, most=MOST_HITS + 1) if probes else []
        # Lookups of a registration that never finished name nobody.
        ids = list(Member.objects.filter(pk__in=ids).order_by("pk").values_list("pk", flat=True))
        event = act.record(Event.FOUND, purpose=Purpose.IDENTITY, count=len(ids))
        act.record_each(Event.SHOWN_MASKED, ids[:MOST_HITS])
    if not ids and names and not seconds:
        raise SecondFactNeeded
    return Found(masked_hits(ids[:MOST_HITS], event=event) if ids else [], len(ids) > MOST_HITS)


def _typed(text: str) -> str:
    """The text, or nothing when no keyboard types it: too long, or with halves of a pair that stand alone."""
    return text if len(text) <= LONGEST and not _HALVES.search(text) else ""


def _second_facts(text: str) -> list[tuple[LookupField, str]]:
    """Every reading of the second fact."""
    facts: list[tuple[LookupField, str]] = []
    if not text.strip():
        return facts
    ways: list[tuple[LookupField, Callable[[], str]]] = [
        (LookupField.NAME_AND_BIRTH_DATE, lambda: normal_forms.date(text).isoformat()),
        (LookupField.NAME_AND_LAST_FOUR, lambda: normal_forms.last_four(text)),
        *(
            (LookupField.NAME_AND_POSTCODE, partial(normal_forms.postcode, text, country))
            for country in COUNTRY_OF.values()
        ),
    ]
    for field, read in ways:
        try:
            facts.append((field, read()))
        except normal_forms.NotNormal:
            # Not written like this kind of fact; the others are tried.
            continue
    return facts
