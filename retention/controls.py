"""This app's controls: retention and destruction (P7). Each asks the facts by SQL of its own, not ``retention.due``."""

import datetime
import uuid
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from access_control import restore
from access_control.controls import MOST_ROWS, Control, Measured, State, queried, tallied
from access_control.vault import store
from access_control.vault.seal import KeyRef
from members.inventory import ITEMS
from members.models import Case, Member
from members.services.registration import DATA_CATEGORIES
from retention.models import COUNTED_FROM, CertificateLine, LegalHold, Run, Start
from retention.restores import holds_not_on_record

# "Without delay": a week for the plan, its approval, the run and its verification.
WITHOUT_DELAY = datetime.timedelta(days=7)
STALLED = datetime.timedelta(hours=1)
BATCH = 5_000
WINDOW = datetime.timedelta(days=30)
_IN_FORCE = "(SELECT id FROM retention_ruleversion WHERE effective_on <= %s ORDER BY effective_on DESC LIMIT 1)"
# Persons, and cases of callers who were not identified, with something past its date that nothing stands in the way of,
# and the day on which the oldest fell due. From the rows and the certificate lines alone, whatever ``retention.due``
# and the vault say.
_PAST_DUE = """
WITH rule AS (
  SELECT r.* FROM retention_rule r WHERE r.version_id = (
    SELECT id FROM retention_ruleversion WHERE effective_on <= %(today)s ORDER BY effective_on DESC LIMIT 1)
), held AS (
  SELECT member_id FROM retention_legalhold WHERE lifted_at IS NULL
), answered AS (
  SELECT member_id FROM members_case WHERE state = 'open' AND member_id IS NOT NULL
), disputed AS (
  SELECT s.member_id, i.category FROM members_suspension s
    JOIN unnest(%(items)s::text[], %(categories)s::int[]) AS i (item, category) ON i.item = s.item
   WHERE s.ended_at IS NULL
), spoken AS (
  SELECT subject_id AS subject, case_id FROM members_casenote WHERE text IS NOT NULL
  UNION ALL SELECT member_id, case_id FROM members_correction WHERE proposed IS NOT NULL
  UNION ALL SELECT member_id, case_id FROM members_notice WHERE "to" IS NOT NULL
), late AS (
  -- Former members, category by category.
  SELECT m.id, period_over_on((m.ended_at AT TIME ZONE 'Asia/Tokyo')::date, r.keep_months, r.keep_days) AS due_on
    FROM members_member m JOIN rule r ON r.entity_id = m.entity_id AND r.start = 'membership_ended'
   WHERE m.state = 'ended'
     AND CASE r.category
         WHEN 1 THEN m.number IS NOT NULL
         WHEN 2 THEN EXISTS (SELECT FROM members_contactpoint t WHERE t.member_id = m.id)
         WHEN 3 THEN EXISTS (SELECT FROM members_addressee t WHERE t.member_id = m.id)
         WHEN 4 THEN EXISTS (SELECT FROM members_paymentmeans t WHERE t.member_id = m.id)
         WHEN 5 THEN coalesce(m.birth_date, m.sex, m.occupation) IS NOT NULL
         ELSE EXISTS (SELECT FROM spoken t WHERE t.subject = m.id) END
     AND NOT EXISTS (SELECT FROM held h WHERE h.member_id = m.id)
     AND NOT EXISTS (SELECT FROM answered a WHERE a.member_id = m.id)
     AND NOT EXISTS (SELECT FROM disputed d WHERE (d.member_id, d.category) = (m.id, r.category))
  UNION ALL
  -- Values that were corrected. No answer needs them, so they wait for no open case.
  SELECT m.id, period_over_on((k.decided_at AT TIME ZONE 'Asia/Tokyo')::date, r.keep_months, r.keep_days)
    FROM members_correction k JOIN members_member m ON m.id = k.member_id
    JOIN rule r ON r.entity_id = m.entity_id AND r.start = 'value_superseded' AND r.category = k.superseded_category
   WHERE k.state = 'applied' AND m.state <> 'destroyed'
     AND NOT EXISTS (SELECT FROM held h WHERE h.member_id = m.id)
     AND NOT EXISTS (SELECT FROM disputed d WHERE (d.member_id, d.category) = (m.id, r.category))
     AND NOT EXISTS (SELECT FROM retention_certificateline x WHERE (x.subject, x.category, x.generation)
                      = (m.id, k.superseded_category, k.superseded_generation))
  UNION ALL
  -- What was said and written in cases that are closed.
  SELECT m.id, period_over_on((c.closed_at AT TIME ZONE 'Asia/Tokyo')::date, r.keep_months, r.keep_days)
    FROM members_case c JOIN members_member m ON m.id = c.member_id
    JOIN rule r ON r.entity_id = m.entity_id AND r.start = 'case_closed'
   WHERE c.state = 'closed' AND m.state <> 'destroyed'
     AND EXISTS (SELECT FROM spoken t WHERE (t.subject, t.case_id) = (m.id, c.id))
     AND NOT EXISTS (SELECT FROM held h WHERE h.member_id = m.id)
     AND NOT EXISTS (SELECT FROM answered a WHERE a.member_id = m.id)
  UNION ALL
  -- What was noted before anybody knew who called: by the rules of the company that took the call.
  SELECT c.id, period_over_on((c.closed_at AT TIME ZONE 'Asia/Tokyo')::date, r.keep_months, r.keep_days)
    FROM members_case c JOIN access_control_staff s ON s.id = c.owner_id
    JOIN access_control_person p ON p.id = s.person_id
    JOIN rule r ON r.entity_id = p.entity_id AND r.start = 'case_closed'
   WHERE c.state = 'closed' AND EXISTS (SELECT FROM spoken t WHERE t.subject = c.id)
     AND NOT EXISTS (SELECT FROM held h WHERE h.member_id = c.member_id)
     AND NOT EXISTS (SELECT FROM answered a WHERE a.member_id = c.member_id)
)
SELECT id || ' ' || min(due_on) - 1 FROM late WHERE due_on < %(late)s GROUP BY id ORDER BY min(due_on)
"""


def _past_due(now: datetime.datetime) -> Measured:
    """Whose data passed its date more than a week ago, and the last day of the oldest; oldest first."""
    today = timezone.localdate(now)
    return queried(
        _PAST_DUE,
        {
            "today": today,
            "late": today - WITHOUT_DELAY,
            "items": list(ITEMS),
            "categories": [int(item.category) for item in ITEMS.values()],
        },
    )


def _not_counted(now: datetime.datetime) -> Measured:
    """The events that the policy counts from and no rule can name yet."""
    missing = [str(label) for code, label in COUNTED_FROM.items() if code not in Start.values]
    return Measured(len(missing), missing)


def _kept_too_long(now: datetime.datetime) -> Measured:
    """Fiscal years of transactions that are still on file more than a week after the law lets them go.

    A hold keeps them. No open case does: they are destroyed by fiscal year, whoever is being answered.
    """
    today, late = timezone.localdate(now), timezone.localdate(now) - WITHOUT_DELAY
    return queried(
        "SELECT DISTINCT t.fiscal_year || ' ' || m.entity_id FROM members_transaction t"
        "  JOIN members_member m ON m.id = t.member_id JOIN access_control_entity e ON e.code = m.entity_id"
        "  JOIN retention_rule r ON r.entity_id = m.entity_id AND r.start = 'transaction'"
        f" WHERE r.version_id = {_IN_FORCE}"
        "   AND NOT EXISTS (SELECT FROM retention_legalhold h WHERE h.member_id = m.id AND h.lifted_at IS NULL)"
        "   AND period_over_on(make_date(t.fiscal_year + 1, e.fiscal_year_starts, 1) - 1, r.keep_months, r.keep_days)"
        "       < %s ORDER BY 1",
        [today, late],
    )


def _destroyed_early(now: datetime.datetime) -> Measured:
    return queried(
        "SELECT x.id FROM retention_certificateline x JOIN retention_planline l ON l.id = x.id"
        "  JOIN retention_plan p ON p.id = x.plan_id"
        # In a demo a plan may be for a day to come; then the plan's day counts.
        " WHERE l.due_on > greatest((x.destroyed_at AT TIME ZONE 'Asia/Tokyo')::date, p.as_of)"
        "   AND x.destroyed_at > %s ORDER BY 1",
        [now - WINDOW],
    )


def _without_a_rule(now: datetime.datetime) -> Measured:
    return queried(
        "SELECT e.code || ' ' || c FROM access_control_entity e CROSS JOIN generate_series(1, 7) AS c"
        " WHERE NOT EXISTS (SELECT FROM retention_rule r WHERE r.entity_id = e.code AND r.category = c"
        f"   AND r.version_id = {_IN_FORCE}) ORDER BY 1",
        [timezone.localdate(now)],
    )


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
    """Keys that the certificates of the last 30 days call destroyed, and that the vault holds."""
    lines = CertificateLine.objects.filter(destroyed_at__gt=now - WINDOW).order_by("subject")
    found: list[str] = []
    batch: list[tuple[uuid.UUID, int, int, uuid.UUID]] = []
    figure = 0
    for line in lines.values_list("subject", "category", "generation", "id").iterator(chunk_size=5_000):
        batch.append(line)
        if len(batch) == 5_000:
            figure, batch = figure + _alive_among(batch, found), []
    return Measured(figure + _alive_among(batch, found), found[:MOST_ROWS])


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


def _without_their_keys(now: datetime.datetime) -> Measured:
    """Members whose membership stands, and of whom the newest key of something they gave is destroyed."""
    found: list[str] = []
    last = uuid.UUID(int=0)
    while dead := store.newest_dead(DATA_CATEGORIES, above=last, most=BATCH):
        active = Member.objects.filter(pk__in=dead, state=Member.State.ACTIVE).order_by("pk")
        found += [str(member) for member in active.values_list("pk", flat=True)]
        last = dead[-1]
    return Measured(len(found), found[:MOST_ROWS])


def _holds_over_nothing(now: datetime.datetime) -> Measured:
    """Open holds on members of whom no key lives, neither their own nor one of their cases."""
    held = LegalHold.objects.filter(lifted_at=None).order_by("member_id").values_list("member_id", "pk")
    found: list[str] = []
    for holds in _batched(held.iterator(chunk_size=BATCH)):
        members = sorted({member for member, _hold in holds})
        cases = dict(Case.objects.filter(member__in=members).values_list("pk", "member_id"))
        subjects = {key.ref.subject for key in store.left([*members, *sorted(cases)])}
        living = {cases.get(subject, subject) for subject in subjects}
        found += [str(hold) for member, hold in holds if member not in living]
    return Measured(len(found), found[:MOST_ROWS])


def _batched(rows: Iterable[Any]) -> Iterator[list[Any]]:
    """The rows in lists of at most ``BATCH``."""
    left = iter(rows)
    while batch := list(islice(left, BATCH)):
        yield batch


def _parked(now: datetime.datetime) -> Measured:
    return tallied(
        "SELECT p.reason, count(*) FROM retention_parked p WHERE p.at > %s GROUP BY 1 ORDER BY 2 DESC", [now - WINDOW]
    )


def _frozen_without_hold(now: datetime.datetime) -> Measured:
    """Subjects whose keys the vault keeps frozen for a hold of which there is no row, or of which no hold is open."""
    frozen = store.frozen()
    unknown = {subject for subjects in holds_not_on_record().values() for subject in subjects}
    subjects = [row.subject for row in frozen]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s FROM unnest(%s::uuid[]) AS s WHERE NOT EXISTS (SELECT FROM retention_legalhold h"
            "   LEFT JOIN members_case c ON c.member_id = h.member_id AND c.id = s"
            "  WHERE h.lifted_at IS NULL AND (h.member_id = s OR c.id = s))",
            [subjects],
        )
        unknown |= {row[0] for row in cursor.fetchall()}
    return Measured(len(unknown), [str(subject) for subject in sorted(unknown)[:MOST_ROWS]])


def _hold_not_frozen(now: datetime.datetime) -> Measured:
    """Members with an open hold of whose living keys none is frozen: the vault would destroy them."""
    held = sorted(set(LegalHold.objects.filter(lifted_at=None).values_list("member_id", flat=True)))
    living: dict[uuid.UUID, bool] = {}
    for key in store.left(held):
        living[key.ref.subject] = living.get(key.ref.subject, False) or key.frozen
    bare = [str(member) for member in held if living.get(member) is False]
    return Measured(len(bare), bare[:MOST_ROWS])


def _restored(now: datetime.datetime) -> Measured:
    signs = restore.look()
    return Measured(len(signs), [sign.value for sign in signs])


def _restores_accepted(now: datetime.datetime) -> Measured:
    return tallied(
        "SELECT r.restore_epoch || ' ' || l.key, l.value::bigint FROM access_control_acceptedrestore r"
        "  CROSS JOIN jsonb_each_text(r.lost) AS l WHERE r.accepted_at > %s AND l.value <> '0' ORDER BY 1",
        [now - WINDOW],
    )


CONTROLS: tuple[Control, ...] = (
    Control(
        "P7_A0",
        "past_due",
        _("persons with data more than a week past its date"),
        _past_due,
        why=_(
            "No legal hold, no pending correction, and no open case that needs it stands in the way; the oldest comes"
            " first. The leftovers list says why the rest is still there."
        ),
        rows_are=_("persons or cases, and the last day of the oldest"),
    ),
    Control(
        "P7_A0",
        "not_counted",
        _("events from which no period can be counted yet"),
        _not_counted,
        fixed=State.NOT_YET,
        tally=True,
        why=_("The policy names them beside those that rules know. Until rules know them, the sentence is not judged."),
        rows_are=_("events"),
    ),
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
        "members_without_keys",
        _("members whose membership stands and whose data is destroyed"),
        _without_their_keys,
        why=_("The vault is asked by itself: a return that a destruction overtook would show here."),
        rows_are=_("members"),
    ),
    Control(
        "P7_A0",
        "holds_over_nothing",
        _("legal holds on members of whom nothing is left"),
        _holds_over_nothing,
        why=_("The vault is asked by itself: a hold that came too late would show here."),
        rows_are=_("legal holds"),
    ),
    Control(
        "P7_A0",
        "frozen_without_hold",
        _("persons whose keys are frozen without a legal hold on record"),
        _frozen_without_hold,
        why=_(
            "A crash or a restore has lost the hold, and nothing thaws by itself: place the hold again, which takes"
            " the keys over, and lift it when the data is evidence no longer."
        ),
        rows_are=_("persons or cases"),
    ),
    Control(
        "P7_A0",
        "hold_not_frozen",
        _("legal holds over keys that are not frozen"),
        _hold_not_frozen,
        why=_("The vault was restored, or somebody thawed: place the hold again on another ground, and lift this one."),
        rows_are=_("persons"),
    ),
    Control(
        "P7_A0",
        "destruction_orders",
        _("orders to recipients to destroy"),
        why=_("Recipients cannot be given orders from this console yet."),
    ),
    Control(
        "P7_A1",
        "kept_too_long",
        _("fiscal years kept longer than the law demands"),
        _kept_too_long,
        why=_("What the law keeps is destroyed by fiscal year, within a week of its last day."),
        rows_are=_("fiscal years and sites"),
    ),
    Control(
        "P7_A1",
        "destroyed_early",
        _("items destroyed before their date, 30 days"),
        _destroyed_early,
        why=_("The certificate's time is compared with the date in the plan."),
        rows_are=_("certificate lines"),
    ),
    Control(
        "P7_A2",
        "without_rule",
        _("categories of data without a published period"),
        _without_a_rule,
        why=_("For every site and category the rules in force say how long data is used and kept."),
        rows_are=_("sites and categories"),
    ),
    Control(
        "P7_A3",
        "contractors",
        _("what contractors keep"),
        why=_("Contractors' copies are not on record here yet."),
    ),
    Control(
        "P7_B1",
        "paper",
        _("paper past its date"),
        why=_("The register of paper and media is not there yet."),
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
        "restored",
        _("signs that a database was restored from a backup"),
        _restored,
        why=_(
            "Vault and journals remember what a restore forgets; until two persons accept it, the console is closed."
        ),
        rows_are=_("signs"),
    ),
    Control(
        "P7_B2",
        "restores_accepted",
        _("what accepted restores have lost, 30 days"),
        _restores_accepted,
        tally=True,
        why=_(
            "Each figure is what vault and journals remembered and the console did not, when two persons accepted it."
        ),
        rows_are=_("restore epoch, and what was lost"),
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
        _("keys alive that a certificate calls destroyed, 30 days"),
        _revived,
        why=_("The vault is asked by itself: a key put back would make a destroyed value readable again."),
        rows_are=_("certificate lines"),
    ),
)
