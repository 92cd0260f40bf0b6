"""Legal holds: which stand, placing one, lifting one. Whom they are about is never in an address."""

import uuid
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters

from access_control import policies
from access_control.accounts import actor_of
from access_control.admin import ReadOnlyAdmin
from retention.forms import HoldForm
from retention.models import LegalHold
from retention.services.holds import AlreadyLifted, AlreadyOnHold, NothingLeft, lift_legal_hold, place_legal_hold
from retention.showing import short

PLACES = "retention.place_legalhold"


class StandingFilter(admin.SimpleListFilter):
    """Holds that stand, and those that were lifted."""

    title = _("state")
    parameter_name = "stands"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Two states."""
        return [("1", _("stands")), ("0", _("hold lifted"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Those in the state chosen; an unknown one is all of them."""
        if self.value() not in {"0", "1"}:
            return queryset
        return queryset.filter(lifted_at__isnull=self.value() == "1")


@admin.register(LegalHold)
class LegalHoldAdmin(ReadOnlyAdmin):
    """Holds, the newest first."""

    list_display = ("member_short", "ground", "state_name", "placed_at", "placer", "lifted_at", "lifter")
    list_display_links = None
    list_filter = (StandingFilter, "ground")
    list_select_related = ("placed_by__person", "lifted_by__person")
    ordering = ("-placed_at",)
    sortable_by = ("placed_at", "lifted_at")

    def get_urls(self) -> list[URLPattern]:
        """The list, placing and lifting; nothing else of the stock admin."""
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.changelist_view), name="retention_legalhold_changelist"),
            path("place/", wrap(self.place_view), name="retention_legalhold_place"),
            path("<uuid:hold_id>/lift/", wrap(self.lift_view), name="retention_legalhold_lift"),
        ]

    # The list.

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list, with what the viewer may do."""
        extra = {"title": _("Legal holds"), "may_place": policies.can(request.user, PLACES)}
        return super().changelist_view(request, {**extra, **(extra_context or {})})

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        """Lifting stands in the list for whoever may."""
        return (*self.list_display, "lift") if policies.can(request.user, PLACES) else self.list_display

    @admin.display(description=_("member"))
    def member_short(self, hold: LegalHold) -> SafeString:
        """The end of the member's id."""
        return format_html("<code>{}</code>", short(hold.member_id))

    @admin.display(description=_("state"))
    def state_name(self, hold: LegalHold) -> SafeString:
        """Whether it stands."""
        if hold.lifted_at is None:
            return format_html('<span class="badge badge--wait">{}</span>', _("stands"))
        return format_html('<span class="badge">{}</span>', _("hold lifted"))

    @admin.display(description=_("placed by"))
    def placer(self, hold: LegalHold) -> str:
        """The person's name."""
        return hold.placed_by.get_full_name()

    @admin.display(description=_("lifted by"))
    def lifter(self, hold: LegalHold) -> str:
        """The person's name."""
        return hold.lifted_by.get_full_name() if hold.lifted_by else "—"

    @admin.display(description=_("what to do"))
    def lift(self, hold: LegalHold) -> SafeString | str:
        """A link to the page that asks once more."""
        if hold.lifted_at is not None:
            return "—"
        address = reverse("admin:retention_legalhold_lift", args=[hold.pk])
        return format_html(
            '<a href="{}">{}<span class="visually-hidden"> {}</span></a>', address, _("Lift…"), short(hold.member_id)
        )

    # Placing and lifting.

    @method_decorator(sensitive_post_parameters())
    def place_view(self, request: HttpRequest) -> HttpResponse:
        """Whom and why; then a page that says what that does; then the hold. Everything travels in a POST."""
        if request.method not in {"GET", "HEAD", "POST"}:
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        actor = actor_of(request)
        if not policies.can(actor, PLACES):
            raise PermissionDenied
        form = HoldForm(request.POST if request.method == "POST" else None, actor=actor)
        asked = request.method == "POST" and form.is_valid()
        refusal = ""
        if asked and request.POST.get("confirmed"):
            assert form.member is not None
            try:
                place_legal_hold(form.member, ground=form.cleaned_data["ground"], actor=actor)
            except AlreadyOnHold:
                refusal = "already_on_hold"
            except NothingLeft:
                refusal = "nothing_left"
            else:
                messages.success(request, _("The hold stands. Nothing of this member is destroyed until it is lifted."))
                return HttpResponseRedirect(reverse("admin:retention_legalhold_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "title": _("Place a legal hold"),
            "opts": LegalHold._meta,
            "form": form,
            "asked": asked,
            "refusal": refusal,
            "member": form.member,
            "member_short": short(form.member.pk) if form.member else "",
            "ground": LegalHold.Ground(form.cleaned_data["ground"]).label if asked else "",
        }
        return TemplateResponse(request, "admin/retention/legalhold/place.html", context)

    def lift_view(self, request: HttpRequest, hold_id: uuid.UUID) -> HttpResponse:
        """A page that says what lifting does; then it is done."""
        if request.method not in {"GET", "HEAD", "POST"}:
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        actor = actor_of(request)
        if not policies.can(actor, PLACES):
            raise PermissionDenied
        holds = LegalHold.objects.select_related("placed_by__person")
        hold = policies.restrict(holds, actor, "retention.view_legalhold").filter(pk=hold_id).first()
        if hold is None:
            raise Http404
        if request.method == "POST":
            try:
                lift_legal_hold(hold, actor=actor)
            except AlreadyLifted:
                messages.info(request, _("The hold was lifted before."))
            else:
                messages.success(request, _("The hold is lifted. What is due is in the next plan."))
            return HttpResponseRedirect(reverse("admin:retention_legalhold_changelist"))
        others = LegalHold.objects.filter(member=hold.member_id, lifted_at=None).exclude(pk=hold.pk)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Lift a legal hold"),
            "opts": LegalHold._meta,
            "hold": hold,
            "member_short": short(hold.member_id),
            "others": [other.get_ground_display() for other in others.order_by("placed_at")],
        }
        return TemplateResponse(request, "admin/retention/legalhold/lift.html", context)
