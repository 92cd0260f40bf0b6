"""Sending notices: from the queue, through the gate (purpose 4), by SMTP. A notice is sent at most once."""

import dataclasses
import datetime

from django.core import mail
from django.template.loader import render_to_string
from django.utils import timezone, translation

from access_control.codes import Purpose, Reason
from access_control.ledger import acting
from access_control.vault.errors import VaultError
from consent.gate import Refused
from consent.services.doors import use
from members.events import Event
from members.inventory import ITEMS
from members.mail import NoMailServer
from members.models import Notice

MOST_ATTEMPTS = 5
# Longer than any mail server may take to answer.
LONGEST_SENDING = datetime.timedelta(minutes=10)


@dataclasses.dataclass(frozen=True)
class Sent:
    """What a run did: notices sent, refused by the gate, failed for good, and left queued for another try."""

    sent: int
    refused: int
    failed: int
    waiting: int


def send_notices(*, most: int = 500) -> Sent:
    """Send what is queued, oldest first; a bad one does not stop the others.

    Each notice is claimed, and the claim committed, before the server is asked: two senders share the queue, and one
    that dies leaves a notice "being sent", which is closed as interrupted rather than sent twice.
    """
    outcomes: dict[str, int] = dict.fromkeys(("sent", "refused", "failed", "waiting"), 0)
    now = timezone.now()
    for notice in Notice.objects.filter(state=Notice.State.SENDING, claimed_at__lt=now - LONGEST_SENDING)[:most]:
        outcomes[_close(notice, Notice.State.FAILED, "Interrupted", now=now)] += 1
    queued = Notice.objects.filter(state=Notice.State.QUEUED).order_by("queued_at").select_related("member", "case")
    for notice in list(queued[:most]):
        waits = Notice.objects.filter(pk=notice.pk, state=Notice.State.QUEUED)
        if waits.update(state=Notice.State.SENDING, claimed_at=now):
            outcomes[_send(notice, now=now)] += 1
    return Sent(**outcomes)


def _send(notice: Notice, *, now: datetime.datetime) -> str:
    try:
        address = use(
            notice.member,
            notice,
            "to",
            item=notice.item,
            row=notice.row,
            purpose=Purpose.NOTICE,
            reason=Reason.SCHEDULED,
            case=notice.case_id,
        )
    except Refused as refused:
        return _close(notice, Notice.State.REFUSED, str(refused.decision.code), now=now)
    except VaultError as error:
        return _close(notice, Notice.State.FAILED, type(error).__name__, now=now)
    subject, body = rendered(notice)
    try:
        mail.EmailMessage(subject, body, to=[address]).send()
    except NoMailServer:
        return _wait(notice)
    except (OSError, ValueError) as error:
        # The server's reply may quote the address, so only the kind of failure is kept.
        notice.attempts += 1
        if notice.attempts >= MOST_ATTEMPTS:
            return _close(notice, Notice.State.FAILED, type(error).__name__, now=now)
        notice.failure = type(error).__name__
        return _wait(notice)
    return _close(notice, Notice.State.SENT, "", now=now)


def _wait(notice: Notice) -> str:
    """Back to the queue."""
    notice.state, notice.claimed_at = Notice.State.QUEUED, None
    notice.save(update_fields=["state", "claimed_at", "attempts", "failure"])
    return "waiting"


def _close(notice: Notice, state: str, failure: str, *, now: datetime.datetime) -> str:
    notice.state, notice.failure = state, failure
    notice.sent_at = now if state == Notice.State.SENT else None
    events = {Notice.State.SENT: Event.NOTICE_SENT}
    with acting(None, reason=Reason.SCHEDULED, case=notice.case_id) as act:
        notice.save(update_fields=["state", "failure", "sent_at"])
        act.record(events.get(Notice.State(state), Event.NOTICE_FAILED), subject=notice.member_id)
    return state


def rendered(notice: Notice) -> tuple[str, str]:
    """(subject, body) of a notice in its language. It names the item, never a value."""
    with translation.override(notice.language):
        context = {
            "item": ITEMS[notice.about].label,
            "reference": notice.case.reference,
            "on": timezone.localtime(notice.queued_at),
        }
        subject = render_to_string(f"notices/{notice.kind}_subject.txt", context).strip()
        return subject, render_to_string(f"notices/{notice.kind}.txt", context)
