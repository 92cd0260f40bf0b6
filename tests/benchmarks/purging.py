"""Destruction: keys, lookups, fences, rows, history, ledger, journal and certificate, beside two ways that do less.

Ours is ``run_plan`` as the purger, from the first lock to the signed certificate; the plan is made and approved before.

*Stock*: ``queryset.delete()`` of the same people in clear, with django-simple-history's signals, in chunks of 2,000. It
is measured on fewer people, since its rate does not depend on their number.

*Plain SQL*: the least that anybody could do and still have a history: one statement a table and chunk that deletes the
rows and copies them into the history, in clear, and one that deletes the search keys by which the people are found; in
the same chunks, one transaction each. No plan, approval, journal, certificate, ledger or keys.

In each round the three destroy people made for it, and take turns in who is first.
"""

import datetime
import itertools

from django.conf import settings
from django.db import connection, connections, transaction
from django.test import override_settings
from django.utils import timezone

from access_control.codes import Reason
from access_control.ledger import acting
from access_control.vault import store
from consent.demo.people import people
from consent.importing import CHUNK as IMPORTED_AT_ONCE
from consent.services.joining import join_many
from members.intake import parse
from members.models import Member
from retention.due import CHUNK
from retention.models import Run
from retention.services.planning import approve_plan, make_plan
from retention.services.purging import run_plan
from tests import factories
from tests.benchmarks.measuring import Line, compare, rate
from tests.benchmarks.peers import (
    TRACKED,
    PeerAcceptedVersion,
    PeerConsentEvent,
    PeerMember,
    PeerSearchKey,
    import_rows,
)
from tests.databases import become

NAME = "purge"
SIZE = 10_000
STOCK_SIZE = 500
WARM_UP = 500
ENTITIES = frozenset({"jp", "kr", "sg"})


LINES = (
    Line("run_purge", "ours", "queryset.delete() with simple-history, same rows in clear", "stock", mark=30.0),
    Line("run_purge", "ours", "plain set-based SQL with history, same rows in clear", "plain", mark=0.5),
)


def measure(*, size, rounds):
    """Comparisons of ``size`` members in each of ``rounds`` rounds, after a small one that warms every side up."""
    rows = (
        parse(row, entities=ENTITIES)
        for row in people((rounds + 1) * 3 * (size + WARM_UP), seed=2, today=timezone.localdate())
    )
    officer = factories.staff("officer")
    _round(rows, WARM_UP, officer, turn=0)
    return compare((_round(rows, size, officer, turn=turn) for turn in range(rounds)), LINES, unit="members/s")


def _round(rows, size, officer, *, turn):
    """{name: members a second} of ours and of both peers."""
    plan = _planned(list(itertools.islice(rows, size)), officer)
    for_plain = _in_clear(list(itertools.islice(rows, size)), officer)
    for_stock = _in_clear(list(itertools.islice(rows, min(size, STOCK_SIZE))), officer)
    _settle()
    works = {
        "ours": (lambda: _purge(plan), size),
        "plain": (lambda: _plain(for_plain), len(for_plain)),
        "stock": (lambda: _stock(for_stock), len(for_stock)),
    }
    order = list(works)
    order = order[turn % 3 :] + order[: turn % 3]
    rates = {name: rate(*works[name]) for name in order}
    run = Run.objects.get(plan=plan)
    assert (run.destroyed_count, run.parked_count) == (plan.line_count, 0)
    subjects = list(plan.lines.values_list("subject", flat=True).distinct()[:1_000])
    assert store.left(subjects) == []
    assert not PeerMember.objects.filter(pk__in=[*for_plain[:1_000], *for_stock]).exists()
    return rates


def _planned(new, officer):
    """People whose membership ended long ago, and an approved plan that lists all of them."""
    registered = []
    for first in range(0, len(new), IMPORTED_AT_ONCE):
        registered += join_many(new[first : first + IMPORTED_AT_ONCE], actor=None)
    long_ago = timezone.now() - datetime.timedelta(days=60)
    with acting(None, reason=Reason.ASKED):
        Member.objects.filter(pk__in=[one.member for one in registered]).update(
            state=Member.State.ENDED, ended_at=long_ago
        )
    plan = approve_plan(make_plan(timezone.localdate(), actor=None), actor=officer)
    assert plan.subject_count == len(new)
    return plan


def _in_clear(new, officer):
    """The same number of people in the peers' tables, with the search keys by which they are found; their ids."""
    import_rows(new, actor=officer)
    ids = sorted(PeerMember.objects.order_by("-pk").values_list("pk", flat=True)[: len(new)])
    # What stays with us stays out of the peers' way: consent is evidence, and its rows are deleted by nobody.
    PeerAcceptedVersion.objects.filter(member__in=ids).delete()
    PeerConsentEvent.objects.filter(member__in=ids).delete()
    return ids


def _settle():
    """No side pays for the rows that another has just made: statistics and visibility are fresh."""
    become("owner")
    for alias in ("default", "vault"):
        with connections[alias].cursor() as cursor:
            cursor.execute("VACUUM (ANALYZE)")
    become("app")


def _purge(plan):
    become("purger")
    try:
        run_plan(plan)
    finally:
        become("app")


def _stock(ids):
    with override_settings(SIMPLE_HISTORY_ENABLED=True):
        for first in range(0, len(ids), CHUNK):
            PeerMember.objects.filter(pk__in=ids[first : first + CHUNK]).delete()


def _plain(ids):
    for first in range(0, len(ids), CHUNK):
        some = ids[first : first + CHUNK]
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {PeerSearchKey._meta.db_table} WHERE member_id = ANY (%s)", [some])
            for model in (*TRACKED[1:], TRACKED[0]):
                history = model.history.model
                columns = ", ".join(f'"{field.column}"' for field in model._meta.concrete_fields)
                key = "id" if model is PeerMember else "member_id"
                cursor.execute(
                    f"WITH gone AS (DELETE FROM {model._meta.db_table} WHERE {key} = ANY (%s) RETURNING *)"
                    f" INSERT INTO {history._meta.db_table}"
                    f" ({columns}, history_date, history_type, history_change_reason)"
                    f" SELECT {columns}, now(), '-', 'retention_ended' FROM gone",
                    [some],
                )


assert settings.SIMPLE_HISTORY_ENABLED is False, "ours would write every history row twice"
