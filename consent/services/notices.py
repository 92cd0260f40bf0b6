"""Sending notices: from the queue, through the gate (purpose 4), by SMTP. A notice is sent at most once.

Of what breaks off while a server has it, nobody knows whether it arrived, so it is not tried again.
"""

import dataclasses
import datetime
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import OperationalError
from django.template.loader import render_to_string
from django.utils import timezone, translation

from access_control.codes import Purpose, Reason
from access_control.ledger import acting
from access_control.vault.errors import Destroyed, NoKey, SealBroken, VaultError
from consent.gate import Refused
from consent.services.doors import use
from members.events import Event
from members.inventory import ITEMS
from members.mail import INTERRUPTED, Letter, Undelivered, send
from members.models import Notice

NO_SERVER = "members.mail.NoServerBackend"
# Tries after 1, 2, 4 … minutes: a server may be away for more than two days before a necessary notice is given up.
MOST_ATTEMPTS = 13
FIRST_PAUSE = datetime.timedelta(minutes=1)
# What the gate or the vault refuses for now is no try: it waits as long again as it has waited, at most this long.
LONGEST_PAUSE = datetime.timedelta(days=1)
_UNSENT = (Notice.State.QUEUED, Notice.State.SENDING)
# Longer than any mail server may take to answer.
LONGEST_SENDING = datetime.timedelta(minutes=10)
# No later try opens an address of which the vault says this.
_FOR_GOOD = (Destroyed, NoKey, SealBroken)
# The address is a copy of what a decided correction changed: the member is told there, whatever is asked for later.
_TOLD_OF_A_CHANGED_ADDRESS = frozenset({Notice.Kind.CORRECTED_OLD, Notice.Kind.CORRECTED_NEW})
# Kind of notice → what its text says beyond item and reference. Handed in by config.console, from higher apps.
CONTEXTS: dict[str, Callable[[Notice], dict[str, Any]]] = {}


@dataclasses.dataclass(frozen=True)
class Sender:
    """Who writes to the members of a site: its name, and the window that answers, by telephone and by mail."""

    site: str
    window: str
    telephone: str
    mail: str


def sender_of(notice: Notice) -> Sender | None:
    """Who writes this notice, by the entity of its member (the setting NOTICE_SENDERS); None when nobody does."""
    sender = settings.NOTICE_SENDERS.get(notice.member.entity_id)
    return Sender(**sender) if sender else None


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
    begun = timezone.now()
    for notice in Notice.objects.filter(state=Notice.State.SENDING, claimed_at__lt=begun - LONGEST_SENDING)[:most]:
        outcomes[_close(notice, Notice.State.FAILED, INTERRUPTED)] += 1
    due = Notice.objects.filter(state=Notice.State.QUEUED, next_try_at__lte=begun)
    if settings.EMAIL_BACKEND == NO_SERVER:
        # Nothing is opened for a mail that cannot leave.
        return Sent(**(outcomes | {"waiting": due.count()}))
    for notice in list(due.order_by("next_try_at").select_related("member__entity", "case")[:most]):
        now = timezone.now()
        sender = sender_of(notice)
        if sender is None:
            # Nothing is claimed or opened for a letter that nobody signs.
            outcomes["waiting"] += 1
            continue
        waits = Notice.objects.filter(pk=notice.pk, state=Notice.State.QUEUED)
        if waits.update(state=Notice.State.SENDING, claimed_at=now):
            notice.state, notice.claimed_at = Notice.State.SENDING, now
            outcomes[_send(notice, sender)] += 1
    return Sent(**outcomes)


def unsent() -> int:
    """How many notices wait to be sent, or are being sent."""
    return Notice.objects.filter(state__in=_UNSENT).count()


def close_unsent() -> None:
    """No notice that waits is sent any more: a restored console cannot tell which of them went out since its backup."""
    with acting(None, reason=Reason.SET_UP) as act:
        members = list(Notice.objects.filter(state__in=_UNSENT).values_list("member_id", flat=True))
        Notice.objects.filter(state__in=_UNSENT).update(state=Notice.State.FAILED, failure=Notice.RESTORED)
        act.record_each(Event.NOTICE_FAILED, members)


def _send(notice: Notice, sender: Sender) -> str:
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
            decided=notice.kind in _TOLD_OF_A_CHANGED_ADDRESS,
        )
    except Refused as refused:
        code = str(refused.decision.code)
        return _wait(notice, code) if refused.decision.passing else _close(notice, Notice.State.REFUSED, code)
    except _FOR_GOOD as error:
        return _close(notice, Notice.State.FAILED, type(error).__name__)
    except (VaultError, OperationalError) as error:
        return _wait(notice, type(error).__name__)
    subject, body = rendered(notice, sender)
    try:
        send(Letter(to=address, subject=subject, body=body, reply_to=sender.mail))
    except Undelivered as undelivered:
        attempts = notice.attempts + 1
        if undelivered.final or attempts >= MOST_ATTEMPTS:
            return _close(notice, Notice.State.FAILED, undelivered.code)
        return _put_back(notice, undelivered.code, pause=FIRST_PAUSE * 2 ** (attempts - 1), attempts=attempts)
    return _close(notice, Notice.State.SENT, "")


def _claimed(notice: Notice) -> Any:
    """The notice, while the claim under which it is being sent is the one that was made here."""
    return Notice.objects.filter(pk=notice.pk, state=Notice.State.SENDING, claimed_at=notice.claimed_at)


def _wait(notice: Notice, failure: str) -> str:
    """The notice is judged again after a pause, as often as it takes: what refuses it now ends by itself."""
    waited = timezone.now() - notice.queued_at
    return _put_back(notice, failure, pause=min(max(waited, FIRST_PAUSE), LONGEST_PAUSE), attempts=notice.attempts)


def _put_back(notice: Notice, failure: str, *, pause: datetime.timedelta, attempts: int) -> str:
    """The notice is tried again after a pause, unless another sender has closed this claim meanwhile."""
    _claimed(notice).update(
        state=Notice.State.QUEUED,
        claimed_at=None,
        attempts=attempts,
        failure=failure,
        next_try_at=timezone.now() + pause,
    )
    return "waiting"


def _close(notice: Notice, state: str, failure: str) -> str:
    """The notice has its end, unless another sender has closed this claim meanwhile."""
    mine = _claimed(notice)
    with acting(None, reason=Reason.SCHEDULED, case=notice.case_id) as act:
        sent_at = timezone.now() if state == Notice.State.SENT else None
        if mine.update(state=state, failure=failure, sent_at=sent_at):
            if state == Notice.State.SENT:
                act.record(Event.NOTICE_SENT, subject=notice.member_id)
            else:
                act.record(Event.NOTICE_FAILED, subject=notice.member_id)
    return state


def rendered(notice: Notice, sender: Sender) -> tuple[str, str]:
    """(subject, body) of a notice in its language. It names items, never a value."""
    with translation.override(notice.language):
        context: dict[str, Any] = {
            "item": ITEMS[notice.about].label if notice.about else "",
            "reference": notice.case.reference,
            "on": timezone.localtime(notice.queued_at),
            "company": notice.member.entity.name,
            "sender": sender,
        }
        if further := CONTEXTS.get(notice.kind):
            context |= further(notice)
        subject = render_to_string(f"notices/{notice.kind}_subject.txt", context).strip()
        body = render_to_string(f"notices/{notice.kind}.txt", context)
        return subject, f"{body.rstrip()}\n\n{render_to_string('notices/who_writes.txt', context).strip()}\n"
