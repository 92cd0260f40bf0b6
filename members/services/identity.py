"""Checking identity: the agent types what the caller says; the console says match or no match, and shows nothing."""

import dataclasses
import datetime
from collections.abc import Mapping

from django.db import IntegrityError, transaction
from django.utils import timezone

from access_control.codes import Purpose, Reason
from access_control.ledger import acting
from access_control.models import Staff
from access_control.vault.categories import Category
from access_control.vault.errors import Destroyed
from access_control.vault.ring import KeyRing, keys_for
from members import normal_forms
from members.events import Event
from members.intake import COUNTRY_OF
from members.lookups import TELEPHONES
from members.models import Addressee, Case, ContactPoint, IdentityTry, Member
from members.services.cases import lock_case, mark_contested
from members.services.grants import open_grants

TRIES_A_DAY = 3
# Two facts that agree, and none that disagrees, identify a caller.
FACTS_NEEDED = 2
BIRTH_DATE, POSTCODE, LAST_FOUR = "birth_date", "postcode", "last_four"
_CATEGORIES = (Category.CONTACT, Category.DELIVERY, Category.PROFILE)


class TriesUsedUp(Exception):
    """Three tries were made for this member today, over all cases and staff. Nothing was compared."""


class NobodyToCompare(Exception):
    """The case names no member."""


class TooFewFacts(Exception):
    """One fact alone identifies nobody. No try was spent."""


class AlreadyIdentified(Exception):
    """The caller was identified in this case already. No try was spent."""


@dataclasses.dataclass(frozen=True)
class Checked:
    """What came of a try: for each fact given, whether it matched; whether that identifies the caller; tries left."""

    matches: dict[str, bool]
    identified: bool
    tries_left: int


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


def tries_left(member: Member, *, now: datetime.datetime) -> int:
    """How many tries are left for this member today (Tokyo)."""
    used = IdentityTry.objects.filter(member=member, day=timezone.localdate(now)).count()
    return max(0, TRIES_A_DAY - used)


def check_identity(case: Case, *, said: Mapping[str, str], actor: Staff, reason: str = Reason.DAILY_WORK) -> Checked:
    """Compare what the caller says. Enough matches identify: the case's grants open. None left: contested.

    The answer leaves only with a spent try; a try that fails on the way is neither. Raises NotNormal
    (no try spent), TooFewFacts, TriesUsedUp,
    AlreadyIdentified, PermissionDenied, CaseClosed, NobodyToCompare.
    """
    now = timezone.now()
    member = case.member
    if member is None:
        raise NobodyToCompare
    facts = read_facts(said, country=COUNTRY_OF.get(member.entity_id, "JP"))
    if len(facts) < FACTS_NEEDED:
        raise TooFewFacts
    day = timezone.localdate(now)
    with acting(actor, reason=reason, case=case.pk) as act:
        case = lock_case(case.pk, actor=actor)
        if case.identified_at:
            raise AlreadyIdentified
        # Every try of a member waits here for the one before it, so tries are counted one at a time.
        Member.objects.select_for_update(no_key=True).get(pk=member.pk)
        ordinal = IdentityTry.objects.filter(member=member, day=day).count() + 1
        if ordinal > TRIES_A_DAY:
            raise TriesUsedUp
        event = act.record(Event.IDENTITY_CHECKED, subject=member.pk, purpose=Purpose.IDENTITY, count=ordinal)
        try:
            with keys_for([member.pk], _CATEGORIES, event=event) as ring:
                matches = _compare(member, facts, ring)
        except Destroyed:
            # Nothing is left to compare with; the try is spent and says no match.
            matches = dict.fromkeys(facts, False)
        identified = all(matches.values())
        try:
            with transaction.atomic():
                IdentityTry.objects.create(
                    member=member,
                    day=day,
                    ordinal=ordinal,
                    case=case,
                    staff=actor,
                    at=now,
                    offered=sorted(facts),
                    matched=sorted(name for name, matched in matches.items() if matched),
                    passed=identified,
                )
        except IntegrityError:
            raise TriesUsedUp from None
        if identified:
            # Whoever identified the caller of a case from the team's queue works on it from now.
            if case.owner_id != actor.pk:
                act.record(Event.CASE_REASSIGNED, subject=member.pk)
            case.owner = actor
            case.identified_at, case.contested_at = now, None
            case.save(update_fields=["owner", "identified_at", "contested_at"])
            act.record(Event.IDENTITY_CONFIRMED, subject=member.pk, purpose=Purpose.IDENTITY)
            open_grants(case, act=act, now=now)
        elif ordinal == TRIES_A_DAY:
            mark_contested(case, act=act, now=now)
    return Checked(matches, identified, TRIES_A_DAY - ordinal)


def _compare(member: Member, facts: Mapping[str, str], ring: KeyRing) -> dict[str, bool]:
    """Match or no match for each fact. Only what a fact needs is opened."""
    country = COUNTRY_OF.get(member.entity_id, "JP")
    addressees = Addressee.objects.filter(member=member, removed_at=None, postcode__isnull=False)
    telephones = ContactPoint.objects.filter(member=member, removed_at=None, kind__in=TELEPHONES)
    on_file = {
        BIRTH_DATE: lambda: {ring.open_sealed(member, "birth_date")},
        POSTCODE: lambda: {
            normal_forms.postcode_on_file(ring.open_sealed(row, "postcode"), country)[0] for row in addressees
        },
        LAST_FOUR: lambda: {
            normal_forms.phone_on_file(ring.open_sealed(row, "value"), country)[0][-4:] for row in telephones
        },
    }
    return {name: value in on_file[name]() for name, value in facts.items()}
