"""Finding a caller, the members of one's own cases, the member masked, and the history."""

import datetime
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
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
from access_control.codes import Reason
from access_control.ledger import acting
from members.forms import CarefulForm
from members.models import Addressee, Case, ContactPoint, Member
from members.normal_forms import SeenNumber, forbidden_numbers
from members.normal_forms.numbers import CARD_NUMBER
from members.services.cases import open_case
from members.services.finding import (
    FINDS_AN_HOUR,
    NAMES_AN_HOUR,
    FindBudgetSpent,
    SecondFactNeeded,
    find,
    found_by,
)
from members.services.locking import DataDestroyed
from members.showing import masked_member, masked_names
from members.timeline import timeline

LONGEST_UNOPENED = datetime.timedelta(days=365)


def _cards(text: str) -> list[SeenNumber]:
    """Card numbers only: twelve digits of telephones may look like an Individual Number, and nothing here is kept."""
    return [seen for seen in forbidden_numbers(text) if seen.kind == CARD_NUMBER]


class FindForm(CarefulForm):
    """One box for any identifier, one for the second fact that a name needs.

    A member number may look like a card's: whoever asks for one says so.
    """

    seen_in = staticmethod(_cards)
    answerable = True
    answer_label = _("It is a member number, not a card number")
    answer_help = _("Then type the number again where ＊ stands.")

    identifier = forms.CharField(
        label=_("Telephone, e-mail, login ID, member number, or name"),
        max_length=200,
        help_text=_("Type it as the caller says it; full-width letters, dashes and spaces do not matter."),
    )
    second = forms.CharField(
        label=_("With a name: date of birth, postcode, or last four digits of a telephone"),
        max_length=60,
        required=False,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs["autocomplete"] = "off"
        self.fields["identifier"].widget.attrs["autofocus"] = True


class OpenForm(forms.Form):
    """What the caller wants, and how they came."""

    kind = forms.ChoiceField(label=_("kind"), choices=Case.Kind.choices)
    channel = forms.ChoiceField(label=_("channel"), choices=Case.Channel.choices)
    # Of a letter that lay unopened the arrival counts.
    arrived_on = forms.DateField(label=_("arrived on"), required=False)

    def clean_arrived_on(self) -> datetime.date | None:
        """Not a day to come, and none so long ago that it is a slip of the pen."""
        day: datetime.date | None = self.cleaned_data["arrived_on"]
        today = timezone.localdate()
        if day is not None and not today - LONGEST_UNOPENED <= day <= today:
            raise forms.ValidationError(_("Nothing arrives on a day to come, or lies unopened for a year."))
        return day

    @property
    def arrived_at(self) -> datetime.datetime | None:
        """The beginning of the day it arrived; None: just now."""
        day = self.cleaned_data["arrived_on"]
        if day is None or day == timezone.localdate():
            return None
        return timezone.make_aware(datetime.datetime.combine(day, datetime.time.min))


@contextmanager
def _ended_is_not_found() -> Iterator[None]:
    """A revocation waits for the page under way; one that came before makes it 404."""
    try:
        yield
    except PermissionDenied:
        raise Http404 from None


@admin.register(Member)
class MemberAdmin(ReadOnlyAdmin):
    """Members under one's live grants. Nobody browses members; a caller is found by an exact identifier."""

    # Set by config.console: callables (request, member) → the panel's context, with its "template".
    panels: ClassVar[tuple[Any, ...]] = ()

    list_display = ("masked_name", "state", "entity", "joined_on")
    list_select_related = ("entity",)
    list_display_links = ("masked_name",)
    ordering = ("id",)
    sortable_by = ()

    def get_urls(self) -> list[URLPattern]:
        """Find, open, the list, the member and the history; nothing else of the stock admin."""
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.changelist_view), name="members_member_changelist"),
            path("find/", wrap(self.find_view), name="members_member_find"),
            path("<uuid:member_id>/open/", wrap(self.open_view), name="members_member_open"),
            path("<uuid:member_id>/", wrap(self.member_view), name="members_member_change"),
            path("<uuid:member_id>/history/", wrap(self.timeline_view), name="members_member_history"),
        ]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """By role for the list (which holds granted members only), by grant for one member."""
        if obj is None:
            return policies.may(request.user, "members.view_member")
        return policies.can(request.user, "members.view_member", obj)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Members whose cases are mine and open."""
        response = super().changelist_view(request, {"title": _("Members of my cases"), **(extra_context or {})})
        changelist = getattr(response, "context_data", None) and response.context_data.get("cl")  # type: ignore[attr-defined]
        if changelist is not None and changelist.result_list:
            with acting(actor_of(request), reason=Reason.DAILY_WORK) as act:
                names = masked_names([member.pk for member in changelist.result_list], act=act)
            for member in changelist.result_list:
                member.masked = names.get(member.pk, "")
        return response

    @admin.display(description=_("name"))
    def masked_name(self, member: Member) -> str:
        """Masked."""
        return getattr(member, "masked", "") or "—"

    @method_decorator(sensitive_post_parameters())
    def find_view(self, request: HttpRequest) -> HttpResponse:
        """Find a caller. What is typed travels in a POST and is neither stored nor logged."""
        if request.method not in {"GET", "HEAD", "POST"}:
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        if not policies.can(request.user, "members.find_member"):
            raise PermissionDenied
        form = FindForm(request.POST if request.method == "POST" else None)
        found = None
        if request.method == "POST" and form.is_valid():
            try:
                found = find(form.cleaned_data["identifier"], form.cleaned_data["second"], actor=actor_of(request))
            except SecondFactNeeded:
                form.add_error(
                    "second", _("A name alone finds nobody. Ask for a date of birth, a postcode or four digits.")
                )
            except FindBudgetSpent as spent:
                form.add_error(None, _budget_sentence(spent))
        context = {
            **self.admin_site.each_context(request),
            "title": _("Find a caller"),
            "opts": Member._meta,
            "form": form,
            "found": found,
            "open_form": OpenForm(initial={"kind": Case.Kind.CORRECTION, "channel": Case.Channel.PHONE}),
        }
        return TemplateResponse(request, "admin/members/find.html", context)

    def open_view(self, request: HttpRequest, member_id: uuid.UUID) -> HttpResponse:
        """Open a case about a member who was found."""
        if request.method != "POST":
            return HttpResponseRedirect(reverse("admin:members_member_find"))
        form = OpenForm(request.POST)
        member = Member.objects.filter(pk=member_id).first()
        if member is None or not policies.can(request.user, "members.open_case"):
            raise Http404
        if not form.is_valid():
            wrong = form.errors.get("arrived_on")
            messages.error(request, str(wrong[0]) if wrong else _("Choose what the caller wants and how they came."))
            return HttpResponseRedirect(reverse("admin:members_member_find"))
        actor = actor_of(request)
        try:
            case = open_case(
                member,
                kind=form.cleaned_data["kind"],
                channel=form.cleaned_data["channel"],
                arrived_at=form.arrived_at,
                found_by=found_by(member, actor=actor),
                actor=actor,
            )
        except DataDestroyed:
            messages.error(request, _("The data was destroyed; nothing can bring it back."))
            return HttpResponseRedirect(reverse("admin:members_member_find"))
        return HttpResponseRedirect(reverse("admin:members_case_change", args=[case.pk]))

    def _member(self, request: HttpRequest, member_id: uuid.UUID) -> Member:
        """The member, or 404 for whoever has no live grant: the answer does not tell whether there is one."""
        visible = policies.restrict(Member.objects.select_related("entity"), request.user, "members.view_member")
        member = visible.filter(pk=member_id).first()
        if member is None:
            raise Http404
        return member

    def member_view(self, request: HttpRequest, member_id: uuid.UUID) -> HttpResponse:
        """Everything on file, masked, in the policy's order."""
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        member = self._member(request, member_id)
        with _ended_is_not_found(), acting(actor_of(request), reason=Reason.DAILY_WORK) as act:
            shown = masked_member(member, act=act)
        groups: dict[int, list[Any]] = {}
        for one in shown:
            groups.setdefault(one.item.group, []).append(one)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Member"),
            "opts": Member._meta,
            "member": member,
            "groups": [(GROUPS[number], facts) for number, facts in sorted(groups.items())],
            "cases": policies.restrict(Case.objects.filter(member=member), request.user, "members.view_case").order_by(
                "-arrived_at"
            )[:20],
            "malformed": sum(
                model._default_manager.filter(member=member, removed_at=None, well_formed=False).count()
                for model in (ContactPoint, Addressee)
            ),
            "panels": [panel(request, member) for panel in self.panels],
        }
        return TemplateResponse(request, "admin/members/member.html", context)

    def timeline_view(self, request: HttpRequest, member_id: uuid.UUID) -> HttpResponse:
        """Who changed what, when, why and in which case, masked before and after. Reading only."""
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        member = self._member(request, member_id)
        with _ended_is_not_found(), acting(actor_of(request), reason=Reason.DAILY_WORK) as act:
            entries = timeline(member, act=act)
        context = {
            **self.admin_site.each_context(request),
            "title": _("History of a member"),
            "opts": Member._meta,
            "member": member,
            "entries": entries,
        }
        return TemplateResponse(request, "admin/members/history.html", context)


def _budget_sentence(spent: FindBudgetSpent) -> str:
    """Why nothing was searched, and when it may be again."""
    when = timezone.localtime(spent.free_at).strftime("%H:%M")
    if spent.by_name:
        sentence = _(
            "Nothing was searched: an account may search %(names)d times an hour by name, and %(all)d times in all. "
            "It may again from %(when)s. Ask for a telephone number, an e-mail address or the login ID."
        )
    else:
        sentence = _(
            "Nothing was searched: an account may search %(all)d times an hour. It may again from %(when)s. "
            "If a call waits, ask a colleague."
        )
    return sentence % {"names": NAMES_AN_HOUR, "all": FINDS_AN_HOUR, "when": when}


# The five item groups of the published policy (P2).
GROUPS = {
    1: _("Name and ID"),
    2: _("Contact"),
    3: _("Addressees"),
    4: _("Payment"),
    5: _("About the member"),
}
