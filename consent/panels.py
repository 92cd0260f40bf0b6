"""What this app adds to the member's page."""

from typing import Any

from django.http import HttpRequest

from consent.models import AcceptedVersion, ConsentEvent
from members.models import Member

MOST_EVENTS = 10


def consent_panel(request: HttpRequest, member: Member) -> dict[str, Any]:
    """The newest version the member accepted, and how: the gate judges every use by it (P0, P1)."""
    accepted = AcceptedVersion.objects.select_related("version", "event").filter(member=member).first()
    return {
        "template": "admin/members/panels/consent.html",
        "accepted": accepted,
        "events": list(
            ConsentEvent.objects.filter(member=member).select_related("version").order_by("-on")[:MOST_EVENTS]
        ),
    }
