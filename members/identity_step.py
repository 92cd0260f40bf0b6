"""The first step of a case: is the caller the member? By facts on file, or by a document that a supervisor sees."""

from collections.abc import Callable, Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from access_control.vault.errors import SealBroken
from members import normal_forms
from members.forms import CarefulForm
from members.models import IdentityDocument
from members.services.documents import (
    EnoughOnFile,
    ImpossibleDate,
    OwnerGone,
    confirm_document,
    may_confirm,
    too_little_on_file,
)
from members.services.identity import (
    FACTS_NEEDED,
    AlreadyIdentified,
    TooFewFacts,
    TooLittleOnFile,
    TriesUsedUp,
    check_identity,
    facts_that_prove,
    told_by_finding,
    tries_left,
)
from members.steps import CasePage, Step

_TOO_LITTLE = _("Too little of this is on file to compare. Ask for another fact; no try was spent.")
_BROKEN = _(
    "A value on file cannot be opened, so nothing was compared and no try was spent. It is recorded as an incident."
    " Tell the privacy officer; meanwhile ask for other facts."
)


class IdentityForm(CarefulForm):
    """What the caller says, as the caller says it."""

    birth_date = forms.CharField(
        label=_("date of birth"),
        required=False,
        max_length=40,
        help_text=_("Any era or notation: S40.1.15, 1965-01-15"),
    )
    postcode = forms.CharField(
        label=_("postcode of an address on file"), required=False, max_length=20, help_text=_("100-0001")
    )
    last_four = forms.CharField(
        label=_("last four digits of a telephone on file"), required=False, max_length=20, help_text=_("1234")
    )

    def __init__(self, *args: Any, facts: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in set(self.fields) - set(facts):
            del self.fields[name]
        for field in self.fields.values():
            field.widget.attrs.update({"autocomplete": "off", "class": "input--code"})


class DocumentForm(CarefulForm):
    """Which document a supervisor saw. Nothing is chosen beforehand, and there is no room for a number."""

    kind = forms.ChoiceField(
        label=pgettext_lazy("identity", "document"), choices=[("", "---------"), *IdentityDocument.Kind.choices]
    )
    issued_on = forms.CharField(
        label=_("issued on"), max_length=40, help_text=_("As it stands on the document, in any era or notation")
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["issued_on"].widget.attrs.update({"autocomplete": "off", "class": "input--code"})

    def clean_issued_on(self) -> Any:
        """The date, however it is written."""
        try:
            return normal_forms.date(self.cleaned_data["issued_on"])
        except normal_forms.NotNormal as error:
            raise forms.ValidationError(error.message) from None


class IdentityStep(Step):
    """Is the caller the member?"""

    name = "identity"
    title = _("Check identity")
    template = "admin/members/case/identity.html"

    def done(self, page: CasePage) -> bool:
        """Once identified."""
        return page.case.identified_at is not None

    def context(self, page: CasePage) -> dict[str, Any]:
        """The form with the facts that prove, tries left today, what the last try gave; the document's form."""
        case = page.case
        if case.identified_at:
            return {"document": IdentityDocument.objects.filter(case=case).select_related("confirmed_by").first()}
        facts = facts_that_prove(case, actor=page.actor)
        told = told_by_finding(case, actor=page.actor)
        labels = {name: field.label for name, field in IdentityForm.base_fields.items()}
        enough = len(facts) >= FACTS_NEEDED
        return {
            "form": page.left.get("identity_form") or IdentityForm(facts=facts),
            "enough": enough,
            "told": [labels[name] for name in labels if name in told],
            "tries_left": tries_left(case.member) if case.member else 0,
            "last": case.identitytry_set.order_by("-at").first(),
            "document_form": (page.left.get("document_form") or DocumentForm())
            if may_confirm(case, page.actor) and too_little_on_file(case)
            else None,
        }

    def actions(self) -> Mapping[str, Callable[[CasePage], bool]]:
        """``check``, ``document``."""
        return {"check": self.check, "document": self.document}

    def check(self, page: CasePage) -> bool:
        """Compare what the caller says."""
        form = IdentityForm(page.request.POST, facts=facts_that_prove(page.case, actor=page.actor))
        if form.is_valid():
            try:
                checked = check_identity(page.case, said=form.cleaned_data, actor=page.actor)
            except normal_forms.NotNormal as error:
                form.add_error(getattr(error, "field", None), error.message)
            except TooLittleOnFile:
                form.add_error(None, _TOO_LITTLE)
            except TooFewFacts:
                form.add_error(None, _("Ask for at least two facts; one alone identifies nobody."))
            except TriesUsedUp:
                form.add_error(None, _("The three tries of today are used up. Nothing was compared."))
            except SealBroken:
                form.add_error(None, _BROKEN)
            except AlreadyIdentified:
                return True
            else:
                if checked.identified:
                    messages.success(page.request, _("The caller is identified."))
                else:
                    messages.warning(page.request, _("What the caller said does not match. Nothing was shown."))
                return True
        page.left["identity_form"] = form
        return False

    def document(self, page: CasePage) -> bool:
        """A supervisor saw the caller's document."""
        form = DocumentForm(page.request.POST)
        if form.is_valid():
            try:
                confirm_document(page.case, **form.cleaned_data, actor=page.actor)
            except ImpossibleDate:
                form.add_error("issued_on", _("No document was issued on that day."))
            except EnoughOnFile:
                form.add_error(None, _("Enough is on file to ask for. The caller is identified by two facts."))
            except OwnerGone:
                form.add_error(None, _("Whoever works on this case may not act any more. Hand the case over first."))
            except AlreadyIdentified:
                return True
            else:
                messages.success(page.request, _("The document is confirmed, and the caller identified."))
                return True
        page.left["document_form"] = form
        return False
