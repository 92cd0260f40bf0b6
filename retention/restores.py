"""What journals and vault remember of destruction beside the console's own records: signs of a restore, and losses."""

import datetime
import uuid
from collections.abc import Sequence

from django.db import connection, models
from django.utils.translation import gettext_lazy as _

from access_control.models import AcceptedRestore, Approval, LedgerEvent
from access_control.restore import Console, Sign
from access_control.vault import consoles, store
from members.models import Case, Member
from retention.journal import journals_at_hand, newest_marks, plans_of
from retention.models import LegalHold, Run

# Events and subjects looked at with one query.
BATCH = 5_000
_LONG_AGO = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


class Loss(models.TextChoices):
    """What vault and journals remember and a restored console does not, and what that means for people."""

    LEDGER_EVENTS = "ledger_events", _("events of the ledger, at least")
    PLANS = "plans", _("destruction plans that were carried out")
    DESTROYED_KEYS = "destroyed_keys", _("keys destroyed by them; the rows are back, and nothing in them opens")
    JOURNALS = "journals", _("journals of runs that the console does not know")
    HOLDS = "holds", _("legal holds; their keys stay frozen until the hold is placed again and lifted")
    FETCHES = "fetches", _("openings of members’ data whose events are missing")
    NOTICES = "notices", _("notices that waited to be sent and may have been: none of them is sent any more")
    FORMER_MEMBERS = (
        "former_members_opened",
        _("former members whose data was opened since: some may have come back, so look before a plan is approved"),
    )
    WITHOUT_ROWS = (
        "subjects_without_rows",
        _("members and cases that were new: their keys are there, their rows are not"),
    )
    HELD_AND_BACK = (
        "held_and_back",
        _("keys that were destroyed and live again, kept by a legal hold until it is lifted"),
    )
    WITHOUT_FENCE = "certified_without_fence", _("certified items of runs of which the vault knows less")


def witness(console: Console) -> list[Sign]:
    """The signs that journals and runs give. Whatever was accepted is no sign any more."""
    signs = []
    if _journals_are_ahead(console):
        signs.append(Sign.JOURNAL_AHEAD)
    if runs_the_vault_forgot():
        signs.append(Sign.VAULT_FORGOT)
    return signs


def _journals_are_ahead(console: Console) -> bool:
    marks = newest_marks().values()
    own_epoch = console.identity.restore_epoch
    if any(mark.restore_epoch > own_epoch for mark in marks):
        return True
    recorded = {mark.sequence: mark.event for mark in marks if mark.restore_epoch == own_epoch}
    held = dict(LedgerEvent.objects.filter(sequence__in=list(recorded)).values_list("sequence", "id"))
    return held != recorded


def runs_the_vault_forgot() -> list[Run]:
    """Runs since the last accepted restore of which the vault remembers fewer destroyed keys than are certified.

    The vault commits first, so it never lags behind by itself.
    """
    accepted = AcceptedRestore.objects.values_list("accepted_at", flat=True).first()
    runs = Run.objects.filter(destroyed_count__gt=0).select_related("plan")
    if accepted is not None:
        runs = runs.filter(started_at__gt=accepted)
    destroyed = store.destroyed_by_plan()
    return [run for run in runs if destroyed.get(bytes(run.plan.payload_hash), 0) < run.destroyed_count]


def losses(console: Console, *, held: int) -> dict[Loss, int]:
    """What is lost, counted by kind; ``held`` keys are back and kept by a hold. Opens nothing and changes nothing."""
    since = _last_agreement()
    unknown_plans = _unknown_plans()
    fetched = consoles.events_fetched(since)
    unknown_events = _unknown_events([event for event, _subjects in fetched])
    lost_holds = holds_not_on_record()
    opened = {subject for event, subjects in fetched if event in unknown_events for subject in subjects}
    return {
        Loss.LEDGER_EVENTS: max(0, (consoles.remembered().sequence or 0) - console.newest),
        Loss.PLANS: len(unknown_plans),
        Loss.DESTROYED_KEYS: sum(unknown_plans.values()),
        Loss.JOURNALS: _unknown_journals(),
        Loss.HOLDS: len(lost_holds),
        Loss.FETCHES: len(unknown_events),
        # Whoever came back is held here as a former member, and is due.
        Loss.FORMER_MEMBERS: _former_members(opened),
        Loss.WITHOUT_ROWS: _without_rows(consoles.subjects_made(since)),
        Loss.HELD_AND_BACK: held,
        Loss.WITHOUT_FENCE: sum(run.destroyed_count for run in runs_the_vault_forgot()),
    }


def _last_agreement() -> datetime.datetime:
    """When the vault was told of the newest event below all that the console misses; what came later may be lost.

    A restored console that was heard once, by whatever mistake, holds marks again above those that it misses.
    """
    below, agreed = 2**63 - 1, None
    while marks := consoles.marks(below=below, most=BATCH):
        sequences = [sequence for sequence, _event, _at in marks]
        held = dict(LedgerEvent.objects.filter(sequence__in=sequences).values_list("sequence", "id"))
        for sequence, event, at in marks:
            if held.get(sequence) != event:
                agreed = None
            elif agreed is None:
                agreed = at
        below = sequences[-1]
    return agreed or _LONG_AGO


def _unknown_plans() -> dict[bytes, int]:
    """Plans (hash → keys destroyed) in whose name the vault destroyed, and that were never carried out here."""
    destroyed = store.destroyed_by_plan()
    spent = Approval.objects.filter(payload_hash__in=list(destroyed), used_at__isnull=False)
    known = {bytes(payload) for payload in spent.values_list("payload_hash", flat=True)}
    return {plan: keys for plan, keys in destroyed.items() if plan not in known}


def _unknown_journals() -> int:
    named = journals_at_hand()
    return len(named) - Run.objects.filter(plan__in=plans_of(named)).count()


def holds_not_on_record() -> dict[uuid.UUID, list[uuid.UUID]]:
    """Legal holds for which the vault keeps keys frozen and of which the console has no row → their subjects."""
    remembered: dict[uuid.UUID, list[uuid.UUID]] = {}
    for frozen in store.frozen():
        for hold in frozen.holds:
            remembered.setdefault(hold, []).append(frozen.subject)
    known = set(LegalHold.objects.filter(pk__in=list(remembered)).values_list("pk", flat=True))
    return {hold: subjects for hold, subjects in remembered.items() if hold not in known}


def _unknown_events(events: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    unknown: set[uuid.UUID] = set()
    for start in range(0, len(events), BATCH):
        batch = set(events[start : start + BATCH])
        unknown |= batch - set(LedgerEvent.objects.filter(id__in=batch).values_list("id", flat=True))
    return unknown


def _former_members(subjects: set[uuid.UUID]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM members_member WHERE id = ANY (%s) AND state = %s",
            [sorted(subjects), Member.State.ENDED],
        )
        return int(cursor.fetchone()[0])


def _without_rows(subjects: Sequence[uuid.UUID]) -> int:
    unknown = set(subjects)
    for start in range(0, len(subjects), BATCH):
        batch = subjects[start : start + BATCH]
        unknown -= set(Member.objects.filter(pk__in=batch).values_list("pk", flat=True))
        unknown -= set(Case.objects.filter(pk__in=batch).values_list("pk", flat=True))
    return len(unknown)
