"""This app's controls: seeing and correcting (P5), handing over (P8.B4), cautions (P10), inquiries (P12)."""

import datetime

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from access_control.controls import MOST_ROWS, Control, Measured, State, counted, queried
from access_control.history import history_of
from access_control.sql import immutable_columns
from members.models import DATA_MODELS, Case, Member, Suspension
from members.models.cases import CaseQuerySet

# A correction that pends longer than the answer may take is not being worked on.
LONGEST_SUSPENSION = datetime.timedelta(days=14)


def _late(now: datetime.datetime) -> CaseQuerySet:
    return Case.objects.filter(state=Case.State.OPEN, due_on__lt=timezone.localdate(now)).order_by("due_on")


def _past_deadline(now: datetime.datetime) -> Measured:
    """Inquiries are counted by the sentence about the window (P12)."""
    return counted(_late(now).exclude(kind=Case.Kind.INQUIRY), name="reference")


def _inquiries_past_deadline(now: datetime.datetime) -> Measured:
    return counted(_late(now).filter(kind=Case.Kind.INQUIRY), name="reference")


def _old_suspensions(now: datetime.datetime) -> Measured:
    old = Suspension.objects.filter(ended_at=None, started_at__lt=now - LONGEST_SUSPENSION)
    return counted(old.order_by("started_at"), name="case__reference")


def _immutables_changed(now: datetime.datetime) -> Measured:
    """Members whose history shows two values of an immutable item, whatever the trigger says."""
    history = history_of(Member)
    assert history is not None
    several = " OR ".join(f'count(DISTINCT "{column}") > 1' for column in immutable_columns(Member))
    return queried(f"SELECT id FROM {history._meta.db_table} GROUP BY id HAVING {several}")


def _not_applied(now: datetime.datetime) -> Measured:
    """Corrections called applied whose row is still sealed under the old generation (bytes 3 to 10 of the value)."""
    by_column = [
        queried(
            f"SELECT c.id FROM members_correction c JOIN {model._meta.db_table} t ON t.id = c.row"
            f" WHERE c.state = 'applied' AND c.field = %s"
            f' AND substring(t."{field.column}" FROM 3 FOR 8) <= int8send(c.superseded_generation)',
            [field.column],
        )
        for model in DATA_MODELS
        for field in model._meta.concrete_fields
        if hasattr(field, "item_for")
    ]
    rows = [row for each in by_column for row in each.rows]
    return Measured(sum(each.figure for each in by_column), rows[:MOST_ROWS])


def _left_behind(now: datetime.datetime) -> Measured:
    return counted(Case.objects.left_behind(), name="reference")


CONTROLS = (
    Control(
        "P5_A1",
        "past_deadline",
        _("cases past their deadline"),
        _past_deadline,
        why=_("An answer is due 14 days after the request arrived; these cases are still open."),
        rows_are=_("cases"),
        found_in="members.case",
    ),
    Control(
        "P5_A2",
        "immutables_changed",
        _("members whose name or ID was changed"),
        _immutables_changed,
        why=_("The history that the database writes is read: it holds one value of each, whatever the page allowed."),
        rows_are=_("members"),
    ),
    Control(
        "P5_B1",
        "old_suspensions",
        _("suspensions older than 14 days"),
        _old_suspensions,
        why=_("A correction that pends longer than an answer may take is not being worked on."),
        rows_are=_("cases"),
        found_in="members.case",
    ),
    Control(
        "P5_B2",
        "orders",
        _("correction orders that recipients have not acknowledged"),
        why=_("No correction orders go to recipients from here yet."),
    ),
    Control(
        "P5_B3",
        "not_applied",
        _("corrections applied that left the old value standing"),
        _not_applied,
        why=_("A corrected value is sealed under a new key; one that is still under the old key was never corrected."),
        rows_are=_("corrections"),
    ),
    Control(
        "P8_B4",
        "left_behind",
        _("open cases of people who may no longer act"),
        _left_behind,
        why=_("Their access has ended; until a colleague takes the case over, nobody answers the member."),
        rows_are=_("cases"),
        found_in="members.case",
    ),
    Control(
        "P10_A1",
        "password_asked",
        _("calls and mails in which a password is asked for"),
        fixed=State.NOT_MEASURABLE,
        why=_("What is said on the telephone is not heard here; what members report about it belongs to P10_A2."),
    ),
    Control(
        "P10_A2",
        "password_reports",
        _("reports of being asked for a password that opened no incident"),
        why=_("Neither such reports nor incidents are kept here yet."),
    ),
    Control(
        "P10_B1",
        "browser_closed",
        _("members who did not log out and close the browser"),
        fixed=State.NOT_MEASURABLE,
        why=_("It is advice, and happens at the member's own computer."),
    ),
    Control(
        "P10_C1",
        "not_reminded",
        _("members not reminded for a year to keep their data current"),
        why=_("No yearly reminder is sent from here yet."),
    ),
    Control(
        "P10_D1",
        "disqualified",
        _("disqualified members whose data is still used"),
        why=_("Disqualification is not carried out here yet."),
    ),
    Control(
        "P12_2",
        "inquiries_past_deadline",
        _("inquiries past their deadline"),
        _inquiries_past_deadline,
        why=_("An answer is due 14 days after the inquiry arrived; these are still open."),
        rows_are=_("cases"),
        found_in="members.case",
    ),
    Control(
        "P12_2",
        "window",
        _("mails to the window that became no case"),
        why=_("The window's mail does not come in here yet; agents open the cases."),
    ),
)
