"""Statutory records: the list by fiscal year, and one record, masked until its keeper says why it must be seen.

The page stands here and not beside the model, because showing a record whole is a door.
"""

import datetime
import uuid
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import Max, Min, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from access_control import policies
from access_control.accounts import actor_of
from access_control.admin import ReadOnlyAdmin
from access_control.codes import Reason
from access_control.ledger import acting
from access_control.vault.errors import CeilingReached, Destroyed, VaultError
from consent.gate import Refused
from consent.services.records import WHY, reveal_record
from members import normal_forms
from members.models import Transaction
from members.showing import Shown, masked_records


class FiscalYearFilter(admin.SimpleListFilter):
    """One fiscal year."""

    title = _("fiscal year")
    parameter_name = "year"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Every year from the newest to the oldest of which there is a record: both ends come from an index."""
        ends = Transaction.objects.aggregate(first=Min("fiscal_year"), last=Max("fiscal_year"))
        if ends["first"] is None:
            return []
        return [(str(year), str(year)) for year in range(ends["last"], ends["first"] - 1, -1)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The records of the year; also by their days, so that the list is read from where the year begins."""
        if self.value() is None:
            return queryset
        if self.value() not in dict(self.lookup_choices):
            raise IncorrectLookupParameters
        year = int(str(self.value()))
        # A fiscal year lies within two calendar years; the database holds that.
        days = {"ordered_on__gte": datetime.date(year, 1, 1), "ordered_on__lt": datetime.date(year + 2, 1, 1)}
        return queryset.filter(fiscal_year=year, **days)


def _masked(record: Any, name: str) -> str:
    shown: Shown | None = record.masked.get(name)
    return format_html('<span class="masked">{}</span>', shown.masked) if shown else "—"


class WhyForm(forms.Form):
    """Why a record is looked at. Nothing is chosen beforehand."""

    reason = forms.ChoiceField(
        label=_("Why the record is looked at"),
        choices=[(reason.value, reason.label) for reason in WHY],
        widget=forms.RadioSelect,
    )


@admin.register(Transaction)
class RecordAdmin(ReadOnlyAdmin):
    """What the law keeps of members' orders; for the keeper of statutory records alone."""

    # Set by config.console: callables (request, record) → the panel's context, with its "template".
    panels: ClassVar[tuple[Any, ...]] = ()

    list_display = ("ordered_on", "fiscal_year", "site", "membership", "buyer", "address_masked")
    list_display_links = ("ordered_on",)
    list_filter = (FiscalYearFilter,)
    list_select_related = ("member__entity",)
    ordering = ("-ordered_on", "-id")
    sortable_by = ()
    # Nobody sees more of them at once than a page.
    list_max_show_all = ReadOnlyAdmin.list_per_page
    # Django shows the box when there is a column to search; what is typed is a day.
    search_fields = ("ordered_on",)
    search_help_text = _("Day of the order, such as 2024-05-03 or R6.5.3.")

    def get_urls(self) -> list[URLPattern]:
        """The list, a record, and its reveal; nothing else of the stock admin."""
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.changelist_view), name="members_transaction_changelist"),
            path("<uuid:record_id>/", wrap(self.record_view), name="members_transaction_change"),
            path("<uuid:record_id>/reveal/", wrap(self.reveal_view), name="members_transaction_reveal"),
        ]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """The records of one day."""
        if not search_term.strip():
            return queryset, False
        try:
            return queryset.filter(ordered_on=normal_forms.date(search_term)), False
        except normal_forms.NotNormal:
            messages.warning(request, _("That is no day. Type it like 2024-05-03 or R6.5.3."))
            return queryset.none(), False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list; the page's records are masked with one fetch."""
        response = super().changelist_view(request, {"title": _("Statutory records"), **(extra_context or {})})
        changelist = getattr(response, "context_data", None) and response.context_data.get("cl")  # type: ignore[attr-defined]
        if changelist is not None:
            with acting(actor_of(request), reason=Reason.DAILY_WORK) as act:
                masked = masked_records(changelist.result_list, act=act)
            for record in changelist.result_list:
                record.masked = masked[record.pk]
        return response

    @admin.display(description=_("site"))
    def site(self, record: Transaction) -> str:
        """The company whose site the member joined."""
        return record.member.entity.name

    @admin.display(description=_("membership"))
    def membership(self, record: Transaction) -> str:
        """Whether the membership stands."""
        return str(record.member.get_state_display())

    @admin.display(description=_("buyer's name"))
    def buyer(self, record: Any) -> str:
        """Masked, or why not."""
        return _masked(record, "name")

    @admin.display(description=_("buyer's address"))
    def address_masked(self, record: Any) -> str:
        """Masked, or why not."""
        return _masked(record, "address")

    # One record.

    def _record(self, request: HttpRequest, record_id: uuid.UUID) -> Transaction:
        """The record, or 404 for whoever does not keep them: the answer does not tell whether there is one."""
        visible = policies.restrict(
            Transaction.objects.select_related("member__entity"), request.user, "members.view_transaction"
        )
        record = visible.filter(pk=record_id).first()
        if record is None:
            raise Http404
        return record

    def record_view(self, request: HttpRequest, record_id: uuid.UUID) -> HttpResponse:
        """One record, masked."""
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        return self._render(request, self._record(request, record_id), form=WhyForm())

    def reveal_view(self, request: HttpRequest, record_id: uuid.UUID) -> HttpResponse:
        """One record in clear, on this page only, for the reason chosen."""
        if request.method != "POST":
            return HttpResponseRedirect(reverse("admin:members_transaction_change", args=[record_id]))
        record = self._record(request, record_id)
        form = WhyForm(request.POST)
        if not form.is_valid():
            return self._render(request, record, form=form)
        refusal: dict[str, Any] = {}
        try:
            revealed = reveal_record(record, reason=form.cleaned_data["reason"], actor=actor_of(request))
            return self._render(request, record, revealed=revealed)
        except Refused as refused:
            refusal = {"sentence": refused.decision.sentence, "code": refused.decision.code, "clause": "P8.B"}
        except PermissionDenied:
            # The account's role, or the record, has gone since the page was asked for.
            raise Http404 from None
        except Destroyed as destroyed:
            said = _("This record was destroyed on %(date)s.") % {"date": timezone.localdate(destroyed.at).isoformat()}
            refusal = {"sentence": said, "clause": "P7"}
        except CeilingReached:
            refusal = {"sentence": _("Too many values were opened in the last hour. Tell the privacy officer.")}
        except VaultError:
            refusal = {"sentence": _("This record cannot be opened. Tell the privacy officer; nothing was shown.")}
        return self._render(request, record, form=form, refusal=refusal)

    def _render(self, request: HttpRequest, record: Transaction, **context: Any) -> HttpResponse:
        shown: list[Shown] = []
        if not context.get("revealed"):
            with acting(actor_of(request), reason=Reason.DAILY_WORK) as act:
                shown = list(masked_records([record], act=act)[record.pk].values())
        context |= {
            **self.admin_site.each_context(request),
            "title": _("Statutory record"),
            "opts": Transaction._meta,
            "record": record,
            "shown": shown,
            "destroyed": all(one.destroyed for one in shown) if shown else False,
            "panels": [panel(request, record) for panel in self.panels],
        }
        return TemplateResponse(request, "admin/members/transaction/record.html", context)
