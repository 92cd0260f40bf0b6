"""Finding a caller: exact identifiers only, at most five masked hits, recorded without the term."""

import contextlib
import dataclasses
import datetime
import re
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial

from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models import QuerySet, Subquery
from django.db.models.functions import Coalesce, Now

from access_control import policies
from access_control.codes import Purpose, Reason
from access_control.ledger import acting
from access_control.models import LedgerEvent, Staff
from access_control.vault import store
from access_control.vault.lookups import VERSIONS, LookupField, hashing
from access_control.vault.ring import require_own_keyring
from members import normal_forms
from members.events import Event
from members.intake import COUNTRY_OF
from members.models import Member
from members.normal_forms.characters import normal_forms_of
from members.normal_forms.names import other_orders
from members.showing import Hit, masked_hits

MOST_HITS = 5
# Longer than any identifier is: such a text is none.
LONGEST = 400
_HALVES = re.compile("[\ud800-\udfff]")
# How often one account may search in an hour: enough for calls, far too little to try out dates of birth. A name with a
# second fact is a guess that could be tried again and again, so there is less of it.
FINDS_AN_HOUR = 120
NAMES_AN_HOUR = 30
BUDGET_WINDOW = datetime.timedelta(hours=1)
NAME_ITEM = "member.name"
# Name space of PostgreSQL's advisory locks: one search of an account at a time, so that none is counted too late.
_LOCK_FINDER = 1703
# A case opened later than this after its member was found is about another call.
FIND_LASTS = datetime.timedelta(hours=12)
_FIELDS = {
    "telephone": LookupField.TELEPHONE,
    "email": LookupField.EMAIL,
    "login_id": LookupField.LOGIN_ID,
    "member_number": LookupField.MEMBER_NUMBER,
}


class SecondFactNeeded(Exception):
    """A name alone finds nobody: it needs a date of birth, a postcode or the last four digits of a telephone."""


class FindBudgetSpent(Exception):
    """The account has searched as often as it may within an hour; ``free_at`` says when it may again."""

    def __init__(self, free_at: datetime.datetime, *, by_name: bool) -> None:
        super().__init__("the hour's searches are used up")
        self.free_at = free_at
        self.by_name = by_name


@dataclasses.dataclass(frozen=True)
class Found:
    """At most five hits, and whether there are more."""

    hits: list[Hit]
    more: bool


def find(identifier: str, second: str = "", *, actor: Staff) -> Found:
    """Members with exactly this identifier, however it is written; with a name, those who share the second fact too.

    Raises PermissionDenied; SecondFactNeeded when only a name was given and nothing else matches; and FindBudgetSpent,
    recorded, with nothing searched, when the account has searched too often within an hour.
    """
    if not policies.can(actor, "members.find_member"):
        raise PermissionDenied
    require_own_keyring()
    search = _search(_typed(identifier), _typed(second))
    budget = [NAME_ITEM] if search.by_name else []
    free_at, ids, event = None, [], None
    with acting(actor, reason=Reason.DAILY_WORK) as act:
        if (free_at := _free_at(actor, by_name=search.by_name)) is not None:
            act.record(Event.FIND_REFUSED, purpose=Purpose.IDENTITY, items=budget)
        else:
            kinds_of = _probe(search.probes)
            # Lookups of a registration that never finished name nobody.
            ids = list(Member.objects.filter(pk__in=kinds_of).order_by("pk").values_list("pk", flat=True))
            event = act.record(Event.FOUND, purpose=Purpose.IDENTITY, items=budget, count=len(ids))
            act.record_each(Event.SHOWN_MASKED, ids[:MOST_HITS], items_of=kinds_of)
    if free_at is not None:
        raise FindBudgetSpent(free_at, by_name=search.by_name)
    if not ids and search.name_alone:
        raise SecondFactNeeded
    return Found(masked_hits(ids[:MOST_HITS], event=event, actor=actor) if ids and event else [], len(ids) > MOST_HITS)


@dataclasses.dataclass(frozen=True)
class _Search:
    """What is looked up; whether by a name with a second fact, or by a name that lacks one."""

    probes: list[tuple[LookupField, bytes]]
    by_name: bool
    name_alone: bool


def _search(identifier: str, second: str) -> _Search:
    """What to look up, in every version that lookups may be made of."""
    seconds = _second_facts(second)
    probes: list[tuple[LookupField, bytes]] = []
    named = False
    for version in VERSIONS:
        with normal_forms_of(version):
            readings = _readings(identifier)
        hashed = hashing(version)
        probes += [(_FIELDS[kind], hashed(_FIELDS[kind], normal)) for kind, normal in readings if kind in _FIELDS]
        names = [normal for kind, normal in readings if kind in {"name", "kana"}]
        probes += [(field, hashed(field, name, fact)) for name in names for field, fact in seconds]
        # What is a name in any version is a search by name.
        named = named or bool(names)
    return _Search(probes, named and bool(seconds), named and not seconds)


def _free_at(actor: Staff, *, by_name: bool) -> datetime.datetime | None:
    """When the account may search again, or None when it may now. Its next search waits until this one is recorded."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [_LOCK_FINDER, str(actor.pk)])
        cursor.execute(
            """
            WITH searches AS (
              SELECT at, %(name)s = ANY (items) AS by_name,
                     count(*) OVER (ORDER BY at DESC) AS nth,
                     count(*) FILTER (WHERE %(name)s = ANY (items)) OVER (ORDER BY at DESC) AS nth_name
                FROM access_control_ledgerevent
               WHERE actor = %(actor)s AND event = %(found)s
                 AND at > clock_timestamp() - make_interval(secs => %(window)s))
            SELECT max(at) + make_interval(secs => %(window)s)
              FROM searches
             WHERE nth = %(all_finds)s OR %(asked_by_name)s AND by_name AND nth_name = %(names)s
            """,
            {
                "name": NAME_ITEM,
                "actor": actor.pk,
                "found": Event.FOUND.value,
                "all_finds": FINDS_AN_HOUR,
                "asked_by_name": by_name,
                "names": NAMES_AN_HOUR,
                "window": BUDGET_WINDOW.total_seconds(),
            },
        )
        row = cursor.fetchone()
    return row[0] if row else None


def _probe(probes: Sequence[tuple[LookupField, bytes]]) -> dict[uuid.UUID, list[str]]:
    """Subject → the kinds of identifier (``LookupField`` names in small letters) by which it is found."""
    kinds_of: dict[uuid.UUID, list[str]] = defaultdict(list)
    for field in sorted({field for field, _hashed in probes}):
        asked = [(field, hashed) for kind, hashed in probes if kind is field]
        for subject in store.find(asked, most=MOST_HITS + 1):
            kinds_of[subject].append(field.name.lower())
    return kinds_of


def found_by(member: Member, *, actor: Staff) -> list[str]:
    """The kinds of identifier by which ``actor`` found the member within ``FIND_LASTS``, as the ledger has it."""
    return _kinds_in(_finds(member).filter(person=actor.person_id, at__gt=Now() - FIND_LASTS))


def confirmed_by_finding(member: Member, person: uuid.UUID) -> list[str]:
    """The kinds of identifier of which *Find* has told ``person`` that they are right, whenever that was.

    Of what lies before the last caller whom they identified nothing is asked: that caller has told them as much.
    """
    identified = LedgerEvent.objects.filter(subject=member.pk, person=person, event=Event.IDENTITY_CONFIRMED)
    since = identified.order_by("-sequence").values("sequence")[:1]
    return _kinds_in(_finds(member).filter(person=person, sequence__gt=Coalesce(Subquery(since), 0)))


def _finds(member: Member) -> QuerySet[LedgerEvent]:
    return LedgerEvent.objects.filter(subject=member.pk, event=Event.SHOWN_MASKED, items__len__gt=0)


def _kinds_in(finds: QuerySet[LedgerEvent]) -> list[str]:
    return sorted({kind for kinds in finds.values_list("items", flat=True) for kind in kinds})


def _readings(identifier: str) -> list[tuple[str, str]]:
    """Field and normal form of whatever the text may be, a name in each order in which it may be on file."""
    readings = {reading for country in COUNTRY_OF.values() for reading in normal_forms.reading(identifier, country)}
    with contextlib.suppress(normal_forms.NotNormal):
        readings.add(("login_id", normal_forms.login_id(identifier)))
    if any(kind in {"name", "kana"} for kind, _normal in readings):
        for text in other_orders(identifier):
            for kind, form in (("name", normal_forms.name), ("kana", normal_forms.kana)):
                with contextlib.suppress(normal_forms.NotNormal):
                    readings.add((kind, form(text)))
    return sorted(readings)


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
