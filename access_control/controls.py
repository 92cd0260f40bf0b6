"""Controls: live figures that say whether a published sentence is kept; and those of this app (P8, P12).

A control is a query with the rows behind it, never a stored "yes". What cannot be computed is as bad as not kept.
"""

import dataclasses
import datetime
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.apps import apps
from django.db import DatabaseError, connection, models, transaction
from django.utils.translation import gettext_lazy as _

from access_control.events import Event
from access_control.history import history_of
from access_control.models import Staff
from access_control.privileges import OWN_APPS
from access_control.vault.errors import VaultError
from access_control.vault.roles import role_names

log = logging.getLogger("console.controls")
MOST_ROWS = 100
SIGN_IN_WINDOW = datetime.timedelta(days=30)
INCIDENTS_SHOWN = datetime.timedelta(days=30)
# The companies that manage personal information, or help to, in the words of the policy (P12).
NAMED_ENTITIES = ("sg", "kr", "jp")


class State(models.TextChoices):
    """How a sentence stands."""

    KEPT = "kept", _("kept")
    NOT_KEPT = "not_kept", _("not kept")
    CANNOT_COMPUTE = "cannot_compute", _("cannot be computed")
    TEXT_OUTDATED = "text_outdated", _("text outdated")
    NOT_MEASURABLE = "not_measurable", _("not measurable here")
    NOT_YET = "not_yet", _("not yet measured")


@dataclasses.dataclass(frozen=True)
class Measured:
    """A figure and the rows behind it (ids, codes or names of columns; at most ``MOST_ROWS``)."""

    figure: int
    rows: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Control:
    """What is measured for a sentence. ``measure`` counts violations; a tally counts without judging.

    ``measure`` None: nothing is measured, because of ``fixed``, or not yet. ``why`` is one sentence: how the figure
    tells, or why there is none. ``rows_are`` names what the rows are, ``found_in`` the list ("app.model") in which one
    can be searched.
    """

    sentence: str
    code: str
    label: Any
    measure: Callable[[datetime.datetime], Measured] | None = None
    tally: bool = False
    fixed: State | None = None
    _: dataclasses.KW_ONLY
    why: Any = ""
    rows_are: Any = ""
    found_in: str = ""


@dataclasses.dataclass(frozen=True)
class Result:
    """A control as it stands now; ``figure`` is None when there is none."""

    control: Control
    state: State
    figure: int | None
    rows: Sequence[str] = ()

    @property
    def counts_only(self) -> bool:
        """Whether this is a tally, which judges nothing."""
        return self.control.tally and self.state is State.KEPT


def measured(control: Control, *, now: datetime.datetime) -> Result:
    """Measure one control. A query that fails shows as "cannot be computed", and is logged by its type."""
    if control.measure is None:
        return Result(control, control.fixed or State.NOT_YET, None)
    try:
        # A savepoint, so that a query that fails takes nothing else down.
        with transaction.atomic():
            found = control.measure(now)
    except (DatabaseError, VaultError) as error:
        log.exception("control %s cannot be computed: %s", control.code, type(error).__name__)
        return Result(control, State.CANNOT_COMPUTE, None)
    state = State.KEPT if control.tally or not found.figure else State.NOT_KEPT
    if control.fixed and state is State.KEPT:
        state = control.fixed
    return Result(control, state, found.figure, found.rows)


def counted(queryset: models.QuerySet[Any], *, name: str = "pk") -> Measured:
    """The rows of a queryset, as a measurement."""
    return Measured(queryset.count(), [str(value) for value in queryset.values_list(name, flat=True)[:MOST_ROWS]])


def queried(sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Measured:
    """What a query of one column finds: all of it counted, the first ``MOST_ROWS`` named."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT named::text, count(*) OVER () FROM ({sql}) AS found (named) LIMIT {MOST_ROWS}", parameters
        )
        rows = cursor.fetchall()
    return Measured(rows[0][1] if rows else 0, [row[0] for row in rows])


def tallied(sql: str, parameters: Sequence[Any] = ()) -> Measured:
    """What a query of code and count finds, for a tally: the sum, and each code with its count."""
    with connection.cursor() as cursor:
        cursor.execute(sql, list(parameters))
        rows = cursor.fetchall()
    return Measured(sum(row[1] for row in rows), [f"{code}: {count}" for code, count in rows])


def _writable_records(now: datetime.datetime) -> Measured:
    """Tables that only ever grow, on which the app role holds more than SELECT and INSERT, asked of PostgreSQL."""
    tables = {
        model._meta.db_table
        for model in apps.get_models()
        if model._meta.app_label in OWN_APPS and getattr(model, "append_only", False)
    }
    histories = {
        history._meta.db_table
        for model in apps.get_models()
        if model._meta.app_label in OWN_APPS and (history := history_of(model)) is not None
    }
    app = role_names()["app"]
    return queried(
        "SELECT t FROM unnest(%s::text[]) AS t WHERE has_table_privilege(%s::name, t, 'UPDATE, DELETE, TRUNCATE')"
        " UNION SELECT t FROM unnest(%s::text[]) AS t"
        " WHERE has_table_privilege(%s::name, t, 'INSERT, UPDATE, DELETE, TRUNCATE')",
        [sorted(tables | histories), app, sorted(histories), app],
    )


def _broken_seals(now: datetime.datetime) -> Measured:
    """Whose value did not open, and which item, within ``INCIDENTS_SHOWN``; each once."""
    return queried(
        "SELECT DISTINCT subject || ' ' || array_to_string(items, ', ') FROM access_control_ledgerevent"
        " WHERE event = %s AND at > %s ORDER BY 1",
        [Event.SEAL_BROKEN, now - INCIDENTS_SHOWN],
    )


def _outside_the_classes(now: datetime.datetime) -> Measured:
    return counted(Staff.objects.filter(is_active=True, person__access_class=""), name="username")


def _departed(now: datetime.datetime) -> Measured:
    return counted(Staff.objects.filter(is_active=True, person__left_on__isnull=False), name="username")


def _other_entities(now: datetime.datetime) -> Measured:
    return counted(
        Staff.objects.filter(is_active=True).exclude(person__entity__in=NAMED_ENTITIES).order_by("username"),
        name="username",
    )


def _sign_ins(*events: Event) -> Callable[[datetime.datetime], Measured]:
    """How often ``events`` happened in the last days, by account; "—" is an address, or a name that is no account's."""

    def measure(now: datetime.datetime) -> Measured:
        return tallied(
            """
            SELECT coalesce(s.username, '—'), count(*)
              FROM access_control_ledgerevent e LEFT JOIN access_control_staff s ON s.person_id = e.subject
             WHERE e.event = ANY (%s) AND e.at > %s
             GROUP BY 1 ORDER BY 2 DESC, 1
            """,
            [[event.value for event in events], now - SIGN_IN_WINDOW],
        )

    return measure


def _given_alone(now: datetime.datetime) -> Measured:
    """Active accounts whose role neither two persons agreed on nor setting up gave."""
    return queried(
        """
        SELECT s.username
          FROM access_control_staff s
         WHERE s.is_active
           AND NOT EXISTS (SELECT FROM access_control_accessrequest r
                             JOIN access_control_approval a ON a.id = r.approval_id AND a.used_at IS NOT NULL
                            WHERE r.person = s.person_id AND r.role = s.role AND r.kind IN ('hire', 'account', 'move'))
           AND NOT EXISTS (SELECT FROM access_control_historicalstaff h
                            WHERE h.id = s.id AND h.role = s.role AND h.history_change_reason = 'set_up')
         ORDER BY s.username
        """
    )


CONTROLS = (
    Control(
        "P8_A1",
        "records_writable",
        _("records that the application could alter"),
        _writable_records,
        why=_("PostgreSQL itself is asked: the application may add to records, and change or remove none."),
        rows_are=_("tables"),
    ),
    Control(
        "P8_A1",
        "sign_ins_locked",
        _("sign-ins locked in the last 30 days"),
        _sign_ins(Event.SIGN_IN_LOCKED, Event.ADDRESS_LOCKED),
        tally=True,
        why=_("After too many wrong passwords an account or an address is locked, and the ledger says so."),
        rows_are=_("accounts"),
    ),
    Control(
        "P8_A1",
        "sign_ins_failed",
        _("failed sign-ins in the last 30 days"),
        _sign_ins(Event.SIGN_IN_FAILED),
        tally=True,
        why=_("Every wrong password for an account is in the ledger."),
        rows_are=_("accounts"),
    ),
    Control(
        "P8_A1",
        "broken_seals",
        _("values that did not open in the last 30 days"),
        _broken_seals,
        why=_("A sealed value that does not open was altered or moved, or lost its key; each is an incident."),
        rows_are=_("member or case, and item"),
    ),
    Control(
        "P8_A1",
        "network_guards",
        _("firewall, intrusion detection and monitoring run outside this console"),
        fixed=State.NOT_MEASURABLE,
        why=_("They guard the network in which the console stands, so whoever runs it holds the evidence."),
    ),
    Control(
        "P8_A2",
        "password_rules",
        _("password rules that know the person"),
        why=_("The site does not ask this console about passwords yet."),
    ),
    Control(
        "P8_A3",
        "workstations",
        _("employees without an attested PC"),
        why=_("No attestations of PCs are kept here yet."),
    ),
    Control(
        "P8_A4",
        "transport",
        _("the text names SSL and a vendor; the console accepts TLS only, and redirects everything else"),
        fixed=State.TEXT_OUTDATED,
        why=_("The protocol of the text is obsolete, and what protects the data today is stronger than what it says."),
    ),
    Control(
        "P8_B1",
        "outside_classes",
        _("accounts of people outside the three classes"),
        _outside_the_classes,
        why=_("Every active account belongs to a person of one of the classes that the sentence names."),
        rows_are=_("accounts"),
    ),
    Control(
        "P8_B1",
        "given_alone",
        _("accounts whose role was not given by two persons"),
        _given_alone,
        why=_("Each active account's role is looked for among the requests that another person agreed to."),
        rows_are=_("accounts"),
    ),
    Control(
        "P8_B2",
        "departed",
        _("active accounts of people who have left"),
        _departed,
        why=_("The day on which a person left is compared with the state of their account."),
        rows_are=_("accounts"),
    ),
    Control(
        "P8_B2",
        "training",
        _("employees without this year's training"),
        why=_("No register of training is kept here yet."),
    ),
    Control(
        "P8_B3",
        "pledges",
        _("employees without a security pledge"),
        why=_("No register of pledges is kept here yet."),
    ),
    Control(
        "P12_1",
        "other_entities",
        _("accounts of people at a company that the text does not name"),
        _other_entities,
        why=_("Whoever works with the data is employed in Singapore, Korea or Japan, as the sentence says."),
        rows_are=_("accounts"),
    ),
)
