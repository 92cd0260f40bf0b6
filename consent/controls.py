"""This app's controls: items and purposes (P2), suspended items (P5.B1)."""

import datetime

from django.apps import apps
from django.db import connection
from django.utils.translation import gettext_lazy as _

from access_control.controls import MOST_ROWS, Control, Measured
from access_control.models import LedgerEvent
from access_control.sql import OWN_APPS
from access_control.vault import store
from consent.events import Event
from members.inventory import CLEAR

WINDOW = datetime.timedelta(days=30)
# A fetch under way has committed its own record before its event; it is looked at a minute later.
SETTLED = datetime.timedelta(minutes=1)
_OPENED = (Event.REVEALED, Event.USED, Event.PROVIDED)
_REFUSED = (Event.REVEAL_REFUSED, Event.USE_REFUSED, Event.PROVISION_REFUSED)
# Types that can hold text, and therefore a personal value.
_TEXT_TYPES = ("text", "character", "bytea", "json", "inet", "xml", "name", "smallint[]")
# Tables that procrastinate makes beside its models.
PROCRASTINATE = ("procrastinate_events", "procrastinate_jobs", "procrastinate_periodic_defers", "procrastinate_workers")


def _outside_the_inventory(now: datetime.datetime) -> Measured:
    """Columns of our tables, read from the database's own catalogue, that no model declares or nobody explained."""
    declared: dict[str, dict[str, bool]] = {}
    for model in apps.get_models():
        if model._meta.app_label not in OWN_APPS:
            continue
        label = model._meta.label.replace("Historical", "")
        declared[model._meta.db_table] = {
            str(field.column): hasattr(field, "item_for")
            or bool(field.choices)
            or field.is_relation
            or f"{label}.{field.name}" in CLEAR
            or field.name.startswith("history_")
            for field in model._meta.concrete_fields
        }
    # Tables of libraries hold staff, sessions, jobs and migrations; nothing of a member is written there.
    libraries = {
        table
        for model in apps.get_models(include_auto_created=True)
        if model._meta.app_label not in OWN_APPS
        for table in [model._meta.db_table]
    } | {"django_migrations", *PROCRASTINATE}
    with connection.cursor() as cursor:
        cursor.execute(
            # The catalogue itself: information_schema shows a role only what it has privileges on.
            "SELECT c.relname, a.attname, format_type(a.atttypid, NULL) FROM pg_class c"
            "  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
        )
        rows = [
            f"{table}.{column}"
            for table, column, kind in cursor.fetchall()
            if table not in libraries
            and (
                column not in declared.get(table, {}) or (kind.startswith(_TEXT_TYPES) and not declared[table][column])
            )
        ]
    return Measured(len(rows), sorted(rows)[:MOST_ROWS])


def _without_an_event(now: datetime.datetime) -> Measured:
    """Fetches that the vault recorded and the ledger does not know."""
    records = [row for row in store.fetch_records(now - WINDOW) if row[1] < now - SETTLED]
    known: set[object] = set()
    events = [row[3] for row in records]
    for start in range(0, len(events), 5_000):
        chunk = events[start : start + 5_000]
        known |= set(LedgerEvent.objects.filter(id__in=chunk).values_list("id", flat=True))
    missing = [str(row[0]) for row in records if row[3] not in known]
    return Measured(len(missing), missing[:MOST_ROWS])


def _outside_the_matrix(now: datetime.datetime) -> Measured:
    """Uses on record for which no published version couples item and purpose."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.id FROM access_control_ledgerevent e, unnest(e.items) AS used (item)"
            " WHERE e.event = ANY (%s) AND e.at > %s AND NOT EXISTS ("
            "   SELECT FROM consent_matrixcell m WHERE m.item = used.item AND m.purpose = e.purpose) LIMIT %s",
            [[str(event) for event in _OPENED], now - WINDOW, MOST_ROWS],
        )
        rows = [str(row[0]) for row in cursor.fetchall()]
    return Measured(len(rows), rows)


def _refusals(now: datetime.datetime) -> Measured:
    """How often the gate refused, by code."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT reason, count(*) FROM access_control_ledgerevent WHERE event = ANY (%s) AND at > %s"
            " GROUP BY 1 ORDER BY 2 DESC",
            [[str(event) for event in _REFUSED], now - WINDOW],
        )
        rows = cursor.fetchall()
    return Measured(sum(row[1] for row in rows), [f"{code}: {count}" for code, count in rows])


def _used_while_suspended(now: datetime.datetime) -> Measured:
    """Uses and provisions recorded between a suspension's start and end, by another case than the suspending one.

    The ledger names items, not rows, so a member with two live rows of the kind is left out rather than accused.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.id FROM members_suspension s JOIN access_control_ledgerevent e ON e.subject = s.member_id"
            " AND e.at >= s.started_at AND e.at < coalesce(s.ended_at, 'infinity') AND s.item = ANY (e.items)"
            ' WHERE e.event = ANY (%s) AND e."case" IS DISTINCT FROM s.case_id'
            "   AND (SELECT count(*) FROM members_contactpoint c WHERE c.member_id = s.member_id"
            "         AND 'contact.' || c.kind = s.item AND c.removed_at IS NULL) <= 1"
            "   AND (s.item NOT LIKE 'addressee.%%' OR (SELECT count(*) FROM members_addressee a"
            "         WHERE a.member_id = s.member_id AND a.removed_at IS NULL) <= 1)"
            "   AND (s.item NOT LIKE 'payment.%%' OR (SELECT count(*) FROM members_paymentmeans p"
            "         WHERE p.member_id = s.member_id AND p.removed_at IS NULL) <= 1) LIMIT %s",
            [[Event.USED.value, Event.PROVIDED.value], MOST_ROWS],
        )
        rows = [str(row[0]) for row in cursor.fetchall()]
    return Measured(len(rows), rows)


CONTROLS = (
    Control("P2_1", "outside_inventory", _("columns outside the inventory"), _outside_the_inventory),
    Control("P2_2", "outside_matrix", _("uses for a purpose that no published version allows"), _outside_the_matrix),
    Control("P2_3", "without_event", _("vault fetches without a matching event, 30 days"), _without_an_event),
    Control("P2_3", "refusals", _("uses refused by the gate, 30 days"), _refusals, tally=True),
    Control("P5_B1", "used_while_suspended", _("uses or provisions of a suspended item"), _used_while_suspended),
)
