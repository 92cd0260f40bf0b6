"""What the start page shows: my cases, what is due, what waits for me."""

import datetime
from typing import Any

from django.db.models import Count, Q
from django.http import HttpRequest
from django.utils import timezone

from access_control import policies
from access_control.access_admin import waiting_for
from access_control.accounts import actor_of
from access_control.models import AcceptedRestore
from members.admin.cases import names_of_granted
from members.models import Case, Correction, Notice
from retention.admin.board import SEES_BOARD
from retention.restores import Loss

MOST = 10
DUE_SOON = datetime.timedelta(days=3)
RESTORES_SHOWN = datetime.timedelta(days=30)


def accepted_restores(now: datetime.datetime) -> list[dict[str, Any]]:
    """Restores that two persons accepted within 30 days, and what each has lost, in words; newest first."""
    accepted = AcceptedRestore.objects.filter(accepted_at__gt=now - RESTORES_SHOWN)
    return [
        {
            "at": restored.accepted_at,
            "lost": [(Loss(code).label, count) for code, count in restored.lost.items() if count],
        }
        for restored in accepted
    ]


def start_context(request: HttpRequest, now: datetime.datetime) -> dict[str, Any]:
    """The start page of whoever looks; an account without cases gets none."""
    today = timezone.localdate(now)
    # Only whether there is a board to look at: computing it takes longer than a start page may.
    context: dict[str, Any] = {"today": today, "sees_board": policies.may(request.user, SEES_BOARD)}
    context["access_waits"] = waiting_for(request.user)
    if context["sees_board"] or policies.may(request.user, "access_control.accept_restore"):
        context["accepted_restores"] = accepted_restores(now)
    if not policies.may(request.user, "members.view_case"):
        return context
    seen = policies.restrict(Case.objects.filter(state=Case.State.OPEN), request.user, "members.view_case")
    mine = seen.filter(owner=actor_of(request))
    everybody = policies.can(request.user, "members.oversee_case")
    tally = (seen if everybody else mine).aggregate(
        open=Count("pk"),
        soon=Count("pk", filter=Q(due_on__gte=today, due_on__lte=today + DUE_SOON)),
        overdue=Count("pk", filter=Q(due_on__lt=today)),
        contested=Count("pk", filter=Q(contested_at__isnull=False)),
    )
    cases = list(mine.order_by("due_on", "pk")[:MOST])
    names = names_of_granted(cases, actor_of(request))
    pending = set(
        Correction.objects.filter(case__in=cases, state=Correction.State.ASKED).values_list("case_id", flat=True)
    )
    context |= {
        "tally": tally,
        "everybody": everybody,
        "cases": [
            {
                "case": case,
                "masked": names.get(case.pk, ""),
                "overdue": case.due_on < today,
                "soon": today <= case.due_on <= today + DUE_SOON,
                "pending": case.pk in pending,
            }
            for case in cases
        ],
        # Work left by somebody who may no longer act is everybody's.
        "left_behind": list(
            policies.restrict(Case.objects.left_behind(), request.user, "members.view_case").order_by("due_on")[:MOST]
        ),
        "notices_failed": Notice.objects.filter(state=Notice.State.FAILED, case__in=mine.values("pk")).count(),
    }
    return context
