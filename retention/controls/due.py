"""What is past its date, kept too long, or has no rule (P7.A). From the rows alone, not by ``retention.due``."""

import datetime

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from access_control.controls import Control, Measured, State, queried
from members.inventory import ITEMS
from retention.models import COUNTED_FROM, Start

# "Without delay": a week for the plan, its approval, the run and its verification.
WITHOUT_DELAY = datetime.timedelta(days=7)
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
        # In a demo a plan may be for a day to come; then, and only there, the plan's day counts.
        " WHERE l.due_on > (x.destroyed_at AT TIME ZONE 'Asia/Tokyo')::date AND (NOT %s OR l.due_on > p.as_of)"
        "   AND x.destroyed_at > %s ORDER BY 1",
        [settings.DEMO, now - WINDOW],
    )


def _without_a_rule(now: datetime.datetime) -> Measured:
    return queried(
        "SELECT e.code || ' ' || c FROM access_control_entity e CROSS JOIN generate_series(1, 7) AS c"
        " WHERE NOT EXISTS (SELECT FROM retention_rule r WHERE r.entity_id = e.code AND r.category = c"
        f"   AND r.version_id = {_IN_FORCE}) ORDER BY 1",
        [timezone.localdate(now)],
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
)
