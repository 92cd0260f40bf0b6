"""Hands for people, accounts and the ledger."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from access_control import access_admin, policies, services, sign_in
from access_control.accounts import actor_of
from access_control.checks import all_events
from access_control.codes import Reason
from access_control.locks import StillUnderWay
from access_control.models import AccessRequest, Entity, LedgerEvent, Person, Staff
from access_control.paging import CappedPaginator
from access_control.references import beginning
from access_control.roles import AGREES


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """Rows that people read and services write. What is forbidden is refused, not hidden."""

    show_full_result_count = False
    # Counting rows for every choice of every filter is a scan for each.
    show_facets = admin.ShowFacets.NEVER
    paginator = CappedPaginator
    list_per_page = 50
    actions: Any = ()
    # Where the list is searched by a reference: its groups of letters.
    reference_groups: tuple[int, ...] = ()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """A reference is found however it is typed."""
        if self.reference_groups:
            search_term = beginning(search_term, self.reference_groups)
        return super().get_search_results(request, queryset, search_term)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """What the viewer may see; closed by default."""
        meta = self.model._meta
        return policies.restrict(
            super().get_queryset(request), request.user, f"{meta.app_label}.view_{meta.model_name}"
        )

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Only what the list offers as a filter: any other column (a password's hash) could be guessed bit by bit."""
        offered = {one if isinstance(one, str) else getattr(one, "parameter_name", None) for one in self.list_filter}
        column, _sep, kind = lookup.partition("__")
        return column in offered and kind in {"", "exact", "id__exact", "isnull"} and "\0" not in value

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds rows here."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes rows here."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes anything."""
        return False

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Django's own log of admin clicks is no history; the ledger is."""
        raise PermissionDenied


@admin.register(Entity)
class EntityAdmin(ReadOnlyAdmin):
    """Companies of the group."""

    list_display = ("name", "code", "handles")


@admin.register(Person)
class PersonAdmin(ReadOnlyAdmin):
    """Employees: entered here, ended here. Their data changes by moving and leaving only."""

    list_display = ("display_name", "employee_number", "entity", "access_class", "joined_on", "left_on")
    list_filter = ("entity", "access_class")
    list_select_related = ("entity",)
    search_fields = ("employee_number",)
    search_help_text = _("Employee number")
    actions = ("left_today",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """By role."""
        return policies.can(request.user, "access_control.add_person")

    fields = readonly_fields = ("employee_number", "display_name", "entity", "access_class", "joined_on", "left_on")

    def get_urls(self) -> list[Any]:
        """The stock pages, and the one that asks for other work."""
        ask = self.admin_site.admin_view(access_admin.move_view)
        return [path("<uuid:person_id>/move/", ask, name="access_control_person_move"), *super().get_urls()]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Enter somebody; access is asked for."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        return access_admin.hire_view(request)

    def has_leave_permission(self, request: HttpRequest) -> bool:
        """By role."""
        return policies.can(request.user, "access_control.change_person")

    @admin.action(description=_("End all access: the person has left today"), permissions=["leave"])
    def left_today(self, request: HttpRequest, queryset: QuerySet[Person]) -> HttpResponse | None:
        """A page that says exactly what will happen; then leaving, one service call a person."""
        people = list(queryset.filter(left_on=None).order_by("employee_number"))
        if not request.POST.get("confirmed"):
            context = {**self.admin_site.each_context(request), "title": _("End all access"), "people": people}
            return TemplateResponse(request, "admin/access_control/person/left_today.html", context)
        ended = sum(self._left_today(request, person) for person in people)
        if ended:
            said = ngettext("%(n)d person's access has ended.", "%(n)d people's access has ended.", ended)
            messages.success(request, said % {"n": ended})
        return None

    @staticmethod
    def _left_today(request: HttpRequest, person: Person) -> bool:
        """Whether this click has ended the person's access; if not, or not quite, the page says why."""
        try:
            services.leave(person, on=timezone.localdate(), actor=actor_of(request))
        except services.AlreadyLeft:
            # A colleague was faster.
            return False
        except services.TooFewStay as refusal:
            messages.error(request, f"{person.display_name}: {refusal}")
            return False
        except StillUnderWay as stuck:
            messages.warning(request, f"{person.display_name}: {stuck}")
            return stuck.done
        return True


@admin.register(Staff)
class StaffAdmin(ReadOnlyAdmin):
    """Accounts. A role changes by moving the person; an account ends by the person's leaving."""

    list_display = ("username", "person", "role", "works", "created")
    list_filter = ("role", "is_active")
    list_select_related = ("person",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """By role."""
        return policies.can(request.user, "access_control.add_staff")

    fields = readonly_fields = ("person", "username", "role", "works", "locked", "epoch", "created")

    def get_urls(self) -> list[Any]:
        """The stock pages, the one that asks for a new password, and unlocking."""
        wrap = self.admin_site.admin_view
        return [
            path("<uuid:account_id>/link/", wrap(access_admin.link_view), name="access_control_staff_link"),
            path("<uuid:account_id>/unlock/", wrap(access_admin.unlock_view), name="access_control_staff_unlock"),
            path("unlock-address/", wrap(access_admin.unlock_address_view), name="access_control_staff_unlock_address"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list, above it the addresses that are locked, for whoever may open them."""
        addresses = sign_in.locked_addresses() if policies.can(request.user, AGREES) else {}
        return super().changelist_view(request, {"locked_addresses": addresses, **(extra_context or {})})

    @admin.display(description=_("sign-in locked until"))
    def locked(self, account: Staff) -> str:
        """After too many wrong passwords."""
        until = sign_in.locked_until(account)
        return timezone.localtime(until).strftime("%Y-%m-%d %H:%M") if until else "—"

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Ask for an account."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        return access_admin.account_view(request)

    @admin.display(description=_("active"), ordering="is_active")
    def works(self, account: Staff) -> str:
        """In words: Django's icon says "True", in every language, to whoever does not see it."""
        return str(_("active")) if account.is_active else "—"


@admin.register(AccessRequest)
class AccessRequestAdmin(ReadOnlyAdmin):
    """Requests for access: what waits for another person, and what became of the others."""

    list_display = ("kind", "whose", "access_name", "role", "asked_by", "asked_at", "state")
    list_filter = ("kind",)
    list_select_related = ("approval__requester",)
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """What waits comes first."""
        waiting = Exists(AccessRequest.objects.waiting().filter(pk=OuterRef("pk")))
        seen = super().get_queryset(request).annotate(waits=waiting)
        waiting_first: QuerySet[Any] = seen.order_by("-waits", "-approval__requested_at")
        return waiting_first

    def get_urls(self) -> list[Any]:
        """The list, and one page for each request."""
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.changelist_view), name="access_control_accessrequest_changelist"),
            path("<uuid:request_id>/", wrap(access_admin.request_view), name="access_control_accessrequest_change"),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Reading only; access is asked for where people and accounts are."""
        return super().changelist_view(request, {"title": _("Requests for access"), **(extra_context or {})})

    @admin.display(description=_("name"))
    def whose(self, row: AccessRequest) -> str:
        """Whose access it would be."""
        return row.display_name

    @admin.display(description=_("access class"))
    def access_name(self, row: AccessRequest) -> str:
        """The class in words."""
        return str(Person.AccessClass(row.access_class).label) if row.access_class else "—"

    @admin.display(description=_("requested by"))
    def asked_by(self, row: AccessRequest) -> str:
        """The person who asked."""
        return str(row.approval.requester)

    @admin.display(description=_("requested"))
    def asked_at(self, row: AccessRequest) -> Any:
        """When."""
        return row.approval.requested_at

    @admin.display(description=_("state"))
    def state(self, row: Any) -> str:
        """What became of it."""
        return access_admin.state_of(row, waiting=row.waits)


class EventFilter(admin.SimpleListFilter):
    """Events in words."""

    title = _("event")
    parameter_name = "event"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Every declared event."""
        return sorted(all_events().items(), key=lambda pair: pair[1])

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The events chosen; an unknown one is all of them."""
        return queryset.filter(event=self.value()) if self.value() in all_events() else queryset


@admin.register(LedgerEvent)
class LedgerAdmin(ReadOnlyAdmin):
    """Who did what. Reading only."""

    list_display = ("sequence", "at", "event_name", "who", "subject_short", "reason_name", "purpose", "count")
    list_filter = (EventFilter, "purpose")
    ordering = ("-sequence",)
    fields = readonly_fields = (
        *(
            "sequence",
            "id",
            "at",
            "event_name",
            "who",
            "subject_short",
            "subject_kind",
            "case",
            "purpose",
            "item_names",
        ),
        *("reason_name", "note", "count", "request_id", "address", "os_user", "os_host", "restore_epoch", "xid"),
    )
    sortable_by = ("sequence",)

    @admin.display(description=_("event"))
    def event_name(self, row: LedgerEvent) -> str:
        """The event in words."""
        return all_events().get(row.event, row.event)

    @admin.display(description=_("who"))
    def who(self, row: LedgerEvent) -> str:
        """The account's name, or the system."""
        return str(_("system")) if row.actor is None else row.actor_name

    @admin.display(description=_("subject"))
    def subject_short(self, row: LedgerEvent) -> str:
        """The end of the subject's id: enough to compare, too little to call anybody."""
        return f"…{row.subject.hex[-8:]}" if row.subject else "—"

    @admin.display(description=_("items"))
    def item_names(self, row: LedgerEvent) -> str:
        """Item codes; docs/codes.md says what each is."""
        return ", ".join(row.items) or "—"

    @admin.display(description=_("reason"))
    def reason_name(self, row: LedgerEvent) -> str:
        """The reason in words when it is a reason code; a refusal code as it is."""
        return str(Reason(row.reason).label) if row.reason in Reason.values else row.reason
