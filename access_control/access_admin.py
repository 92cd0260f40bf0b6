"""Pages for access by two persons: asking, reading what is asked for, agreeing; and the page of a one-time link."""

import uuid
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.password_validation import password_validators_help_texts
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters

from access_control import access_services, policies, services, sign_in
from access_control.access_models import AccessRequest
from access_control.access_services import ASKS, LinkEnded, OwnRequest
from access_control.accounts import actor_of
from access_control.forms import PlainTextForm
from access_control.models import Person, Staff
from access_control.roles import AGREES, Role

_NO_ROLE = [("", "—")]


class HireForm(PlainTextForm, forms.ModelForm[Person]):
    """A new employee, with or without access and an account."""

    username = forms.CharField(
        label=_("username"),
        max_length=40,
        required=False,
        help_text=_("Leave username and role empty for somebody who needs no account."),
    )
    role = forms.ChoiceField(label=_("role"), choices=[*_NO_ROLE, *Role.choices], required=False)

    class Meta:
        model = Person
        fields = ("employee_number", "display_name", "entity", "access_class", "joined_on")

    def clean(self) -> dict[str, Any]:
        """An account needs both, name and role."""
        cleaned = super().clean() or {}
        if bool(cleaned.get("username")) != bool(cleaned.get("role")):
            self.add_error("role", _("An account needs a username and a role."))
        return cleaned


class AccountForm(PlainTextForm, forms.Form):
    """An account for somebody who is entered already. Nobody types a password here."""

    person = forms.ModelChoiceField(Person.objects.none(), label=_("person"))
    username = forms.CharField(label=_("username"), max_length=40)
    # Nothing is chosen beforehand that another person then agrees to.
    role = forms.ChoiceField(label=_("role"), choices=[*_NO_ROLE, *Role.choices])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        people = self.fields["person"]
        assert isinstance(people, forms.ModelChoiceField)
        people.queryset = Person.objects.filter(account=None, left_on=None)


class MoveForm(forms.Form):
    """Other work: class and role from the moment the second person agrees."""

    access_class = forms.ChoiceField(
        label=_("access class"), choices=[*_NO_ROLE, *Person.AccessClass.choices], required=False
    )
    role = forms.ChoiceField(
        label=_("role"),
        choices=[*_NO_ROLE, *Role.choices],
        required=False,
        help_text=_("Leave it empty to keep the role."),
    )


def hire_view(request: HttpRequest) -> HttpResponse:
    """Enter somebody. Without access and account it is done; else it waits for a second person."""
    form = HireForm(request.POST or None)
    asked = None
    if request.method == "POST" and form.is_valid():
        wanted, actor = form.cleaned_data, actor_of(request)
        if wanted["access_class"] or wanted["role"]:
            asked = _try(form, lambda: access_services.ask_hire(**wanted, actor=actor))
        else:
            person = {name: wanted[name] for name in HireForm.Meta.fields}
            if _try(form, lambda: services.hire(**person, actor=actor)):
                messages.success(request, _("The person is entered, without access to personal data."))
                return HttpResponseRedirect(reverse("admin:access_control_person_changelist"))
    return _asking(request, form, asked, title=_("Enter a person"), back="admin:access_control_person_changelist")


def account_view(request: HttpRequest) -> HttpResponse:
    """Ask for an account."""
    form = AccountForm(request.POST or None)
    asked = None
    if request.method == "POST" and form.is_valid():
        actor = actor_of(request)
        asked = _try(form, lambda: access_services.ask_account(**form.cleaned_data, actor=actor))
    return _asking(request, form, asked, title=_("Ask for an account"), back="admin:access_control_staff_changelist")


def move_view(request: HttpRequest, person_id: uuid.UUID) -> HttpResponse:
    """Ask for other work. Without an access class it is done at once: taking access away needs nobody else."""
    if not policies.can(request.user, ASKS[AccessRequest.Kind.MOVE]):
        raise PermissionDenied
    person = get_object_or_404(Person, pk=person_id)
    form = MoveForm(request.POST or None, initial={"access_class": person.access_class})
    asked = None
    if request.method == "POST" and form.is_valid():
        wanted, actor = form.cleaned_data, actor_of(request)
        if wanted["access_class"] or wanted["role"]:
            asked = _try(form, lambda: access_services.ask_move(person, **wanted, actor=actor))
        elif _try(form, lambda: services.move(person, access_class="", actor=actor)):
            messages.success(request, _("The person has no access to personal data any more."))
            return HttpResponseRedirect(reverse("admin:access_control_person_change", args=[person.pk]))
    title = _("Other work for %(name)s") % {"name": person.display_name}
    return _asking(request, form, asked, title=title, back="admin:access_control_person_changelist", person=person)


def link_view(request: HttpRequest, account_id: uuid.UUID) -> HttpResponse:
    """Ask for a link with which the owner of an account sets a new password."""
    if not policies.can(request.user, ASKS[AccessRequest.Kind.LINK]):
        raise PermissionDenied
    account = get_object_or_404(Staff.objects.select_related("person"), pk=account_id)
    form = forms.Form(request.POST or None)
    asked = None
    if request.method == "POST" and form.is_valid():
        actor = actor_of(request)
        asked = _try(form, lambda: access_services.ask_link(account, actor=actor))
    title = _("A new password for %(name)s") % {"name": account.person.display_name}
    return _asking(
        request, form, asked, title=title, back="admin:access_control_staff_changelist", person=account.person
    )


def unlock_view(request: HttpRequest, account_id: uuid.UUID) -> HttpResponse:
    """Let the owner of an account try again at once."""
    account = get_object_or_404(Staff, pk=account_id)
    if request.method == "POST":
        try:
            sign_in.unlock(account, actor=actor_of(request))
        except sign_in.UnlockedTooOften as refusal:
            messages.error(request, str(refusal))
        else:
            messages.success(request, _("Sign-in to this account is open again."))
    return HttpResponseRedirect(reverse("admin:access_control_staff_change", args=[account.pk]))


def unlock_address_view(request: HttpRequest) -> HttpResponse:
    """Let whoever is behind an address try again at once. The address is posted, so that no log of addresses has it."""
    if request.method == "POST":
        try:
            sign_in.unlock_address(request.POST.get("address", ""), actor=actor_of(request))
        except sign_in.UnlockedTooOften as refusal:
            messages.error(request, str(refusal))
        else:
            messages.success(request, _("Sign-in from this address is open."))
    return HttpResponseRedirect(reverse("admin:access_control_staff_changelist"))


def _try(form: forms.BaseForm, act: Any) -> Any:
    """What ``act`` returns, or None with the refusal on the form."""
    try:
        return act()
    except ValidationError as refusal:
        known = hasattr(refusal, "error_dict") and set(refusal.error_dict) <= set(form.fields)
        form.add_error(None, refusal if known else ValidationError(refusal.messages))
    except services.AlreadyLeft:
        form.add_error(None, _("This person has left, or the account has ended."))
    except services.TooFewStay as refusal:
        form.add_error(None, str(refusal))
    return None


def _asking(request: HttpRequest, form: forms.BaseForm, asked: AccessRequest | None, **more: Any) -> HttpResponse:
    if asked is not None:
        messages.success(request, _("Asked for. Another person must agree before anything changes."))
        return HttpResponseRedirect(reverse("admin:access_control_accessrequest_change", args=[asked.pk]))
    back_title = _("Accounts") if more["back"] == "admin:access_control_staff_changelist" else _("People")
    more |= {"back": reverse(more["back"]), "back_title": back_title}
    context = {**admin.site.each_context(request), "form": form, **more}
    return TemplateResponse(request, "admin/access_control/ask.html", context)


def request_view(request: HttpRequest, request_id: uuid.UUID) -> HttpResponse:
    """Everything that is asked for, then agreeing to it or refusing it."""
    if request.method not in {"GET", "HEAD", "POST"}:
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    if not policies.can(request.user, "access_control.view_accessrequest"):
        raise PermissionDenied
    seen = policies.restrict(AccessRequest.objects.all(), request.user, "access_control.view_accessrequest")
    wanted = seen.select_related("approval__requester", "approval__approver", "entity").filter(pk=request_id).first()
    if wanted is None:
        raise Http404
    refusal = ""
    if request.method == "POST":
        answer = _decide(request, wanted)
        if isinstance(answer, HttpResponse):
            return answer
        refusal = answer
        wanted.approval.refresh_from_db()
    return TemplateResponse(
        request, "admin/access_control/request.html", request_context(request, wanted) | {"refusal": refusal}
    )


def _decide(request: HttpRequest, wanted: AccessRequest) -> HttpResponse | str:
    """Agree to or refuse what was shown: the next page, or why it cannot be."""
    actor = actor_of(request)
    try:
        if request.POST.get("decision") == "refuse":
            access_services.refuse(wanted, actor=actor)
            messages.success(request, _("The request has come to nothing."))
            return HttpResponseRedirect(reverse("admin:access_control_accessrequest_changelist"))
        if request.POST.get("shown") != wanted.digest().hex():
            return str(_("Read what is asked for, then agree."))
        given = access_services.agree(wanted, actor=actor)
    except OwnRequest:
        return str(_("Whoever asked, or whose access it is, does not decide it. Ask another person."))
    except services.NotApprovable:
        return str(_("This request was decided already, its time is over, or whoever asked has left or moved."))
    except services.AlreadyLeft:
        return str(_("This person has left meanwhile."))
    except services.TooFewStay as refusal:
        return str(refusal)
    except ValidationError as error:
        return " ".join(error.messages)
    if not given.token:
        messages.success(request, _("Agreed to. It is done."))
        return HttpResponseRedirect(reverse("admin:access_control_accessrequest_change", args=[wanted.pk]))
    context = {
        **admin.site.each_context(request),
        "title": _("Hand over this link"),
        "account": given.account,
        "link": request.build_absolute_uri(reverse("first_password", args=[given.token])),
        "hours": access_services.LINK_LASTS.total_seconds() // 3600,
    }
    return _closed(render(request, "admin/access_control/link.html", context))


def request_context(request: HttpRequest, wanted: AccessRequest) -> dict[str, Any]:
    """What the page of a request shows: who asks, for whom, what is so now and what would be."""
    approval, actor = wanted.approval, actor_of(request)
    person = Person.objects.filter(pk=wanted.person).first()
    account = Staff.objects.filter(person=person).first() if person else None
    waiting = AccessRequest.objects.waiting().filter(pk=wanted.pk).exists()
    own = actor.person_id in {approval.requester_id, wanted.person}
    may_agree = policies.can(actor, AGREES)
    return {
        **admin.site.each_context(request),
        "title": _("Request for access"),
        "opts": AccessRequest._meta,
        "wanted": wanted,
        "state": state_of(wanted, waiting=waiting),
        "waiting": waiting,
        "own": own,
        "may_agree": waiting and may_agree and not own,
        "may_refuse": waiting and ((may_agree and not own) or actor.person_id == approval.requester_id),
        "class_now": person.get_access_class_display() if person and person.access_class else "",
        "class_then": Person.AccessClass(wanted.access_class).label if wanted.access_class else "",
        "role_now": account.get_role_display() if account else "",
        "gives_link": bool(wanted.username),
        "shown": wanted.digest().hex(),
    }


def state_of(wanted: AccessRequest, *, waiting: bool) -> str:
    """What became of a request, in words."""
    if wanted.approval.used_at:
        return str(_("agreed to, done"))
    return str(_("waits for another person")) if waiting else str(_("came to nothing"))


class FirstPasswordForm(PlainTextForm, forms.Form):
    """The owner's password, twice."""

    password = forms.CharField(
        label=_("New password"), strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"})
    )
    again = forms.CharField(
        label=_("The same password again"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def clean(self) -> dict[str, Any]:
        """Both are the same."""
        cleaned = super().clean() or {}
        if cleaned.get("password") and cleaned.get("again") and cleaned["password"] != cleaned["again"]:
            self.add_error("again", _("The two passwords are not the same."))
        return cleaned


@sensitive_post_parameters()
def first_password_view(request: HttpRequest, token: str) -> HttpResponse:
    """Set one's own password by a one-time link. Looking changes nothing; only a POST uses the link."""
    if request.method not in {"GET", "HEAD", "POST"}:
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    # While a restore is not accepted, only what was made since the vault heard the console last.
    made_after = getattr(request, "closed_since", None)
    account = access_services.account_of_link(token, made_after=made_after)
    form = FirstPasswordForm(request.POST if request.method == "POST" else None)
    if account is not None and request.method == "POST" and form.is_valid():
        try:
            access_services.use_link(token, password=form.cleaned_data["password"], made_after=made_after)
        except LinkEnded:
            account = None
        except ValidationError as refusal:
            form.add_error("password", refusal)
        else:
            messages.success(request, _("Your password is set. Sign in with it."))
            return HttpResponseRedirect(reverse("admin:login"))
    context = {
        **admin.site.each_context(request),
        "title": _("Set your password"),
        "form": form,
        "account": account,
        "rules": password_validators_help_texts(),
    }
    return _closed(render(request, "registration/first_password.html", context, status=200 if account else 410))


def _closed(response: HttpResponse) -> HttpResponse:
    """Whatever the page leads to is not told its address, in which the token stands.

    Not ``no-referrer``: browsers would then hide the origin of the form as well, and CSRF protection asks for it.
    """
    response["Referrer-Policy"] = "strict-origin"
    return response


def waiting_for(user: Any) -> int:
    """How many requests wait for this person to agree: neither their own nor about themselves."""
    if not policies.can(user, AGREES):
        return 0
    others = AccessRequest.objects.waiting().exclude(approval__requester=user.person_id).exclude(person=user.person_id)
    return others.count()
