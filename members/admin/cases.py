"""The list of cases, and the case as one screen that leads."""

import dataclasses
import uuid
from collections.abc import Iterable
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters

from access_control import policies
from access_control.accounts import actor_of
from access_control.admin import ReadOnlyAdmin
from access_control.checks import all_events
from access_control.codes import Reason
from access_control.ledger import acting
from access_control.locks import StillUnderWay
from access_control.models import LedgerEvent, Staff
from access_control.references import CASE
from access_control.roles import PERMISSIONS
from members.events import Event
from members.forms import CarefulForm
from members.models import Case, MemberGrant
from members.services.cases import CaseClosed, add_note, hand_over, read_notes
from members.services.grants import revoke_grants
from members.showing import masked_member, masked_names
from members.steps import DONE, LATER, NOW, CasePage, Step, may_work


class NoteForm(CarefulForm):
    """Free words; sealed."""

    answerable = True

    text = forms.CharField(label=_("note"), max_length=2_000, widget=forms.Textarea(attrs={"rows": 3}))


class ColleagueField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """An account, named by its person."""

    def label_from_instance(self, obj: Staff) -> str:
        """``佐藤 恵 (agent)``."""
        return f"{obj.get_full_name()} ({obj.username})"


class HandOverForm(forms.Form):
    """To whom a case goes."""

    to = ColleagueField(label=_("agent"), queryset=Staff.objects.none())

    def __init__(self, *args: Any, actor: Staff, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["to"]
        assert isinstance(field, forms.ModelChoiceField)
        # Whoever may work on cases, but the one who hands over.
        able = [role for role, names in PERMISSIONS.items() if "members.work_case" in names]
        allowed = Staff.objects.filter(is_active=True, role__in=able, person__left_on=None).exclude(
            person__access_class=""
        )
        field.queryset = allowed.exclude(pk=actor.pk).select_related("person")


def names_of_granted(cases: Iterable[Case], actor: Staff) -> dict[uuid.UUID, str]:
    """Case → masked name of its member, for the cases that give ``actor`` access now: one fetch, one event."""
    live = MemberGrant.objects.live().filter(user=actor, case__in=[case.pk for case in cases])
    members = dict(live.values_list("case", "content_object"))
    if not members:
        return {}
    with acting(actor, reason=Reason.DAILY_WORK) as act:
        names = masked_names(members.values(), act=act)
    return {case: names[member] for case, member in members.items() if member in names}


@admin.register(Case)
class CaseAdmin(ReadOnlyAdmin):
    """Cases one may see; each opens as a screen that leads through its steps."""

    # Set by config.console, in the order in which a call goes.
    steps: ClassVar[tuple[Step, ...]] = ()

    list_display = ("reference", "member_masked", "kind", "channel", "state", "arrived_at", "due_on", "owner")
    list_filter = ("state", "kind", "channel")
    list_select_related = ("owner",)
    list_display_links = ("reference",)
    ordering = ("due_on", "id")
    search_fields = ("reference__startswith",)
    reference_groups = CASE
    search_help_text = _("Reference (XXXX-XXXX). To find a caller, use Find.")

    def get_urls(self) -> list[URLPattern]:
        """The list, the case, and its actions; nothing else of the stock admin."""
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.changelist_view), name="members_case_changelist"),
            path("<uuid:case_id>/", wrap(self.case_view), name="members_case_change"),
            path("<uuid:case_id>/<slug:step>/<slug:action>/", wrap(self.act_view), name="members_case_act"),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list; masked names of the page's members come with one fetch."""
        response = super().changelist_view(request, {"title": _("Cases"), **(extra_context or {})})
        changelist = getattr(response, "context_data", None) and response.context_data.get("cl")  # type: ignore[attr-defined]
        if changelist is not None:
            names = names_of_granted(changelist.result_list, actor_of(request))
            for case in changelist.result_list:
                case.masked = names.get(case.pk, "")
        return response

    @admin.display(description=_("member"))
    def member_masked(self, case: Case) -> str:
        """The member of one's own case, masked."""
        return getattr(case, "masked", "") or "—"

    # One case.

    def _case(self, request: HttpRequest, case_id: uuid.UUID) -> Case:
        visible = policies.restrict(
            Case.objects.select_related("member", "member__entity", "owner", "owner__person"),
            request.user,
            "members.view_case",
        )
        case = visible.filter(pk=case_id).first()
        if case is None:
            raise Http404
        return case

    def _page(self, request: HttpRequest, case: Case, *, show: bool = True) -> CasePage:
        page = CasePage(request, case, timezone.now())
        page.working = may_work(case, page.actor)
        if show and page.working and case.member is not None:
            grants = MemberGrant.objects.live().filter(user=page.actor, case=case)
            page.granted = grants.exists() and policies.can(page.actor, "members.view_member", case.member)
            if page.granted:
                with acting(page.actor, reason=Reason.DAILY_WORK, case=case.pk) as act:
                    # A revocation waits for the page, or the page shows nothing.
                    page.shown = masked_member(case.member, act=act)
        return page

    def case_view(self, request: HttpRequest, case_id: uuid.UUID) -> HttpResponse:
        """The case as one screen that leads."""
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        return self._render(self._page(request, self._case(request, case_id)))

    @method_decorator(sensitive_post_parameters())
    def act_view(self, request: HttpRequest, case_id: uuid.UUID, step: str, action: str) -> HttpResponse:
        """One action of one step: redirect when done, else render what it left."""
        if request.method != "POST":
            return HttpResponseRedirect(reverse("admin:members_case_change", args=[case_id]))
        case = self._case(request, case_id)
        actions = {
            (one.name, name): act for one in self.steps if one.applies(case) for name, act in one.actions().items()
        } | {
            ("case", "note"): self.note,
            ("case", "hand-over"): self.hand_over,
            ("case", "revoke"): self.revoke,
        }
        act = actions.get((step, action))
        if act is None:
            raise Http404
        # The masked rows are needed to judge a correction's form, not to close or to check.
        page = self._page(request, case, show=step == "correction")
        try:
            redirect = act(page)
        except PermissionDenied:
            messages.error(request, _("That is not yours to do in this case any more."))
            redirect = True
        except CaseClosed:
            messages.warning(request, _("The case is closed; nothing more happens in it."))
            redirect = True
        except StillUnderWay as stuck:
            messages.warning(request, str(stuck))
            redirect = True
        if redirect:
            return HttpResponseRedirect(reverse("admin:members_case_change", args=[case_id]))
        shown = self._page(request, self._case(request, case_id))
        shown.left = page.left
        return self._render(shown)

    def note(self, page: CasePage) -> bool:
        """Add a sealed note."""
        form = NoteForm(page.request.POST)
        if form.is_valid():
            add_note(page.case, text=form.cleaned_data["text"], actor=page.actor, neither_number=form.answered)
            messages.success(page.request, _("The note is kept, sealed."))
            return True
        page.left["note_form"] = form
        return False

    def hand_over(self, page: CasePage) -> bool:
        """Give the case to another agent."""
        form = HandOverForm(page.request.POST, actor=page.actor)
        if form.is_valid():
            hand_over(page.case, to=form.cleaned_data["to"], actor=page.actor)
            messages.success(page.request, _("The case was handed over; the access of the former agent has ended."))
            return True
        page.left["hand_over_form"] = form
        return False

    def revoke(self, page: CasePage) -> bool:
        """End the access that the case gave."""
        ended = revoke_grants(page.case, actor=page.actor)
        if ended:
            messages.success(page.request, _("The access is revoked. Nothing more of this member can be seen."))
        else:
            messages.info(page.request, _("This case gives no access at present."))
        return True

    def _render(self, page: CasePage) -> HttpResponse:
        case, actor = page.case, page.actor
        steps = []
        earlier_done = True
        for step in self.steps:
            if not step.applies(case):
                continue
            done = step.done(page)
            state = DONE if done else NOW if earlier_done else LATER
            earlier_done = earlier_done and done
            steps.append({"step": step, "state": state, **step.context(page)})
        oversees = policies.can(actor, "members.oversee_case")
        context = {
            **self.admin_site.each_context(page.request),
            "title": _("Case %(reference)s") % {"reference": case.reference},
            "opts": Case._meta,
            "case": case,
            "page": page,
            "steps": steps,
            "overdue": case.state == Case.State.OPEN and case.due_on < timezone.localdate(page.now),
            "notes": read_notes(case, actor=actor) if page.working else [],
            "note_form": page.left.get("note_form") or NoteForm(),
            "hand_over_form": (page.left.get("hand_over_form") or HandOverForm(actor=actor)) if oversees else None,
            "may_revoke": policies.can(actor, "members.revoke_grant"),
            "live_grants": MemberGrant.objects.live().filter(case=case).exists(),
            "events": _events(case),
        }
        return TemplateResponse(page.request, "admin/members/case/page.html", context)


@dataclasses.dataclass(frozen=True)
class Line:
    """A ledger event in words."""

    at: Any
    what: str
    who: str


def _events(case: Case) -> list[Line]:
    """The newest twenty things that happened in a case; masked pages and notes looked at stay in the ledger."""
    names = all_events()
    looked = (Event.SHOWN_MASKED, Event.NOTES_READ)
    return [
        Line(row.at, names.get(row.event, row.event), row.actor_name if row.actor else str(_("system")))
        for row in LedgerEvent.objects.filter(case=case.pk).exclude(event__in=looked).order_by("-sequence")[:20]
    ]
