"""Locking a member before something is decided that a destruction would undo: a hold, a return, a case, a correction.

What can go wrong, and why here it cannot: a purger's connection to the console may die while the purger lives. The
member's row is then free, and its keys may still be ended. So whoever decides locks the row first and then asks the
vault, which answers when the destructions under way are over; and a purger ends keys only while its console connection,
and with it its lock of the row, is there (``retention.services.purging``). One of the two comes first, always.
"""

import dataclasses
import uuid
from collections.abc import Sequence

from access_control import locks
from access_control.vault import store
from access_control.vault.categories import Category
from members.models import Case, Member
from members.services.registration import DATA_CATEGORIES


class DataDestroyed(Exception):
    """The former member's data was destroyed; nothing can bring it back."""


@dataclasses.dataclass(frozen=True)
class LockedMember:
    """A member whose row is locked for change, and the keys that live: their own, and those of their cases."""

    member: Member
    living: Sequence[store.LivingKey]

    @property
    def holds_data(self) -> bool:
        """Whether anything is left of what the member gave; what the law keeps and letters are not counted."""
        return any(key.ref.subject == self.member.pk and key.ref.category in DATA_CATEGORIES for key in self.living)


def lock_member(member_id: uuid.UUID) -> LockedMember:
    """The member's row, locked for change, and what is left of them. The caller holds the transaction.

    Waits for a destruction of this member that is under way, whether or not the purger has lost the row's lock.
    """
    member = locks.change_one(Member, member_id)
    return LockedMember(member, store.lock_living(subjects_of(member)))


def freeze_with_member(case: Case) -> None:
    """What is noted on a case before its member is identified is frozen, if the vault keeps the member's keys frozen:
    for the same holds, and until the same are lifted. The caller has locked the member.
    """
    if case.member is None:
        return
    holds = [hold for subject in store.frozen(subjects_of(case.member)) for hold in subject.holds]
    for hold in dict.fromkeys(holds):
        store.freeze([case.pk], list(Category), hold=True, for_hold=hold)


def subjects_of(member: Member) -> list[uuid.UUID]:
    """Whose keys hold something of the member: their own, and those of cases noted before they were identified."""
    return [member.pk, *Case.objects.filter(member=member).values_list("pk", flat=True)]
