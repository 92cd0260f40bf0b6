"""Runs, certificates and their verification (P7.B): the vault and the certificate lines are asked by themselves."""

import datetime
import uuid
from pathlib import Path

from django.utils.translation import gettext_lazy as _

from access_control.controls import MOST_ROWS, Control, Measured, queried, tallied
from access_control.vault import store
from access_control.vault.seal import KeyRef
from retention.controls.due import WINDOW, WITHOUT_DELAY
from retention.journal import JournalError, journals_at_hand, plans_of
from retention.models import CertificateLine, Run
from retention.revived import living, uncertified_in

STALLED = datetime.timedelta(hours=1)
# Twice the month in which the nightly look comes round.
LOOKED_AT_AGAIN_WITHIN = datetime.timedelta(days=62)
_NEWEST = (
    "SELECT DISTINCT ON (p.id) p.id, p.reference, r.finished_at, v.failed_count FROM retention_plan p"
    "  JOIN retention_run r ON r.plan_id = p.id LEFT JOIN retention_verification v ON v.plan_id = p.id"
    " WHERE r.finished_at IS NOT NULL ORDER BY p.id, v.id DESC"
)


def _failed_verification(now: datetime.datetime) -> Measured:
    return queried(f"SELECT reference FROM ({_NEWEST}) AS newest WHERE failed_count > 0 ORDER BY 1")


def _unverified(now: datetime.datetime) -> Measured:
    return queried(
        f"SELECT reference FROM ({_NEWEST}) AS newest WHERE failed_count IS NULL AND finished_at < %s ORDER BY 1",
        [now - WITHOUT_DELAY],
    )


def _stalled(now: datetime.datetime) -> Measured:
    return queried(
        "SELECT p.reference FROM retention_run r JOIN retention_plan p ON p.id = r.plan_id"
        " WHERE r.finished_at IS NULL AND r.seen_at < %s ORDER BY 1",
        [now - STALLED],
    )


def _revived(now: datetime.datetime) -> Measured:
    """Keys that the vault holds, and the certificates of the last 30 days or a journal call destroyed.

    Older certificates are looked at by ``verify_purge --all``; the journal of a run that is finished here says the same
    as its certificate.
    """
    lines = CertificateLine.objects.filter(destroyed_at__gt=now - WINDOW).order_by("subject")
    found: list[str] = []
    batch: list[tuple[uuid.UUID, int, int, uuid.UUID]] = []
    figure = 0
    for line in lines.values_list("subject", "category", "generation", "id").iterator(chunk_size=5_000):
        batch.append(line)
        if len(batch) == 5_000:
            figure, batch = figure + _alive_among(batch, found), []
    figure += _alive_among(batch, found)
    try:
        at_hand = journals_at_hand()
    except JournalError:
        at_hand, figure = [], figure + 1
        found.append("journals")
    finished = set(
        Run.objects.filter(plan__in=plans_of(at_hand), finished_at__isnull=False).values_list("plan", flat=True)
    )
    for path in at_hand:
        if finished.isdisjoint(plans_of([path])):
            figure += _alive_in(path, found)
    return Measured(figure, found[:MOST_ROWS])


def _alive_in(path: Path, found: list[str]) -> int:
    """A journal that does not open, or of which a line was changed, is found as well."""
    alive = 0
    try:
        for keys in uncertified_in(path):
            lines = [str(key.line) for key in living(keys)]
            alive += len(lines)
            found += lines[:MOST_ROWS]
    except JournalError:
        alive += 1
        found.append(path.name)
    return alive


def _alive_among(lines: list[tuple[uuid.UUID, int, int, uuid.UUID]], found: list[str]) -> int:
    living = {key.ref for key in store.left(sorted({line[0] for line in lines}))} if lines else set()
    alive = [str(line[3]) for line in lines if KeyRef(*line[:3]) in living]
    found += alive[:MOST_ROWS]
    return len(alive)


def _without_certificate(now: datetime.datetime) -> Measured:
    """Plans, by their hash, in whose name the vault destroyed another number of keys than their run says."""
    runs = Run.objects.values_list("plan__payload_hash", "destroyed_count", "finished_at")
    said = {bytes(plan_hash): (destroyed, finished) for plan_hash, destroyed, finished in runs}
    rows = []
    for plan_hash, destroyed in sorted(store.destroyed_by_plan().items()):
        count, finished = said.get(plan_hash, (0, now))
        # A run under way records a moment later than the vault.
        if destroyed != count and finished is not None:
            rows.append(plan_hash.hex())
    return Measured(len(rows), rows[:MOST_ROWS])


def _parked(now: datetime.datetime) -> Measured:
    return tallied(
        "SELECT p.reason, count(*) FROM retention_parked p WHERE p.at > %s GROUP BY 1 ORDER BY 2 DESC", [now - WINDOW]
    )


def _found_again(now: datetime.datetime) -> Measured:
    """Findings of second looks, until a later look at the same lines finds nothing."""
    return queried(
        "SELECT unnest(r.findings) FROM retention_recheck r WHERE r.failed_count > 0 AND NOT EXISTS ("
        "  SELECT FROM retention_recheck n WHERE n.id > r.id AND n.failed_count = 0"
        "     AND n.behind <= r.behind AND n.last >= r.last) ORDER BY r.id"
    )


def _not_looked_at_again(now: datetime.datetime) -> Measured:
    """Months-old certificates whose lines no second look has reached the end of for as long."""
    return queried(
        "SELECT p.reference FROM retention_run r JOIN retention_plan p ON p.id = r.plan_id"
        " WHERE r.finished_at < %(long_ago)s AND r.destroyed_count > 0 AND NOT EXISTS ("
        "   SELECT FROM retention_recheck n WHERE n.reached_end AND n.at >= %(long_ago)s) ORDER BY 1",
        {"long_ago": now - LOOKED_AT_AGAIN_WITHIN},
    )


CONTROLS: tuple[Control, ...] = (
    Control(
        "P7_A0",
        "stalled_runs",
        _("destruction runs that have stopped half-way"),
        _stalled,
        why=_("A run without a sign of life for an hour is begun again with run_purge; it goes on where it was."),
        rows_are=_("destruction plans"),
    ),
    Control(
        "P7_A0",
        "parked",
        _("items that runs left as they were, 30 days"),
        _parked,
        tally=True,
        why=_("Each was due when it was planned and not when its turn came; a later plan takes it up."),
        rows_are=_("reasons"),
    ),
    Control(
        "P7_A0",
        "destruction_orders",
        _("orders to recipients to destroy"),
        why=_("Recipients cannot be given orders from this console yet."),
    ),
    Control(
        "P7_B2",
        "failed_verification",
        _("certificates whose verification failed"),
        _failed_verification,
        why=_("The newest verification of each finished run counts; verify_purge makes one."),
        rows_are=_("destruction plans"),
    ),
    Control(
        "P7_B2",
        "unverified",
        _("finished runs that nobody verified within a week"),
        _unverified,
        why=_("What was destroyed is looked at by code that shares nothing with the code that destroyed."),
        rows_are=_("destruction plans"),
    ),
    Control(
        "P7_B2",
        "without_certificate",
        _("destructions in the vault that no certificate accounts for"),
        _without_certificate,
        why=_("The vault counts by itself what it destroys in the name of each plan."),
        rows_are=_("hashes of plans"),
    ),
    Control(
        "P7_B2",
        "revived",
        _("keys alive that a certificate of the last 30 days or a journal calls destroyed"),
        _revived,
        why=_("The vault is asked by itself: a key put back would make a destroyed value readable again."),
        rows_are=_("certificate lines, or journals that cannot be read"),
    ),
    Control(
        "P7_B2",
        "found_again",
        _("findings of second looks at what was destroyed"),
        _found_again,
        why=_("Everything ever destroyed is looked at again: key, fence, lookups and rows (verify_purge --all)."),
        rows_are=_("findings"),
    ),
    Control(
        "P7_B2",
        "not_looked_at_again",
        _("certificates that nobody has looked at again for 62 days"),
        _not_looked_at_again,
        why=_("A share is looked at each night, so that within a month all of them have had their turn."),
        rows_are=_("destruction plans"),
    ),
)
