"""Forms of this app's pages."""

import re
import uuid
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from access_control import policies
from access_control.models import Staff
from access_control.references import CASE, reference
from members.forms import CarefulForm
from members.models import Case, Member
from members.normal_forms import SeenNumber, forbidden_numbers
from retention.models import LegalHold

_ID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)


def _forbidden(text: str) -> list[SeenNumber]:
    """Card numbers and Individual Numbers; the digits of an id are neither."""
    return [] if _ID.fullmatch(text.strip()) else forbidden_numbers(text)


class SubjectForm(CarefulForm):
    """Names a subject without a name: by the reference of a case about it, or by its id. Always posted."""

    seen_in = staticmethod(_forbidden)

    who = forms.CharField(
        label=_("Reference of a case (XXXX-XXXX), or id of the person"),
        max_length=40,
        widget=forms.TextInput(attrs={"autocomplete": "off", "class": "input--code"}),
    )

    def __init__(self, *args: Any, actor: Staff, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._actor = actor
        self.case: Case | None = None

    def clean_who(self) -> uuid.UUID:
        """The subject: the member of the case, or the case itself when it is about nobody."""
        text = self.cleaned_data["who"].strip()
        if _ID.fullmatch(text):
            return uuid.UUID(text)
        if named := reference(text, CASE):
            seen = policies.restrict(Case.objects.all(), self._actor, "members.view_case")
            self.case = seen.filter(reference=named).first()
        if self.case is None:
            raise ValidationError(_("There is no such case, and this is no id. The list of cases has the references."))
        return self.case.member_id or self.case.pk


class HoldForm(SubjectForm):
    """A member and the reason for which nothing of theirs may be destroyed."""

    ground = forms.ChoiceField(label=_("why"), choices=LegalHold.Ground.choices)
    member: Member | None = None

    def clean_who(self) -> uuid.UUID:
        """A member's id: a case may be about somebody who is none."""
        subject = super().clean_who()
        self.member = Member.objects.select_related("entity").filter(pk=subject).first()
        if self.member is None:
            raise ValidationError(_("That is no member. A hold is placed on a member's data only."))
        return subject
