"""Making lookups anew after a change of the normal form, while the console runs.

What can go wrong, and why here it cannot: a correction or a destruction in the middle (the members' rows are held from
reading to writing, and the vault refuses a lookup that would outlive its key); an end in the middle (a chunk is whole
or not there, and what remains is asked of the vault, so a second run goes on); two runs at once (the second waits for
the rows, and making a lookup twice changes nothing). Until nothing remains, old lookups find as they did.
"""

import dataclasses
import datetime
import itertools
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from access_control import locks
from access_control.codes import Reason
from access_control.ledger import acting
from access_control.openings import opening
from access_control.vault import store
from access_control.vault.errors import CeilingReached, KeyringError, VaultError
from access_control.vault.lookups import NORMAL_FORM_VERSION, hashing
from access_control.vault.ring import require_own_keyring
from members.events import Event
from members.lookups import every_lookup
from members.models import Correction, Member
from members.services.registration import DATA_CATEGORIES, stored_people

CHUNK = 500


@dataclasses.dataclass
class Renewal:
    """How many members' lookups were made anew, and how many members still have older ones.

    ``ceiling_reached``: the vault opens no more in this hour; a later run goes on.
    """

    renewed: int = 0
    remaining: int = 0
    ceiling_reached: bool = False


def renew_lookups(
    *, corrected_since: datetime.datetime | None = None, progress: Callable[[int], Any] = lambda members: None
) -> Renewal:
    """Every member whose values can be opened is found by the newest normal form, and by no older one.

    ``corrected_since``: so are those of whom a value was corrected since then, and by no value that is on file no
    longer: the lookups of an old value go last, and a crash may have left them.

    In chunks of ``CHUNK``, each committed by itself and recorded. A member who cannot be opened (destroyed a moment
    ago, or a broken seal) keeps the older lookups and remains. Raises KeyringError.
    """
    require_own_keyring()
    result = Renewal()
    try:
        for members in itertools.chain(_outdated(), _corrected(corrected_since)):
            done = _renew(members)
            result.renewed += done
            progress(done)
    except CeilingReached:
        result.ceiling_reached = True
    result.remaining = remaining()
    return result


def remaining() -> int:
    """How many members have lookups of an older normal form."""
    return sum(len(members) for members in _outdated())


def _outdated() -> Iterator[list[uuid.UUID]]:
    """The members with older lookups, a chunk at a time. Lookups of a registration that never finished are nobody's."""
    after = uuid.UUID(int=0)
    while subjects := store.outdated_subjects(newest=NORMAL_FORM_VERSION, after=after, most=CHUNK):
        after = subjects[-1]
        if members := list(Member.objects.filter(pk__in=subjects).order_by("pk").values_list("pk", flat=True)):
            yield members


def _corrected(since: datetime.datetime | None) -> Iterator[list[uuid.UUID]]:
    """The members of whom a value was corrected since then, a chunk at a time."""
    if since is None:
        return
    corrected = Correction.objects.filter(state=Correction.State.APPLIED, decided_at__gte=since)
    members = corrected.exclude(member__state=Member.State.DESTROYED).order_by("member").values_list("member")
    ids = [member for (member,) in members.distinct()]
    for start in range(0, len(ids), CHUNK):
        yield ids[start : start + CHUNK]


def _renew(members: Sequence[uuid.UUID]) -> int:
    """How many were made anew: all of them, or, where one cannot be opened, the others one by one."""
    try:
        return _renew_together(members)
    except (CeilingReached, KeyringError):
        raise
    except VaultError:
        return sum(_renew([member]) for member in members) if len(members) > 1 else 0


def _renew_together(members: Sequence[uuid.UUID]) -> int:
    failure: VaultError | None = None
    with acting(None, reason=Reason.SCHEDULED) as act:
        subjects = [member.pk for member in locks.change(Member.objects.filter(pk__in=members).only("pk"))]
        event = act.record(Event.LOOKUPS_RENEWED, count=len(subjects))
        # The vault has its record of the fetch, so the event stays, whatever comes of it.
        try:
            with opening(None, None, subjects=subjects, categories=DATA_CATEGORIES, event=event) as ring:
                people = stored_people(subjects, ring)
            mac = hashing()
            lookups = [one for subject, person in people.items() for one in every_lookup(person, subject, mac=mac)]
            store.renew_lookups(lookups, version=NORMAL_FORM_VERSION, subjects=subjects)
        except VaultError as error:
            failure = error
    if failure is not None:
        raise failure
    return len(subjects)
