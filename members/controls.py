"""This app's controls: seeing and correcting (P5), handing over (P8.B4)."""

import datetime

from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from access_control.controls import MOST_ROWS, Control, Measured, counted
from access_control.history import history_of
from access_control.sql import immutable_columns
from members.models import DATA_MODELS, Case, Member, Suspension

# A correction that pends longer than the answer may take is not being worked on.
LONGEST_SUSPENSION = datetime.timedelta(days=14)


def _past_deadline(now: datetime.datetime) -> Measured:
    open_cases = Case.objects.filter(state=Case.State.OPEN, due_on__lt=timezone.localdate(now))
    return counted(open_cases.order_by("due_on"), name="reference")


def _old_suspensions(now: datetime.datetime) -> Measured:
    old = Suspension.objects.filter(ended_at=None, started_at__lt=now - LONGEST_SUSPENSION)
    return counted(old.order_by("started_at"), name="case__reference")


def _immutables_changed(now: datetime.datetime) -> Measured:
    """Members whose history shows two values of an immutable item, whatever the trigger says."""
    history = history_of(Member)
    assert history is not None
    several = " OR ".join(f'count(DISTINCT "{column}") > 1' for column in immutable_columns(Member))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {history._meta.db_table} GROUP BY id HAVING {several} LIMIT {MOST_ROWS}")
        rows = [str(row[0]) for row in cursor.fetchall()]
    return Measured(len(rows), rows)


def _not_applied(now: datetime.datetime) -> Measured:
    """Corrections called applied whose row is still sealed under the old generation (bytes 3 to 10 of the value)."""
    found: list[str] = []
    with connection.cursor() as cursor:
        for model in DATA_MODELS:
            for column in [field.column for field in model._meta.concrete_fields if hasattr(field, "item_for")]:
                cursor.execute(
                    f"SELECT c.id FROM members_correction c JOIN {model._meta.db_table} t ON t.id = c.row"
                    f" WHERE c.state = 'applied' AND c.field = %s"
                    f' AND substring(t."{column}" FROM 3 FOR 8) <= int8send(c.superseded_generation) LIMIT {MOST_ROWS}',
                    [column],
                )
                found += [str(row[0]) for row in cursor.fetchall()]
    return Measured(len(found), found)


def _left_behind(now: datetime.datetime) -> Measured:
    return counted(Case.objects.left_behind(), name="reference")


CONTROLS = (
    Control("P5_A1", "past_deadline", _("cases past their deadline"), _past_deadline),
    Control("P5_A2", "immutables_changed", _("members whose name or ID was changed"), _immutables_changed),
    Control("P5_B1", "old_suspensions", _("suspensions older than 14 days"), _old_suspensions),
    Control("P5_B2", "orders", _("correction orders that recipients have not acknowledged")),
    Control("P5_B3", "not_applied", _("corrections applied that left the old value standing"), _not_applied),
    Control("P8_B4", "left_behind", _("open cases of people who may no longer act"), _left_behind),
)
