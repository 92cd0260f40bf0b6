"""Destructions of the browser's day: a plan for every way in which one may stand."""

import datetime

from django.utils import timezone

from access_control.models import Staff
from consent.policy_text import REVISED
from members.models import Case, Member
from retention.models import Plan, Run
from retention.services.holds import place_legal_hold
from retention.services.planning import approve_plan, make_plan
from retention.services.stopping import abandon_run, withdraw_plan
from tests.retention.conftest import as_, ended, run, verify


def plans(now, *, spared):
    """How it stands → plan. Nothing ends for the member ``spared``."""
    officer, supervisor = (Staff.objects.get(username=name) for name in ("officer", "supervisor"))
    quiet = Member.objects.filter(state=Member.State.ACTIVE).exclude(pk__in=Case.objects.values("member"))
    gone = iter(list(quiet.exclude(pk=spared).order_by("pk")[:12]))
    # Seen tomorrow: alive for as long as the tests take.
    later = now + datetime.timedelta(days=1)
    today = timezone.localdate(now)

    def due(count=2):
        return [ended(next(gone)) for _member in range(count)]

    def approved():
        return approve_plan(make_plan(today, actor=None), actor=supervisor)

    def begun(*, seen=now):
        # It has destroyed nothing, as the vault knows.
        plan = approved()
        with as_("purger"):
            Run.objects.create(plan=plan, started_at=now, seen_at=seen, os_host="host-1")
        return plan

    # Nobody had ended anything when the policy was published.
    found = {"nothing": make_plan(REVISED, actor=None)}
    due(1)
    first, found["elsewhere"] = approved(), approved()
    for plan in (first, found["elsewhere"]):
        run(plan)
    held = due(3)[0]
    found["finished"] = approved()
    place_legal_hold(held, ground="litigation", actor=officer)
    run(found["finished"])
    verify(found["finished"])
    due(1)
    found["given_up"] = begun()
    for actor in (officer, supervisor):
        abandon_run(found["given_up"], actor=actor)
    due()
    found["running"] = begun(seen=later)
    found["withdrawn"] = approved()
    withdraw_plan(found["withdrawn"], actor=officer)
    due()
    found["approved"] = approved()
    found["waiting"] = make_plan(today, actor=officer)
    return {name: Plan.objects.get(pk=plan.pk) for name, plan in found.items()}
