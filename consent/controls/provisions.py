"""Giving to others (P4): every provision beside the announcement or the declared scope that it rests on."""

import datetime

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from access_control.controls import Control, Measured, queried
from consent.controls.uses import WINDOW
from consent.events import Event
from consent.models import Provision
from consent.services.doors import SCOPE_WITHOUT_CONSENT

# The ledger's time is the database's, a provision's the application's, from before it waited for the member's row.
CLOCKS_APART = datetime.timedelta(hours=1)


def _unrecorded(now: datetime.datetime) -> Measured:
    """Items that left the house by the ledger, without a provision of the same member, items and purpose beside it."""
    return queried(
        "SELECT e.id FROM access_control_ledgerevent e WHERE e.event = %s AND e.at > %s AND NOT EXISTS ("
        "   SELECT FROM consent_subjectreference r JOIN consent_provision p ON p.reference_id = r.id"
        "    WHERE r.member_id = e.subject AND p.items = e.items AND p.purpose = e.purpose"
        "      AND p.at BETWEEN e.at - %s AND e.at + %s)",
        [Event.PROVIDED.value, now - WINDOW, CLOCKS_APART, CLOCKS_APART],
    )


# Provisions to contractors beside the engagement as it stands today, and the day of each in Tokyo.
_ENGAGED = (
    "SELECT p.id FROM consent_provision p LEFT JOIN consent_engagement e ON e.id = p.engagement_id,"
    " LATERAL (SELECT (p.at AT TIME ZONE %s)::date AS day) AS provided WHERE p.basis = 'B1' AND p.at > %s AND "
)


def _unannounced(now: datetime.datetime) -> Measured:
    """Provisions under an engagement that was not announced by that day, or not for these items or this purpose."""
    return queried(
        _ENGAGED + "(e.id IS NULL OR provided.day < greatest(e.announced_on, e.starts_on)"
        " OR NOT p.items <@ e.items OR NOT p.purpose = ANY (e.purposes))",
        [timezone.get_default_timezone_name(), now - WINDOW],
    )


def _overrun(now: datetime.datetime) -> Measured:
    """Provisions under an engagement whose period was over."""
    return queried(
        _ENGAGED + "provided.day > e.ends_on",
        [timezone.get_default_timezone_name(), now - WINDOW],
    )


def _beyond_scope(basis: str, now: datetime.datetime) -> Measured:
    """Provisions on a basis of clause 4.C of an item that its declared scope does not hold for such a recipient."""
    allowed = [
        (kind, item) for (each, kind), items in SCOPE_WITHOUT_CONSENT.items() if each == basis for item in sorted(items)
    ]
    return queried(
        "SELECT p.id FROM consent_provision p JOIN consent_subjectreference r ON r.id = p.reference_id"
        " JOIN consent_recipient c ON c.id = r.recipient_id WHERE p.basis = %s AND p.at > %s AND EXISTS ("
        "   SELECT FROM unnest(p.items) AS given (item) WHERE (c.kind, given.item) NOT IN ("
        "     SELECT * FROM unnest(%s::text[], %s::text[])))",
        [basis, now - WINDOW, [str(kind) for kind, _item in allowed], [item for _kind, item in allowed]],
    )


def _beyond_settling(now: datetime.datetime) -> Measured:
    return _beyond_scope(Provision.Basis.C2, now)


def _beyond_delivery(now: datetime.datetime) -> Measured:
    return _beyond_scope(Provision.Basis.C3, now)


CONTROLS = (
    Control(
        "P4_A1",
        "unrecorded",
        _("items handed out without a provision on record, 30 days"),
        _unrecorded,
        why=_("The ledger's events of handing out are compared with the provisions, which name recipient and basis."),
        rows_are=_("ledger events"),
    ),
    Control(
        "P4_B1",
        "unannounced",
        _("provisions that no announcement covers, 30 days"),
        _unannounced,
        why=_("The day, items and purpose of each are compared with the engagement's announcement as it stands now."),
        rows_are=_("provisions"),
    ),
    Control(
        "P4_B1",
        "overrun",
        _("provisions after the announced period, 30 days"),
        _overrun,
        why=_("An engagement is used no longer than its announced last day."),
        rows_are=_("provisions"),
    ),
    Control(
        "P4_B1",
        "uninspected",
        _("contractors not inspected for a year"),
        why=_("No register of inspections is kept here yet."),
    ),
    Control(
        "P4_B2",
        "transferred",
        _("transfers of members who had not consented"),
        why=_("A transfer of the business is not carried out here yet."),
    ),
    Control(
        "P4_C1",
        "by_law",
        _("provisions by law without the document that demands them"),
        why=_("Provisions by special provision of law are not made here yet."),
    ),
    Control(
        "P4_C2",
        "beyond_settling",
        _("provisions for settling charges beyond what settling needs, 30 days"),
        _beyond_settling,
        why=_("Without consent, a settlement agency gets payment items of the declared list, and nobody else any."),
        rows_are=_("provisions"),
    ),
    Control(
        "P4_C3",
        "beyond_delivery",
        _("provisions between parties beyond what the transaction needs, 30 days"),
        _beyond_delivery,
        why=_("Without consent, a carrier gets addressee items of the declared list, and nobody else any."),
        rows_are=_("provisions"),
    ),
)
