"""Checking identity: the agent types what the caller says; the console says match or no match, and shows nothing.

What can go wrong, and why here it cannot: an answer for each fact would make three tries nine guesses, so only the
whole is answered, and only the whole is stored. What the caller said to be found is known to whoever calls, so it
proves nothing; nor does what *Find* has told the agent, which answers each fact, before or after the case was opened. A
fact that is not on file can neither match nor fail, so it is left out before anything is compared. So is one that
somebody has said is wrong: while its correction is pending it is used for nothing (P5.B), in no case.
"""

import dataclasses
import datetime
import enum
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from access_control import locks
from access_control.codes import Purpose, Reason
from access_control.ledger import Act, acting
from access_control.models import Staff
from access_control.openings import opening
from access_control.vault.categories import Category
from access_control.vault.errors import Destroyed, NoKey, SealBroken
from access_control.vault.ring import KeyRing
from members import inventory, normal_forms
from members.events import Event
from members.intake import COUNTRY_OF
from members.inventory import Item
from members.lookups import TELEPHONES
from members.models import Addressee, Case, ContactPoint, IdentityTry, Member, Suspension
from members.services.cases import lock_case, mark_contested
from members.services.finding import confirmed_by_finding
from members.services.grants import open_grants

WORK = "members.work_case"
TRIES_A_DAY = 3
# Two facts that agree, and none that disagrees, identify a caller.
FACTS_NEEDED = 2
BIRTH_DATE, POSTCODE, LAST_FOUR = "birth_date", "postcode", "last_four"
FACTS = {BIRTH_DATE: Category.PROFILE, POSTCODE: Category.DELIVERY, LAST_FOUR: Category.CONTACT}
# Kind of identifier by which a member was found → the fact that finding has told already.
_TOLD = {
    "telephone": LAST_FOUR,
    "name_and_birth_date": BIRTH_DATE,
    "name_and_postcode": POSTCODE,
    "name_and_last_four": LAST_FOUR,
}


class TriesUsedUp(Exception):
    """Three tries were made for this member today, over all cases and staff. Nothing was compared."""


class NobodyToCompare(Exception):
    """The case names no member."""


class TooFewFacts(Exception):
    """One fact alone identifies nobody. No try was spent."""


class TooLittleOnFile(TooFewFacts):
    """Of the facts given, fewer than two are on file and were not told when the member was found. No try was spent."""


class AlreadyIdentified(Exception):
    """The caller was identified in this case already. No try was spent."""


@dataclasses.dataclass(frozen=True)
class Checked:
    """What came of a check: whether the whole of it matched, which identifies the caller, and the tries left today."""

    identified: bool
    tries_left: int


class Answer(enum.Enum):
    """What comparing gave. Only the first two are tries."""

    MATCH = "match"
    NO_MATCH = "no_match"
    SAID_BEFORE = "said_before"
    NOT_ON_FILE = "not_on_file"
    BROKEN = "broken"


def read_facts(said: Mapping[str, str], *, country: str) -> dict[str, str]:
    """Normal forms of what the caller said, for the facts given. Raises NotNormal with ``field`` in its attributes."""
    facts: dict[str, str] = {}
    readers = {
        BIRTH_DATE: lambda text: normal_forms.date(text).isoformat(),
        POSTCODE: lambda text: normal_forms.postcode(text, country),
        LAST_FOUR: normal_forms.last_four,
    }
    for name, read in readers.items():
        if text := said.get(name, "").strip():
            try:
                facts[name] = read(text)
            except normal_forms.NotNormal as error:
                error.field = name  # type: ignore[attr-defined]
                raise
    return facts


def told_by_finding(case: Case, *, actor: Staff) -> frozenset[str]:
    """The facts that prove nothing in this case: by them the member was found for it, or found by ``actor`` or by
    whoever works on it, for whatever case.
    """
    kinds = set(case.found_by)
    if case.member is not None:
        for person in {actor.person_id, case.owner.person_id}:
            kinds.update(confirmed_by_finding(case.member, person))
    return frozenset(_TOLD[kind] for kind in kinds if kind in _TOLD)


def facts_that_prove(case: Case, *, actor: Staff) -> list[str]:
    """The facts by which the caller can prove to ``actor`` to be the member; nothing is opened to know them."""
    member = case.member
    if member is None:
        return []
    on_file = {
        BIRTH_DATE: member.birth_date is not None and not _suspended(member, inventory.BIRTH_DATE).exists(),
        POSTCODE: _addressees(member).exists(),
        LAST_FOUR: _telephones(member).exists(),
    }
    told = told_by_finding(case, actor=actor)
    return [name for name in FACTS if on_file[name] and name not in told]


def _addressees(member: Member) -> Any:
    on_file = Addressee.objects.filter(member=member, removed_at=None, postcode__isnull=False)
    return on_file.exclude(pk__in=_suspended(member, inventory.ADDRESSEE_POSTCODE))


def _telephones(member: Member) -> Any:
    on_file = ContactPoint.objects.filter(member=member, removed_at=None, kind__in=TELEPHONES, value__isnull=False)
    return on_file.exclude(pk__in=_suspended(member, *(inventory.CONTACT[kind] for kind in TELEPHONES)))


def _suspended(member: Member, *items: Item) -> Any:
    """The rows of which a correction of one of the items is pending."""
    codes = [item.code for item in items]
    return Suspension.objects.filter(member=member, item__in=codes, ended_at=None).values("row")


def today() -> datetime.date:
    """The day in Tokyo by the database's clock: no web server's clock brings new tries."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT (clock_timestamp() AT TIME ZONE 'Asia/Tokyo')::date")
        day: datetime.date = cursor.fetchone()[0]
        return day


def tries_left(member: Member) -> int:
    """How many tries are left for this member today (Tokyo, by the database's clock)."""
    return max(0, TRIES_A_DAY - IdentityTry.objects.filter(member=member, day=today()).count())


def check_identity(case: Case, *, said: Mapping[str, str], actor: Staff, reason: str = Reason.DAILY_WORK) -> Checked:
    """Compare what the caller says. Two facts or more that all match identify: the case's grants open.

    The third try of a day that does not match marks the case contested. What was said in this case before gets the
    same answer and spends no try. Raises, and spends none either: NotNormal, TooFewFacts, TooLittleOnFile, TriesUsedUp,
    AlreadyIdentified, PermissionDenied, CaseClosed, NobodyToCompare, SealBroken.
    """
    if case.member is None:
        raise NobodyToCompare
    facts = read_facts(said, country=_country(case.member))
    if len(facts) < FACTS_NEEDED:
        raise TooFewFacts
    with acting(actor, reason=reason, case=case.pk) as act:
        # Every try of a member waits here for the one before it, so tries are counted one at a time.
        case = lock_case(case.pk, actor=actor, ending_grants=True)
        member = locks.change_one(Member, case.member_id)
        if case.identified_at:
            raise AlreadyIdentified
        answer, left = _try(case, member, facts, act)
    # Raised only now, because the vault has its record of the fetch and the ledger must keep its event.
    if answer is Answer.NOT_ON_FILE:
        raise TooLittleOnFile
    if answer is Answer.BROKEN:
        raise SealBroken("a value to compare with does not open")
    return Checked(answer is Answer.MATCH, left)


def _country(member: Member) -> str:
    return COUNTRY_OF.get(member.entity_id, "JP")


def _try(case: Case, member: Member, facts: Mapping[str, str], act: Act) -> tuple[Answer, int]:
    """Compare, count, and do what follows; the answer, and the tries left. Member and case are locked."""
    assert act.actor is not None
    facts = {name: facts[name] for name in facts_that_prove(case, actor=act.actor) if name in facts}
    if len(facts) < FACTS_NEEDED:
        raise TooLittleOnFile
    day = today()
    spent = IdentityTry.objects.filter(member=member, day=day).count()
    if spent >= TRIES_A_DAY:
        raise TriesUsedUp
    event = act.record(Event.IDENTITY_CHECKED, subject=member.pk, purpose=Purpose.IDENTITY, count=spent + 1)
    answer, said = _answer(case, member, facts, event, act)
    if answer not in {Answer.MATCH, Answer.NO_MATCH}:
        return answer, TRIES_A_DAY - spent
    passed = answer is Answer.MATCH
    _count(
        IdentityTry(
            member=member,
            day=day,
            ordinal=spent + 1,
            case=case,
            staff=act.actor,
            at=timezone.now(),
            offered=sorted(facts),
            matched=sorted(facts) if passed else [],
            passed=passed,
            said=said,
        )
    )
    if passed:
        _identified(case, act.actor, act)
    elif spent + 1 == TRIES_A_DAY:
        mark_contested(case, act=act, now=timezone.now())
    return answer, TRIES_A_DAY - spent - 1


def _answer(case: Case, member: Member, facts: Mapping[str, str], event: uuid.UUID, act: Act) -> tuple[Answer, bytes]:
    """The answer, and the hash of what was said. Only what a fact needs is opened."""
    told = "\n".join([str(case.pk), *(f"{name} {value}" for name, value in sorted(facts.items()))])
    try:
        categories = {FACTS[name] for name in facts}
        with opening(act.actor, WORK, subjects=[member.pk], categories=categories, event=event) as ring:
            said = ring.keyed_hash(member.pk, FACTS[min(facts)], told)
            if IdentityTry.objects.filter(case=case, said=said).exists():
                return Answer.SAID_BEFORE, said
            return _compare(member, facts, ring), said
    except Destroyed:
        return Answer.NOT_ON_FILE, b""
    except (SealBroken, NoKey):
        # Of a value that does not open nobody knows whether it matches, so nothing was tried.
        return Answer.BROKEN, b""


def _compare(member: Member, facts: Mapping[str, str], ring: KeyRing) -> Answer:
    """Whether every fact matches. A telephone or postcode on file that cannot be read as one is none."""
    country = _country(member)
    readers: dict[str, Callable[[], list[str]]] = {
        BIRTH_DATE: lambda: [ring.open_sealed(member, "birth_date")],
        POSTCODE: lambda: list(
            _readable(
                lambda row: normal_forms.postcode_on_file(ring.open_sealed(row, "postcode"), country)[0],
                _addressees(member),
            )
        ),
        LAST_FOUR: lambda: list(
            _readable(
                lambda row: normal_forms.phone_on_file(ring.open_sealed(row, "value"), country)[0][-4:],
                _telephones(member),
            )
        ),
    }
    on_file = {name: values for name in facts if (values := readers[name]())}
    if len(on_file) < FACTS_NEEDED:
        return Answer.NOT_ON_FILE
    return Answer.MATCH if all(facts[name] in values for name, values in on_file.items()) else Answer.NO_MATCH


def _readable(read: Callable[[Any], str], rows: Any) -> Iterator[str]:
    for row in rows:
        try:
            yield read(row)
        except normal_forms.NotNormal:
            continue


def _count(tried: IdentityTry) -> None:
    """The try is on record. Raises TriesUsedUp when another one took its place."""
    try:
        with transaction.atomic():
            tried.save(force_insert=True)
    except IntegrityError:
        raise TriesUsedUp from None


def _identified(case: Case, actor: Staff, act: Act) -> None:
    """Whoever identified the caller of a case from the team's queue works on it from now; the grants are open."""
    if case.owner_id != actor.pk:
        act.record(Event.CASE_REASSIGNED, subject=case.member_id)
    case.owner = actor
    confirm_identity(case, act=act)


def confirm_identity(case: Case, *, act: Act) -> None:
    """The caller of the locked case is identified; its agent's grants are open."""
    now = timezone.now()
    case.identified_at, case.contested_at = now, None
    case.save(update_fields=["owner", "identified_at", "contested_at"])
    act.record(Event.IDENTITY_CONFIRMED, subject=case.member_id, purpose=Purpose.IDENTITY)
    open_grants(case, act=act, now=now)
