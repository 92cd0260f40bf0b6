"""Legal holds, and the keys of members whose membership stands: the vault is asked by itself."""

import datetime
import uuid
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from django.db import connection
from django.utils.translation import gettext_lazy as _

from access_control.controls import MOST_ROWS, Control, Measured
from access_control.vault import store
from members.models import Case, Member
from members.services.registration import DATA_CATEGORIES
from retention.models import LegalHold
from retention.restores import holds_not_on_record

BATCH = 5_000


def _batched(rows: Iterable[Any]) -> Iterator[list[Any]]:
    """The rows in lists of at most ``BATCH``."""
    left = iter(rows)
    while batch := list(islice(left, BATCH)):
        yield batch


def _without_their_keys(now: datetime.datetime) -> Measured:
    """Members whose membership stands, and of whom the newest key of something they gave is destroyed."""
    found: list[str] = []
    last = uuid.UUID(int=0)
    while dead := store.newest_dead(DATA_CATEGORIES, above=last, most=BATCH):
        active = Member.objects.filter(pk__in=dead, state=Member.State.ACTIVE).order_by("pk")
        found += [str(member) for member in active.values_list("pk", flat=True)]
        last = dead[-1]
    return Measured(len(found), found[:MOST_ROWS])


def _holds_over_nothing(now: datetime.datetime) -> Measured:
    """Open holds on members of whom no key lives, neither their own nor one of their cases."""
    held = LegalHold.objects.filter(lifted_at=None).order_by("member_id").values_list("member_id", "pk")
    found: list[str] = []
    for holds in _batched(held.iterator(chunk_size=BATCH)):
        members = sorted({member for member, _hold in holds})
        cases = dict(Case.objects.filter(member__in=members).values_list("pk", "member_id"))
        subjects = {key.ref.subject for key in store.left([*members, *sorted(cases)])}
        living = {cases.get(subject, subject) for subject in subjects}
        found += [str(hold) for member, hold in holds if member not in living]
    return Measured(len(found), found[:MOST_ROWS])


def _frozen_without_hold(now: datetime.datetime) -> Measured:
    """Subjects whose keys the vault keeps frozen for a hold of which there is no row, or of which no hold is open."""
    frozen = store.frozen()
    unknown = {subject for subjects in holds_not_on_record().values() for subject in subjects}
    subjects = [row.subject for row in frozen]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s FROM unnest(%s::uuid[]) AS s WHERE NOT EXISTS (SELECT FROM retention_legalhold h"
            "   LEFT JOIN members_case c ON c.member_id = h.member_id AND c.id = s"
            "  WHERE h.lifted_at IS NULL AND (h.member_id = s OR c.id = s))",
            [subjects],
        )
        unknown |= {row[0] for row in cursor.fetchall()}
    return Measured(len(unknown), [str(subject) for subject in sorted(unknown)[:MOST_ROWS]])


def _hold_not_frozen(now: datetime.datetime) -> Measured:
    """Members with an open hold of whose living keys, or of whose cases', one is not frozen: it could be destroyed."""
    held = sorted(set(LegalHold.objects.filter(lifted_at=None).values_list("member_id", flat=True)))
    bare: set[str] = set()
    for members in _batched(held):
        cases = dict(Case.objects.filter(member__in=members).values_list("pk", "member_id"))
        left = store.left([*members, *sorted(cases)])
        bare |= {str(cases.get(key.ref.subject, key.ref.subject)) for key in left if not key.frozen}
    return Measured(len(bare), sorted(bare)[:MOST_ROWS])


CONTROLS: tuple[Control, ...] = (
    Control(
        "P7_A0",
        "members_without_keys",
        _("members whose membership stands and whose data is destroyed"),
        _without_their_keys,
        why=_("The vault is asked by itself: a return that a destruction overtook would show here."),
        rows_are=_("members"),
    ),
    Control(
        "P7_A0",
        "holds_over_nothing",
        _("legal holds on members of whom nothing is left"),
        _holds_over_nothing,
        why=_("The vault is asked by itself: a hold that came too late would show here."),
        rows_are=_("legal holds"),
    ),
    Control(
        "P7_A0",
        "frozen_without_hold",
        _("persons whose keys are frozen without a legal hold on record"),
        _frozen_without_hold,
        why=_(
            "A crash or a restore has lost the hold, and nothing thaws by itself: place the hold again, which takes"
            " the keys over, and lift it when the data is evidence no longer."
        ),
        rows_are=_("persons or cases"),
    ),
    Control(
        "P7_A0",
        "hold_not_frozen",
        _("legal holds over keys that are not frozen"),
        _hold_not_frozen,
        why=_("The vault was restored, or somebody thawed: place the hold again on another ground, and lift this one."),
        rows_are=_("persons"),
    ),
)
