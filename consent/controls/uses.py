"""Uses on record: within the policy (P0, P2), not of a suspended item (P5), not after a withdrawal (P6)."""

import datetime

from django.apps import apps
from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from access_control.controls import MOST_ROWS, Control, Measured, queried, tallied
from access_control.models import LedgerEvent
from access_control.privileges import OWN_APPS
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
    return queried(
        "SELECT e.id FROM access_control_ledgerevent e WHERE e.event = ANY (%s) AND e.at > %s AND EXISTS ("
        "   SELECT FROM unnest(e.items) AS used (item) WHERE NOT EXISTS ("
        "     SELECT FROM consent_matrixcell m WHERE m.item = used.item AND m.purpose = e.purpose))",
        [[str(event) for event in _OPENED], now - WINDOW],
    )


def _beyond_accepted(now: datetime.datetime) -> Measured:
    """Uses that a published version allows, but not the one that the member had accepted by that day.

    The consent events are read, not the folded row that the gate reads. What an agent does in the member's own case
    rests on the member's request, and needs no accepted version.
    """
    return queried(
        'SELECT e.id FROM access_control_ledgerevent e WHERE (e.event = %s OR (e.event = %s AND e."case" IS NULL))'
        " AND e.at > %s AND EXISTS (SELECT FROM unnest(e.items) AS used (item) WHERE EXISTS ("
        "   SELECT FROM consent_matrixcell m WHERE m.item = used.item AND m.purpose = e.purpose)"
        "   AND NOT EXISTS (SELECT FROM consent_matrixcell m WHERE m.item = used.item AND m.purpose = e.purpose"
        "     AND m.version_id = (SELECT c.version_id FROM consent_consentevent c WHERE c.member_id = e.subject"
        '       AND c.version_id IS NOT NULL AND c."on" <= (e.at AT TIME ZONE %s)::date'
        '       ORDER BY c."on" DESC, c.id DESC LIMIT 1)))',
        [Event.PROVIDED.value, Event.USED.value, now - WINDOW, timezone.get_default_timezone_name()],
    )


def _refusals(now: datetime.datetime) -> Measured:
    """How often the gate refused, by code."""
    return tallied(
        "SELECT reason, count(*) FROM access_control_ledgerevent WHERE event = ANY (%s) AND at > %s"
        " GROUP BY 1 ORDER BY 2 DESC",
        [[str(event) for event in _REFUSED], now - WINDOW],
    )


def _used_while_suspended(now: datetime.datetime) -> Measured:
    """Uses and provisions recorded between a suspension's start and end, by another case than the suspending one.

    The ledger names items, not rows, so a member with two live rows of the kind is left out rather than accused.
    """
    return queried(
        "SELECT e.id FROM members_suspension s JOIN access_control_ledgerevent e ON e.subject = s.member_id"
        " AND e.at >= s.started_at AND e.at < coalesce(s.ended_at, 'infinity') AND s.item = ANY (e.items)"
        ' WHERE e.event = ANY (%s) AND e."case" IS DISTINCT FROM s.case_id'
        "   AND (SELECT count(*) FROM members_contactpoint c WHERE c.member_id = s.member_id"
        "         AND 'contact.' || c.kind = s.item AND c.removed_at IS NULL) <= 1"
        "   AND (s.item NOT LIKE 'addressee.%%' OR (SELECT count(*) FROM members_addressee a"
        "         WHERE a.member_id = s.member_id AND a.removed_at IS NULL) <= 1)"
        "   AND (s.item NOT LIKE 'payment.%%' OR (SELECT count(*) FROM members_paymentmeans p"
        "         WHERE p.member_id = s.member_id AND p.removed_at IS NULL) <= 1) GROUP BY e.id",
        [[Event.USED.value, Event.PROVIDED.value]],
    )


CONTROLS = (
    Control(
        "P0_4",
        "beyond_accepted",
        _("uses that the version accepted by the member does not allow, 30 days"),
        _beyond_accepted,
        why=_(
            "A use needs the version in force and the one that the member accepted; consent events tell which it was."
        ),
        rows_are=_("ledger events"),
    ),
    Control(
        "P2_1",
        "outside_inventory",
        _("columns outside the inventory"),
        _outside_the_inventory,
        why=_("The database's own catalogue is read: a column that could hold an item must be declared as one."),
        rows_are=_("columns"),
    ),
    Control(
        "P2_2",
        "outside_matrix",
        _("uses for a purpose that no published version allows"),
        _outside_the_matrix,
        why=_("The ledger's uses of 30 days are compared with the published matrix of items and purposes."),
        rows_are=_("ledger events"),
    ),
    Control(
        "P2_3",
        "without_event",
        _("vault fetches without a matching event, 30 days"),
        _without_an_event,
        why=_("The key store writes its own record of every fetch, and each must have an event in the ledger."),
        rows_are=_("records of the vault"),
    ),
    Control(
        "P2_3",
        "refusals",
        _("uses refused by the gate, 30 days"),
        _refusals,
        tally=True,
        why=_("Each was stopped before anything was opened; many of one code show where work and policy collide."),
        rows_are=_("codes"),
    ),
    Control(
        "P5_B1",
        "used_while_suspended",
        _("uses or provisions of a suspended item"),
        _used_while_suspended,
        why=_("From the request to its end, the ledger may show no use of the item outside the case itself."),
        rows_are=_("ledger events"),
    ),
    Control(
        "P6_A1",
        "used_after_withdrawal",
        _("uses after withdrawal outside clause 4.C"),
        why=_("Withdrawals of consent are not carried out here yet."),
    ),
    Control(
        "P6_B1",
        "page_withdrawals",
        _("withdrawals on the member page that have not arrived here"),
        why=_("The site sends no withdrawals to this console yet."),
    ),
    Control(
        "P6_B2",
        "fees",
        _("withdrawals that waited for a fee"),
        why=_("No schedule of fees is kept here yet."),
    ),
    Control(
        "P6_C1",
        "kept_from_withdrawal",
        _("items kept from a withdrawal beyond what clause 4.C needs"),
        why=_("Withdrawals of consent are not carried out here yet."),
    ),
)
