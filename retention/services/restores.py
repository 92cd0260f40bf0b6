"""Accepting that a database was restored: two persons, a list of what is lost, and nothing that goes on by itself."""

import dataclasses
import hashlib
import json

from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models import F
from django.utils import timezone

from access_control import policies, restore
from access_control.codes import Reason
from access_control.events import Event
from access_control.ledger import acting
from access_control.models import AcceptedRestore, Approval, Staff
from access_control.restore import OF_THE_VAULT, VAULT_MAY_BE_BEHIND, Console, Sign
from access_control.services import agree_as_two, use_approval
from access_control.vault import consoles
from access_control.vault.consoles import DatabaseIdentity, Remembered
from consent.services.notices import close_unsent, unsent
from retention.journal import JournalError, newest_marks
from retention.restores import Loss, losses
from retention.revived import require_every_journal
from retention.services.destroying_again import Revived, order, revived

APPROVAL_KIND = "restore"
# How many accepted restores a backup may have forgotten.
MOST_RESTORES_FORGOTTEN = 1_000
ACCEPT_LOCK = 0x72657374


class NothingRestored(Exception):
    """No database was restored: there is nothing to accept."""


class KeysAreBack(Exception):
    """Keys that were destroyed live again. They are destroyed again before anything opens.

    ``ordered``: that is ordered now; else it was asked for, and another person must agree.
    """

    def __init__(self, found: Revived, *, ordered: bool) -> None:
        super().__init__(str(found.back))
        self.found, self.ordered = found, ordered


@dataclasses.dataclass(frozen=True)
class Acceptance:
    """What was found and what is lost. ``accepted`` is None as long as another person must agree."""

    signs: list[Sign]
    lost: dict[Loss, int]
    accepted: AcceptedRestore | None


def accept_restore(*, actor: Staff, reason: str = Reason.SET_UP) -> Acceptance:
    """The first person asks; when another one calls, the console opens again, without what is lost.

    Then the restore epoch is higher, both databases are noted as they are, and what was made before the restore carries
    nothing any more: approvals are void and cannot be spent, every session and grant has ended; notices that waited are
    not sent. Keys that are frozen
    stay frozen. While destroyed keys live again, calling orders instead that they be destroyed again.

    Raises NothingRestored, SamePerson, NotApprovable, KeysAreBack, JournalsAlone, JournalError, PermissionDenied.
    """
    if not policies.can(actor, "access_control.accept_restore"):
        raise PermissionDenied
    signs = restore.look()
    if VAULT_MAY_BE_BEHIND.intersection(signs):
        # They alone tell which keys may be back.
        require_every_journal()
    found = revived()
    if found.back:
        raise KeysAreBack(found, ordered=order(found, signs=signs, actor=actor, reason=reason))
    with acting(actor, reason=reason):
        with connection.cursor() as cursor:
            # Two who call at the same moment: one after the other.
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ACCEPT_LOCK])
        vault, console = restore.both()
        signs = restore.look()
        if not signs:
            raise NothingRestored
        lost = losses(console, held=found.held)
        lost[Loss.NOTICES] = unsent() if _may_have_sent(signs, lost) else 0
        payload = _payload(vault, console, signs=signs, lost=lost)
        approval = agree_as_two(APPROVAL_KIND, payload_hash=payload, actor=actor, reason=reason)
        if approval is None:
            return Acceptance(signs, lost, None)
        use_approval(approval.pk, kind=APPROVAL_KIND, payload_hash=payload, actor=actor, reason=reason)
        return Acceptance(signs, lost, _open_again(approval, vault, console, signs=signs, lost=lost, actor=actor))


def _may_have_sent(signs: list[Sign], lost: dict[Loss, int]) -> bool:
    """Whether notices may have gone out that wait here: unless only the vault was restored, or a console only moved.

    Sending opens an address, which the vault remembers.
    """
    only_moved = set(signs) == {Sign.CONSOLE_MOVED} and not (lost[Loss.FETCHES] or lost[Loss.LEDGER_EVENTS])
    return not (only_moved or set(signs) <= OF_THE_VAULT)


def _payload(vault: Remembered, console: Console, *, signs: list[Sign], lost: dict[Loss, int]) -> bytes:
    """What both persons agree to: this console beside this vault, by these signs and without what is lost.

    Asking writes events, so the ledger comes nearer to what the vault was told: the newest event told stands for it.
    """
    both = [vault.console, vault.sequence, vault.event, vault.itself, console.identity]
    steady = [sign for sign in signs if sign not in {Sign.LEDGER_SHORT, Sign.ANOTHER_EVENT}]
    counted = sorted((loss, count) for loss, count in lost.items() if loss is not Loss.LEDGER_EVENTS)
    return hashlib.sha256(json.dumps([both, steady, counted], default=str).encode()).digest()


def _next_epoch(own: int) -> int:
    """Above every epoch that databases and journals name. Raises JournalError when a journal names none of ours."""
    marks = newest_marks()
    for path, mark in marks.items():
        # Else one made-up line would use up all epochs, and nothing could be accepted ever again.
        if mark.restore_epoch > own + MOST_RESTORES_FORGOTTEN:
            raise JournalError(
                f"{path} names restore {mark.restore_epoch}, and this console is at {own}: no run of it has written"
                " that. Move the file away, keep it for whoever looks into it, and run it again."
            )
    return 1 + max([own, *(mark.restore_epoch for mark in marks.values())])


def _open_again(
    approval: Approval,
    vault: Remembered,
    console: Console,
    *,
    signs: list[Sign],
    lost: dict[Loss, int],
    actor: Staff,
) -> AcceptedRestore:
    now = timezone.now()
    noted = [vault.console.restore_epoch] if vault.console else []
    epoch = _next_epoch(max(console.identity.restore_epoch, *noted))
    accepted = AcceptedRestore.objects.create(
        approval=approval,
        accepted_at=now,
        restore_epoch=epoch,
        signs=[sign.value for sign in signs],
        lost={loss.value: count for loss, count in lost.items()},
    )
    # Approvals that nobody spent end; those that were spent end with the epoch of the account that gave them.
    Approval.objects.filter(used_at=None, expires_at__gt=now).update(expires_at=now)
    Staff.objects.update(epoch=F("epoch") + 1)
    if lost[Loss.NOTICES]:
        close_unsent()
    with acting(actor, reason=Reason.SET_UP) as act:
        act.record(Event.RESTORE_ACCEPTED, note=approval.pk, count=sum(lost.values()))
    # The vault last, and before the console commits: after a crash in between the epochs differ, and it stays closed.
    consoles.note_console(DatabaseIdentity(*console.identity[:3], epoch), again=bool(OF_THE_VAULT.intersection(signs)))
    restore.note_vault(consoles.remembered().itself)
    return accepted
