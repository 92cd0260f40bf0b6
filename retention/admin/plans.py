"""Destruction plans: the list, the plan with its lines, its approval, and how far its run has come.

A plan's page shows lines, so each view of it is in the ledger. The page of the run shows counts alone: it may look
again by itself without telling the ledger every ten seconds that somebody reads.
"""

import datetime
import uuid
from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from access_control import policies
from access_control.accounts import actor_of
from access_control.admin import ReadOnlyAdmin
from access_control.codes import Reason
from access_control.ledger import acting
from access_control.references import PLAN
from access_control.vault.categories import Category
from retention.events import Event
from retention.models import Plan, Start
from retention.services.planning import FutureDay, NotApprovable, SamePerson, approve_plan, make_plan
from retention.services.rules import NoRules
from retention.services.verifying import newest_verification
from retention.sheets import lines_as_csv
from retention.showing import (
    Choice,
    Group,
    findings_of,
    groups_of,
    is_over,
    left_out_of,
    lines_of_page,
    parked_of,
    progress_of,
    state_of,
    with_state,
)
from retention.waiting import overlaps_of
from retention.words import BADGES, LEFT_OUT, PARKED, PlanState

COMMAND = ".venv/bin/python manage.py"
# The run's page looks again this often, and so many times: a screen that nobody sits at signs out as every other.
LOOKS_AGAIN_AFTER = 10
LOOKS_AGAIN = 60


class StateFilter(admin.SimpleListFilter):
    """Plans by how they stand."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Every state."""
        return list(PlanState.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The plans that stand so; an unknown state is all of them."""
        return queryset.filter(state=self.value()) if self.value() in PlanState.values else queryset


@admin.register(Plan)
class PlanAdmin(ReadOnlyAdmin):
    """Plans, newest first. A plan is made and approved here; it is carried out by a command, as another role."""

    list_display = (
        *("name", "state_name", "verification_name", "as_of", "made_at", "maker", "items_due", "persons", "left_out"),
    )
    list_filter = (StateFilter,)
    ordering = ("-made_at",)
    sortable_by = ("as_of", "made_at", "items_due")
    search_fields = ("reference__startswith",)
    reference_groups = PLAN
    search_help_text = _("Reference of a plan (YYYYMMDD-XXXX)")
    list_display_links = ("name",)

    def get_urls(self) -> list[URLPattern]:
        """The list, the plan, and what is done with it; nothing else of the stock admin."""
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.changelist_view), name="retention_plan_changelist"),
            path("make/", wrap(self.make_view), name="retention_plan_make"),
            path("<uuid:plan_id>/", wrap(self.plan_view), name="retention_plan_change"),
            path("<uuid:plan_id>/approve/", wrap(self.approve_view), name="retention_plan_approve"),
            path("<uuid:plan_id>/run/", wrap(self.run_view), name="retention_plan_run"),
            path("<uuid:plan_id>/lines.csv", wrap(self.csv_view), name="retention_plan_csv"),
        ]

    # The list.

    def get_queryset(self, request: HttpRequest) -> QuerySet[Plan]:
        """The plans with their state, which the list shows and filters by."""
        return with_state(super().get_queryset(request), timezone.now())

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list, and the button that makes a plan for whoever may."""
        extra = {"title": _("Destruction plans"), "may_make": policies.can(request.user, "retention.make_plan")}
        return super().changelist_view(request, {**extra, **(extra_context or {})})

    @admin.display(description=_("plan reference"))
    def name(self, plan: Plan) -> SafeString:
        """The reference, as a code."""
        return format_html("<code>{}</code>", plan.reference)

    @admin.display(description=_("made by"))
    def maker(self, plan: Plan) -> str:
        """A person's account, or the system."""
        return maker_of(plan)

    @admin.display(description=_("items due"), ordering="line_count")
    def items_due(self, plan: Plan) -> str:
        """With separators: they run into the millions."""
        return f"{plan.line_count:,}"

    @admin.display(description=_("persons"))
    def persons(self, plan: Plan) -> str:
        """Likewise."""
        return f"{plan.subject_count:,}"

    @admin.display(description=_("persons left out"))
    def left_out(self, plan: Plan) -> str:
        """Likewise."""
        return f"{plan.excluded_count:,}"

    @admin.display(description=_("state"))
    def state_name(self, plan: Plan) -> SafeString:
        """In words."""
        return state_badge(plan)

    @admin.display(description=_("verification"))
    def verification_name(self, plan: Plan) -> str:
        """What the newest verification found, once there is something to verify."""
        if not is_over(plan):
            return "—"
        found = plan.findings  # type: ignore[attr-defined]
        if found is None:
            return str(_("not verified"))
        if not found:
            return str(_("verified"))
        return ngettext("%(n)d finding", "%(n)d findings", found) % {"n": found}

    def make_view(self, request: HttpRequest) -> HttpResponse:
        """A plan of what is due today. Nothing of a member changes by it."""
        if request.method != "POST":
            return HttpResponseRedirect(reverse("admin:retention_plan_changelist"))
        try:
            plan = make_plan(timezone.localdate(), actor=actor_of(request), reason=Reason.DAILY_WORK)
        except NoRules:
            messages.error(
                request, _("No retention rules are in force today. Have them published first: publish_rules.")
            )
            return HttpResponseRedirect(reverse("admin:retention_plan_changelist"))
        if plan.line_count:
            messages.success(request, _("The plan is made. Somebody else reads and approves it."))
        return HttpResponseRedirect(reverse("admin:retention_plan_change", args=[plan.pk]))

    # One plan.

    def _plan(self, request: HttpRequest, plan_id: uuid.UUID, now: datetime.datetime) -> Plan:
        if not policies.can(request.user, "retention.view_plan"):
            raise PermissionDenied
        seen = policies.restrict(Plan.objects.all(), request.user, "retention.view_plan")
        plan = with_state(seen, now).filter(pk=plan_id).first()
        if plan is None:
            raise Http404
        return plan

    def plan_view(self, request: HttpRequest, plan_id: uuid.UUID) -> HttpResponse:
        """Everything about one plan, and a page of its lines. Each view is in the ledger."""
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        now = timezone.now()
        plan = self._plan(request, plan_id, now)
        choice = Choice.of(request.GET)
        with acting(actor_of(request), reason=Reason.DAILY_WORK) as act:
            lines = lines_of_page(plan, choice)
            act.record(Event.PLAN_READ, note=plan.pk, count=len(lines.rows))
        groups = groups_of(plan)
        context = {
            **self._context(request, plan, now),
            "groups": groups,
            "left_out": [
                {"what": one, "clause": LEFT_OUT[one.reason][0], "why": LEFT_OUT[one.reason][1]}
                for one in left_out_of(plan)
            ],
            "lines": lines,
            "choice": choice,
            "chosen_count": _chosen_count(groups, choice),
            "categories": _choices(choice, "category", groups, dict(Category.choices)),
            "starts": _choices(choice, "start", groups, dict(Start.choices)),
            "sorts": [
                {"label": label, "query": choice.query(sort=sort), "current": sort == choice.sort}
                for sort, label in _SORTS.items()
            ],
            "first_page": choice.query(),
            "page_before": choice.query(before=lines.before) if lines.before else "",
            "page_after": choice.query(after=lines.after) if lines.after else "",
        }
        return TemplateResponse(request, "admin/retention/plan/page.html", context)

    def _context(self, request: HttpRequest, plan: Plan, now: datetime.datetime) -> dict[str, Any]:
        """What the plan's page, its approval and the page of its run share: the plan, its state and what is next."""
        state = state_of(plan)
        verification = newest_verification(plan) if is_over(plan) else None
        mine = plan.approval.requester_id is not None and plan.approval.requester_id == actor_of(request).person_id
        return {
            **self.admin_site.each_context(request),
            "title": _("Destruction plan %(reference)s") % {"reference": plan.reference},
            "opts": Plan._meta,
            "plan": plan,
            "maker": maker_of(plan),
            "state": state.value,
            "over": is_over(plan),
            "badge": state_badge(plan),
            "hash": bytes(plan.payload_hash).hex(),
            "mine": mine,
            "may_approve": policies.can(request.user, "retention.approve_plan"),
            "may_make": policies.can(request.user, "retention.make_plan"),
            "command": COMMAND,
            "progress": progress_of(plan),
            "parked": [
                {"what": one, "next": PARKED[one.reason]} for one in parked_of(plan, today=timezone.localdate(now))
            ],
            "verification": verification,
            "findings": findings_of(verification) if verification else [],
            "now": now,
        }

    def approve_view(self, request: HttpRequest, plan_id: uuid.UUID) -> HttpResponse:
        """A page that says exactly what will happen; then the approval."""
        if request.method not in {"GET", "HEAD", "POST"}:
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        now = timezone.now()
        plan = self._plan(request, plan_id, now)
        if not policies.can(request.user, "retention.approve_plan"):
            raise PermissionDenied
        refusal = ""
        if request.method == "POST":
            try:
                approve_plan(plan, actor=actor_of(request))
            except SamePerson:
                refusal = "same_person"
            except FutureDay:
                refusal = "future"
            except NotApprovable:
                refusal = "not_approvable"
            else:
                messages.success(request, _("The plan is approved. Nothing is destroyed yet: the command does that."))
                return HttpResponseRedirect(reverse("admin:retention_plan_change", args=[plan.pk]))
        context = {
            **self._context(request, plan, now),
            "groups": groups_of(plan),
            "refusal": refusal,
            "overlaps": overlaps_of(plan, now),
        }
        return TemplateResponse(request, "admin/retention/plan/approve.html", context)

    def run_view(self, request: HttpRequest, plan_id: uuid.UUID) -> HttpResponse:
        """How far the run has come, in counts. While it goes on the page looks again by itself, unless told not to."""
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        now = timezone.now()
        plan = self._plan(request, plan_id, now)
        context = self._context(request, plan, now)
        asked = request.GET.get("look", "1")
        look = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 4 else 0
        again = state_of(plan) == PlanState.RUNNING and 0 < look < LOOKS_AGAIN
        context |= {"again": again, "seconds": LOOKS_AGAIN_AFTER, "tired": look >= LOOKS_AGAIN}
        answer = TemplateResponse(request, "admin/retention/plan/run.html", context)
        if again:
            # As a header rather than an element: the page also has the link that stops it (WCAG 2.2.1).
            answer["Refresh"] = f"{LOOKS_AGAIN_AFTER}; url={request.path}?look={look + 1}"
        return answer

    def csv_view(self, request: HttpRequest, plan_id: uuid.UUID) -> HttpResponse | StreamingHttpResponse:
        """All lines as a file; in the ledger like the page."""
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        plan = self._plan(request, plan_id, timezone.now())
        with acting(actor_of(request), reason=Reason.DAILY_WORK) as act:
            act.record(Event.PLAN_READ, note=plan.pk, count=plan.line_count)
        return StreamingHttpResponse(
            lines_as_csv(plan),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="plan-{plan.reference}.csv"'},
        )


_SORTS = {
    "": _("as planned"),
    "due": _("earliest last day first"),
    "-due": _("latest last day first"),
    "started": _("earliest event first"),
    "category": _("by category"),
}


def maker_of(plan: Plan) -> str:
    """Who made a plan: a person, or the system on schedule."""
    return str(_("the system")) if plan.made_by is None else plan.made_by.get_full_name()


def state_badge(plan: Plan) -> SafeString:
    """How a plan stands, as a badge."""
    state = state_of(plan)
    return format_html('<span class="badge {}">{}</span>', BADGES[state], state.label)


def _choices(choice: Choice, name: str, groups: Iterable[Group], labels: dict[Any, Any]) -> list[dict[str, Any]]:
    """Links that narrow the lines to one value of a column; those which the plan has."""
    there = {getattr(group, name) for group in groups}
    current = getattr(choice, name)
    every = {"label": _("all"), "query": choice.query(**{name: ""}), "current": current in (None, "")}
    return [
        every,
        *(
            {"label": label, "query": choice.query(**{name: value}), "current": current == value}
            for value, label in labels.items()
            if value in there
        ),
    ]


def _chosen_count(groups: Iterable[Group], choice: Choice) -> int | None:
    """How many lines the filters leave, from what is counted anyway; parked ones are counted with the run."""
    if choice.parked:
        return None
    return sum(
        group.count
        for group in groups
        if choice.category in (None, group.category) and choice.start in ("", group.start)
    )
