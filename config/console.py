"""The console: its AdminSite, start page and navigation, and the explicit lists of what apps add to each other's pages.

``config`` is wiring: it imports every app and nobody imports it.
"""

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from access_control import policies, services
from access_control.accounts import knows_password
from access_control.forms import PlainTextForm
from access_control.sign_in import Locked

# Navigation: label, view, and the permission without which it is not shown.
NAVIGATION = (
    (_("Start"), "admin:index", None),
    (_("Find"), "admin:members_member_find", "members.find_member"),
    (_("Cases"), "admin:members_case_changelist", "members.view_case"),
    (_("Members of my cases"), "admin:members_member_changelist", "members.view_member"),
    (_("Destruction"), "admin:retention_plan_changelist", "retention.view_plan"),
    (_("Certificates"), "admin:retention_certificate_changelist", "retention.view_certificate"),
    (_("Legal holds"), "admin:retention_legalhold_changelist", "retention.view_legalhold"),
    (_("Policy board"), "admin:policy_board", "consent.view_policyversion"),
    (_("Statutory records"), "admin:members_transaction_changelist", "members.view_transaction"),
    (_("Ledger"), "admin:access_control_ledgerevent_changelist", "access_control.view_ledgerevent"),
    (_("People"), "admin:access_control_person_changelist", "access_control.view_person"),
    (_("Accounts"), "admin:access_control_staff_changelist", "access_control.view_staff"),
    (_("Requests for access"), "admin:access_control_accessrequest_changelist", "access_control.view_accessrequest"),
)


class SignInForm(PlainTextForm, AdminAuthenticationForm):
    """Username and password."""


class OwnPasswordForm(PlainTextForm, PasswordChangeForm):
    """Changes the password through the service, so that the change has an actor."""

    def clean_old_password(self) -> str:
        """The password as it is now; guesses are counted as at sign-in."""
        password: str = self.cleaned_data["old_password"]
        try:
            known = knows_password(self.user, password)
        except Locked as locked:
            until = timezone.localtime(locked.until).strftime("%H:%M")
            raise ValidationError(
                _("There were too many wrong passwords. Try again after %(until)s."), params={"until": until}
            ) from None
        if not known:
            raise ValidationError(self.error_messages["password_incorrect"], code="password_incorrect")
        return password

    def save(self, commit: bool = True) -> Any:
        """The account with its new password."""
        return services.change_password(self.user, password=self.cleaned_data["new_password1"], actor=self.user)


class ConsoleSite(AdminSite):
    """The console's pages and frame."""

    site_header = _("Personal Information Console")
    site_title = _("Personal Information Console")
    index_title = _("Start")
    index_template = "admin/start.html"
    login_form = SignInForm
    enable_nav_sidebar = False

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """The frame: navigation for what the role may do."""
        here = request.path
        navigation = []
        for label, name, permission in NAVIGATION:
            if permission is None or policies.may(request.user, permission):
                url = reverse(name)
                current = here == url if name == "admin:index" else here.startswith(url)
                if name == "admin:members_member_changelist" and here.startswith(reverse("admin:members_member_find")):
                    current = False
                navigation.append({"label": label, "url": url, "current": current})
        return {**super().each_context(request), "console_nav": navigation}

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """The stock pages, and those that belong to no model."""
        from retention.admin import board_view

        # No row has a page of its own elsewhere, to which the stock shortcut would lead.
        stock = [url for url in super().get_urls() if getattr(url, "name", "") != "view_on_site"]
        return [path("policy-board/", self.admin_view(board_view), name="policy_board"), *stock]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """My cases, what is due, and what waits for me."""
        from config.start import start_context

        now = timezone.now()
        return super().index(request, {**start_context(request, now), **(extra_context or {})})

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """The stock page with our form."""
        view = PasswordChangeView.as_view(
            form_class=OwnPasswordForm,
            success_url=reverse("admin:password_change_done", current_app=self.name),
            template_name="registration/password_change_form.html",
            extra_context={**self.each_context(request), **(extra_context or {})},
        )
        request.current_app = self.name
        return view(request)


def wire() -> None:
    """Hand out what apps add to each other: steps of a call in their order, panels, texts of notices."""
    from access_control import restore
    from consent.admin.records import RecordAdmin
    from consent.panels import consent_panel
    from consent.services import notices
    from consent.steps import LookStep
    from members import showing
    from members.admin import CaseAdmin, MemberAdmin
    from members.identity_step import IdentityStep
    from members.models import Notice
    from members.steps import CloseStep, CorrectionStep, TellStep
    from retention.explaining import notice_context
    from retention.naming import certificate_names
    from retention.panels import record_panel, retention_panel
    from retention.restores import witness
    from retention.steps import EndStep, ReturnStep

    restore.WITNESSES = (witness,)
    MemberAdmin.panels = (consent_panel, retention_panel)
    RecordAdmin.panels = (record_panel,)
    showing.certificate_names = certificate_names
    CaseAdmin.steps = (
        IdentityStep(),
        LookStep(),
        CorrectionStep(),
        EndStep(),
        ReturnStep(),
        TellStep(),
        CloseStep(),
    )
    notices.CONTEXTS = {Notice.Kind.ENDED: notice_context, Notice.Kind.RETURNED: notice_context}
