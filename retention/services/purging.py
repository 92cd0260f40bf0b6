"""Destruction: what an approved plan lists, and nothing else, is destroyed, provably and once.

What can go wrong, and why here it cannot:

*The facts changed since the plan was made.* Each chunk locks its members (FOR UPDATE) and asks again what is due, with
the query the plan was made with; whoever holds, returns, corrects or opens a case takes the same row, so it comes
before and wins, or after and finds the data gone. New rules wait for the chunk, or the chunk for them.

*The process dies.* Rows are emptied first, uncommitted; the journal is on disk before the vault is asked; the vault's
commit is the point of no return. A run that is begun again looks at the fences first: what the vault destroyed under a
line of this plan is finished, whatever was decided later; everything else starts anew.

*The console's connection dies while the process lives.* The locks of the rows die with it, so somebody may decide to
keep what this process is about to destroy. Keys are therefore ended only if the console answers once the vault has
locked them: before that moment whoever decides waits for the rows or makes this fail, after it they wait for the vault
(``members.services.locking``) and find the data gone.

*One item cannot be destroyed.* What fails before the point of no return takes nothing with it: the chunk is halved
until the bad item stands alone, and is parked with the class of its error.

*Two processes run.* One holds an advisory lock for as long as its connection lives; the other ends at once.

*Somebody was too quick.* The purger, who alone may call ``vault_destroy``, cannot write plans; the app, which can,
cannot destroy. Nothing is added to a plan that is made, and a run begins only if the plan has the hash that was
approved. A run spends an approval by another person, and each chunk asks whether it still stands; if it does not,
what is left is parked, and what was destroyed until then is certified.
"""

import dataclasses
import datetime
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, connections, transaction
from django.db.models import F
from django.utils import timezone

from access_control import signing
from access_control.codes import Reason, SubjectKind
from access_control.copying import array
from access_control.ledger import Act, acting
from access_control.services import NotApprovable, approval_stands, keep_approval, use_approval
from access_control.vault import store
from access_control.vault.calls import ALIAS as VAULT
from access_control.vault.errors import CeilingReached
from members.models import Member
from members.services.erasure import erase
from retention.events import Event
from retention.journal import Journal, JournalError, JournalUnusable
from retention.models import Parked, Plan, PlanEnd, Run
from retention.points import Point, reached
from retention.services.certificates import issue
from retention.services.items import Item, emptied_by, ended_elsewhere, lock, pending, still_due
from retention.services.planning import APPROVAL_KIND, FutureDay, lies_ahead, require_unchanged
from retention.services.resuming import open_journal
from retention.services.rules import rules_on
from retention.services.stopping import journal_is_lost

RUN_LOCK = 0x70757267

__all__ = ["AlreadyRunning", "CeilingReached", "NotApprovable", "Outcome", "Unfinished", "outcome_of", "run_plan"]


class AlreadyRunning(Exception):
    """Another run is under way. Two never destroy at once."""


class Unfinished(Exception):
    """Keys are destroyed whose rows could not be emptied; the run is not over. Carries the ids of the lines."""

    def __init__(self, lines: Sequence[uuid.UUID], error: str) -> None:
        super().__init__(f"{len(lines)} lines, {error}: {', '.join(str(line) for line in lines[:5])}")
        self.lines = list(lines)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run did: items destroyed, parked, and found destroyed by another plan; seconds this process worked."""

    plan: Plan
    destroyed: int
    parked: int
    seconds: float
    ended_elsewhere: int = 0


def outcome_of(run: Run, seconds: float) -> Outcome:
    """What a run did. Ended elsewhere is not parked: it was no more left as it was than what was destroyed here."""
    elsewhere = Parked.objects.filter(plan=run.plan_id, reason=Parked.Reason.ENDED_ELSEWHERE).count()
    return Outcome(run.plan, run.destroyed_count, run.parked_count - elsewhere, seconds, elsewhere)


@contextmanager
def single_flight() -> Iterator[None]:
    """Inside, this process alone destroys. Raises AlreadyRunning."""
    with connection.cursor() as cursor:
        # Else the lock of a killed process would live on while a statement of it runs.
        cursor.execute("SET client_connection_check_interval = '1s'")
        _never_idle_out()
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [RUN_LOCK])
        if not cursor.fetchone()[0]:
            raise AlreadyRunning
        try:
            yield
        finally:
            if connection.connection is not None and not connection.connection.closed:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [RUN_LOCK])


def _never_idle_out() -> None:
    """Whatever the server's settings: neither session is ended for being idle, or long, between two statements."""
    for alias in (DEFAULT_DB_ALIAS, VAULT):
        with connections[alias].cursor() as cursor:
            # The last of them is PostgreSQL 17's.
            cursor.execute(
                "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = ANY (ARRAY["
                "'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout'])"
            )


def run_plan(plan: Plan, *, progress: Callable[[int], Any] = lambda items: None) -> Outcome:
    """Every item of the plan is destroyed or parked, and a certificate is issued. A run begun before goes on.

    ``progress`` is told how many items are dealt with. Raises AlreadyRunning, NotApprovable, PlanChanged, FutureDay,
    CeilingReached, Unfinished, SigningKeyError, JournalError.
    """
    begun = time.monotonic()
    if lies_ahead(plan.as_of):
        raise FutureDay
    # Before anything is destroyed that could then not be certified.
    key = signing.load()
    with single_flight():
        run = Run.objects.filter(plan=plan).first()
        if run is not None and run.finished_at is not None:
            return outcome_of(run, 0.0)
        end = PlanEnd.objects.filter(plan=plan).first()
        if end is not None and end.kind == PlanEnd.Kind.WITHDRAWN:
            raise NotApprovable
        if end is None:
            require_unchanged(plan)
        journal = _journal(plan, begun=run is not None, given_up=end is not None)
        try:
            _begin(plan)
            reached(Point.BEGUN)
            if run is not None:
                for items in pending(plan):
                    _finish(plan, items)
                if journal is not None:
                    _complete_the_journal(plan, journal)
                run.refresh_from_db()
                progress(run.destroyed_count + run.parked_count)
            for items in pending(plan):
                if journal is None or end is not None:
                    _leave(plan, items)
                    progress(len(items))
                    continue
                # No more than the vault allows this hour, be it less than a chunk: the rest is for the next one.
                allowed = store.destructions_left()
                if allowed:
                    _destroy(plan, items[:allowed], journal)
                    progress(len(items[:allowed]))
                if allowed < len(items):
                    raise CeilingReached
            with acting(None, reason=Reason.RETENTION_ENDED) as act:
                keep_approval(plan.approval_id)
                issue(plan, key=key, journal=journal)
                reached(Point.SIGNED)
                now = timezone.now()
                Run.objects.filter(plan=plan).update(finished_at=now, seen_at=now)
                run = Run.objects.get(plan=plan)
                act.record(Event.RUN_FINISHED, note=plan.pk, count=run.destroyed_count)
            reached(Point.FINISHED)
        finally:
            if journal is not None:
                journal.close()
    return outcome_of(run, time.monotonic() - begun)


def _journal(plan: Plan, *, begun: bool, given_up: bool) -> Journal | None:
    """The journal to go on with. None: two persons have given the run up, and two have called its journal lost.

    Raises JournalError; a file that the operating system does not give out is not lost.
    """
    try:
        return open_journal(plan, begun=begun)
    except JournalUnusable:
        raise
    except JournalError:
        if not (given_up and journal_is_lost(plan)):
            raise
        return None


def _leave(plan: Plan, items: Sequence[Item]) -> None:
    """The run was given up: what is left of it stays."""
    left, elsewhere = ended_elsewhere(items)
    if left:
        _park(plan, left, Parked.Reason.GIVEN_UP)
    if elsewhere:
        _park(plan, elsewhere, Parked.Reason.ENDED_ELSEWHERE)


def _begin(plan: Plan) -> None:
    """The run is on record; its approval was spent now, or when it was first begun."""
    now = timezone.now()
    with acting(None, reason=Reason.RETENTION_ENDED) as act:
        if Run.objects.filter(plan=plan).update(seen_at=now, times_begun=F("times_begun") + 1):
            return
        payload = bytes(plan.payload_hash)
        use_approval(
            plan.approval_id, kind=APPROVAL_KIND, payload_hash=payload, actor=None, reason=Reason.RETENTION_ENDED
        )
        Run.objects.create(plan=plan, started_at=now, seen_at=now, os_host=socket.gethostname()[:100])
        act.record(Event.RUN_BEGUN, note=plan.pk, count=plan.line_count)


def _stands(plan: Plan) -> bool:
    return approval_stands(plan.approval_id, kind=APPROVAL_KIND, payload_hash=bytes(plan.payload_hash))


# One chunk.


def _destroy(plan: Plan, items: Sequence[Item], journal: Journal, *, patient: bool = False) -> None:
    """Each of the items is destroyed and certified, or parked. What fails is halved until it stands alone."""
    try:
        busy = _destroy_together(plan, items, journal, patient=patient)
    except DatabaseError as error:
        if _is_lost(error):
            raise
        # What the vault destroyed before the failure stays destroyed; the rest is tried again in halves.
        done = _finish(plan, items)
        _complete_the_journal(plan, journal)
        rest = [item for item in items if item.line not in done]
        if len(rest) == 1:
            _park(plan, rest, Parked.Reason.FAILED, error=_name_of(error))
        elif rest:
            middle = len(rest) // 2
            _destroy(plan, rest[:middle], journal, patient=patient)
            _destroy(plan, rest[middle:], journal, patient=patient)
        return
    if busy and patient:
        _park(plan, busy, Parked.Reason.BUSY)
    elif busy:
        _destroy(plan, busy, journal, patient=True)


def _is_lost(error: DatabaseError) -> bool:
    """Whether the database itself is gone or going: nothing to blame an item for (SQLSTATE classes 08, 53, 57, 58)."""
    state = getattr(error.__cause__, "sqlstate", None)
    return state is None or state[:2] in {"08", "53", "57", "58"}


def _name_of(error: DatabaseError) -> str:
    return f"{type(error).__name__} {getattr(error.__cause__, 'sqlstate', None) or ''}".strip()


def _destroy_together(plan: Plan, items: Sequence[Item], journal: Journal, *, patient: bool) -> list[Item]:
    """One transaction. Returns the items of rows that somebody else holds."""
    intent, short = None, False
    with acting(None, reason=Reason.RETENTION_ENDED) as act:
        locked = lock(items, patient=patient)
        reached(Point.LOCKED)
        mine, elsewhere = ended_elsewhere([item for item in items if item.ref.subject in locked])
        due: list[Item] = []
        spared: dict[Parked.Reason, list[Item]] = {}
        # Whoever gives the run up waits for this chunk, or this chunk for them, and finds the run given up.
        keep_approval(plan.approval_id)
        if PlanEnd.objects.filter(plan=plan).exists():
            spared = {Parked.Reason.GIVEN_UP: mine} if mine else {}
        elif _stands(plan):
            # By the rules of the day on which it happens: what was lengthened since the plan was made is kept.
            due, spared = still_due(plan, mine, rules_on(max(plan.as_of, timezone.localdate())))
        else:
            spared = {Parked.Reason.APPROVAL_LAPSED: mine} if mine else {}
        if elsewhere:
            spared[Parked.Reason.ENDED_ELSEWHERE] = elsewhere
        for why, left_out in spared.items():
            _park(plan, left_out, why)
        reached(Point.CHECKED)
        if due:
            keys = [(item.line, item.ref) for item in due]
            emptied = emptied_by(due)
            erase([item.ref for item in due], emptied=emptied)
            with connection.cursor() as cursor:
                # What would only fail at the end fails now, while nothing is lost.
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            reached(Point.ERASED)
            intent = journal.intend(keys, plan_hash=bytes(plan.payload_hash))
            reached(Point.INTENDED)
            ended = _end_keys(plan, due)
            reached(Point.DESTROYED)
            short = sum(len(one.lines) for one in ended) < len(due)
            if short:
                # A key was frozen, or gone: its rows must stand as they are. The chunk is undone, and what the vault
                # did destroy is finished by its fences.
                transaction.set_rollback(True)
            else:
                _record(plan, due, ended, act=act)
                reached(Point.RECORDED)
    reached(Point.COMMITTED)
    if short:
        for why, left_out in spared.items():
            _park(plan, left_out, why)
        done = _finish(plan, due)
        _park_what_was_spared(plan, [item for item in due if item.line not in done])
    if intent is not None:
        if short:
            _complete(plan, journal, intent)
        else:
            journal.complete(intent, [item.line for item in due])
        reached(Point.COMPLETED)
    return [item for item in items if item.ref.subject not in locked]


def _end_keys(plan: Plan, items: Sequence[Item]) -> list[store.Ended]:
    """The keys of the items are ended, if the locks under which it was decided are there to the end; else none is.

    From the statement that ends them to the commit, whoever decides about these members waits for the vault. Before
    it, they wait for the rows that the console has locked; and that lock is there as long as the console answers.
    """
    with transaction.atomic(using=VAULT):
        ended = store.destroy([(item.ref, item.line) for item in items], plan_hash=bytes(plan.payload_hash))
        reached(Point.ENDED)
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    return ended


_CERTIFY = """
INSERT INTO retention_certificateline
       (id, plan_id, subject, subject_kind, category, generation, destroyed_at, keyring)
SELECT l.id, l.plan_id, l.subject, l.subject_kind, l.category, l.generation, %s, %s
  FROM retention_planline l WHERE l.id = ANY (%s::uuid[]) AND l.plan_id = %s
"""


def _record(plan: Plan, items: Sequence[Item], ended: Sequence[store.Ended], *, act: Act) -> None:
    """Certificate lines, one ledger event per subject, and how far the run has come."""
    with connection.cursor() as cursor:
        for one in ended:
            cursor.execute(_CERTIFY, [one.destroyed_at, one.keyring, array(one.lines), plan.pk])
    for kind in SubjectKind:
        if subjects := sorted({item.ref.subject for item in items if item.kind == kind}):
            act.record_each(Event.DATA_DESTROYED, subjects, subject_kind=kind, note=plan.pk)
    Run.objects.filter(plan=plan).update(destroyed_count=F("destroyed_count") + len(items), seen_at=timezone.now())


def _park(plan: Plan, items: Sequence[Item], reason: Parked.Reason, *, error: str = "") -> None:
    """The run leaves these items as they are, and says why."""
    now = timezone.now()
    with transaction.atomic():
        Parked.objects.bulk_create(
            Parked(line_id=item.line, plan=plan, reason=reason, error=error, at=now) for item in items
        )
        Run.objects.filter(plan=plan).update(parked_count=F("parked_count") + len(items), seen_at=now)


# What the fences say.


def _finish(plan: Plan, items: Sequence[Item]) -> set[uuid.UUID]:
    """Finish, of the items, those whose key is a fence under their line; returns the lines of those."""
    by_line = {item.line: item for item in items}
    subjects = sorted({item.ref.subject for item in items})
    fences = [
        fence for fence in store.fences(subjects) if fence.line in by_line and by_line[fence.line].ref == fence.ref
    ]
    _finish_together(plan, [by_line[fence.line] for fence in fences], fences)
    return {fence.line for fence in fences}


def _park_what_was_spared(plan: Plan, items: Sequence[Item]) -> None:
    """Park what the vault would not destroy, each for its own reason."""
    living = {key.ref: key for key in store.left(sorted({item.ref.subject for item in items}))}
    for item in items:
        if (key := living.get(item.ref)) is not None:
            why = Parked.Reason.LEGAL_HOLD if key.frozen else Parked.Reason.FAILED
        else:
            known = {status.ref for status in store.status([item.ref.subject])}
            why = Parked.Reason.ENDED_ELSEWHERE if item.ref in known else Parked.Reason.NO_KEY
        _park(plan, [item], why)


def _finish_together(plan: Plan, items: Sequence[Item], fences: Sequence[store.Fence]) -> None:
    """Rows and records of keys that are gone already. Raises Unfinished when even one item alone cannot be finished."""
    if not items:
        return
    try:
        with acting(None, reason=Reason.RETENTION_ENDED) as act:
            subjects = sorted({item.ref.subject for item in items if item.kind == SubjectKind.MEMBER})
            # Not skipped: this happened, and whoever holds the row will be done soon.
            list(Member.objects.filter(pk__in=subjects).select_for_update().order_by("pk").values_list("pk"))
            erase([item.ref for item in items], emptied=emptied_by(items))
            reached(Point.ERASED)
            _record(plan, items, _together(fences), act=act)
            reached(Point.RECORDED)
        reached(Point.COMMITTED)
    except DatabaseError as error:
        if _is_lost(error):
            raise
        if len(items) == 1:
            raise Unfinished([items[0].line], _name_of(error)) from error
        middle = len(items) // 2
        unfinished: list[uuid.UUID] = []
        for half in (slice(None, middle), slice(middle, None)):
            try:
                _finish_together(plan, items[half], fences[half])
            except Unfinished as failed:
                unfinished += failed.lines
        if unfinished:
            raise Unfinished(unfinished, _name_of(error)) from error


def _together(fences: Sequence[store.Fence]) -> list[store.Ended]:
    """Fences by the moment at which they were put up."""
    moments: dict[tuple[datetime.datetime, int], list[uuid.UUID]] = {}
    for fence in fences:
        moments.setdefault((fence.destroyed_at, fence.keyring), []).append(fence.line)
    return [store.Ended(lines, at, keyring) for (at, keyring), lines in moments.items()]


def _complete(plan: Plan, journal: Journal, chunk: int) -> None:
    """The journal says of a chunk what the certificate lines say of it."""
    intended = journal.open_intents[chunk]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM retention_certificateline WHERE plan_id = %s AND id = ANY (%s)", [plan.pk, intended]
        )
        journal.complete(chunk, [row[0] for row in cursor.fetchall()])


def _complete_the_journal(plan: Plan, journal: Journal) -> None:
    """Every intent that a killed process left open is answered."""
    for chunk in sorted(journal.open_intents):
        _complete(plan, journal, chunk)
