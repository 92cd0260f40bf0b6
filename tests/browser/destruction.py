"""Destructions of the browser's day: a plan for every way in which one may stand."""

import datetime

from django.utils import timezone

from access_control.models import Staff
from consent.policy_text import REVISED
from members.models import Case, Member
from retention.models import Plan, Run
from retention.services.holds import place_legal_hold
from retention.services.planning import approve_plan, make_plan
from tests.retention.conftest import as_, ended, run, verify


def plans(now):
    """How it stands → plan."""
    officer, supervisor = (Staff.objects.get(username=name) for name in ("officer", "supervisor"))
    quiet = Member.objects.filter(state=Member.State.ACTIVE).exclude(pk__in=Case.objects.values("member"))
    gone = iter(list(quiet.order_by("pk")[:12]))
    today = timezone.localdate(now)

    def due(count=2):
        return [ended(next(gone)) for _member in range(count)]

    # Nobody had ended anything when the policy was published.
    found = {"nothing": make_plan(REVISED, actor=None)}
    held = due(3)[0]
    found["finished"] = approve_plan(make_plan(today, actor=None), actor=supervisor)
    place_legal_hold(held, ground="litigation", actor=officer)
    run(found["finished"])
    verify(found["finished"])
    due()
    found["running"] = approve_plan(make_plan(today, actor=None), actor=supervisor)
    later = now + datetime.timedelta(days=1)
    with as_("purger"):
        # Seen tomorrow: alive for as long as the tests take.
        Run.objects.create(plan=found["running"], started_at=now, seen_at=later, destroyed_count=3, os_host="host-1")
    due()
    found["approved"] = approve_plan(make_plan(today, actor=None), actor=supervisor)
    found["waiting"] = make_plan(today, actor=officer)
    return {name: Plan.objects.get(pk=plan.pk) for name, plan in found.items()}
