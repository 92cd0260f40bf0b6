"""The steps of a case that this app owns: what to say, what to type, what is next.

A step is a declaration plus its actions; ``config.console`` hands the case page an explicit list of steps.
"""

import abc
import dataclasses
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from access_control import policies
from access_control.codes import Reason
from access_control.models import LedgerEvent, Staff
from access_control.vault.errors import VaultError
from members.events import Event
from members.forms import CarefulForm
from members.inventory import ITEMS
from members.mail import INTERRUPTED, NO_ANSWER
from members.models import Case, Correction, Notice
from members.normal_forms import NotNormal
from members.rule_books import LONGEST_ADDRESS
from members.services.cases import CorrectionPending, ForbiddenNumber, close_case
from members.services.corrections import (
    AlreadyDecided,
    AlreadyPending,
    ImmutableItem,
    NoSuchItem,
    Unchanged,
    apply_correction,
    ask_correction,
    country_of,
    refuse_correction,
)
from members.showing import Shown

_SEALED_SHUT = _("A value of the member cannot be opened, so nothing was changed. Tell the privacy officer.")
DONE, NOW, LATER = "is-done", "is-now", "is-later"


@dataclasses.dataclass
class CasePage:
    """One rendering of a case: who looks, at what, and what an action left to show."""

    request: HttpRequest
    case: Case
    now: Any
    # The member masked, when the viewer holds a live grant.
    shown: list[Shown] = dataclasses.field(default_factory=list)
    granted: bool = False
    working: bool = False
    # Left by an action that renders instead of redirecting: a revealed value, a refusal, forms with errors.
    left: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def actor(self) -> Staff:
        """The account that looks."""
        assert isinstance(self.request.user, Staff)
        return self.request.user


class Step(abc.ABC):
    """A step of the case page. ``act`` returns True to redirect, False to render what it left on the page."""

    name: str
    title: Any
    template: str

    def applies(self, case: Case) -> bool:
        """Whether this kind of case has the step."""
        return True

    @abc.abstractmethod
    def done(self, page: CasePage) -> bool:
        """Whether nothing is left to do here."""

    def context(self, page: CasePage) -> dict[str, Any]:
        """What the template needs beyond the page."""
        return {}

    def actions(self) -> Mapping[str, Callable[[CasePage], bool]]:
        """Name → what a POST does."""
        return {}


_NOT_WELL_FORMED = _(
    "The new value is kept as it is typed, but it is no valid number or postcode of the member's country. Read it back."
)


class CorrectionForm(CarefulForm):
    """Which item, and the value the member wants."""

    answerable = True

    target = forms.ChoiceField(label=_("item"))
    value = forms.CharField(label=_("new value"), max_length=LONGEST_ADDRESS)

    def __init__(self, *args: Any, shown: list[Shown], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [
            (f"{one.item.code}:{one.row}", f"{one.item.label}  {one.masked}")
            for one in shown
            if one.item.group and not one.item.immutable and not one.destroyed
        ]
        # No item is chosen beforehand: which one is wrong, only the caller says.
        self.fields["target"].choices = [("", "---------"), *choices]  # type: ignore[attr-defined]
        self.fields["value"].widget.attrs.update({"autocomplete": "off"})

    def clean_target(self) -> tuple[str, uuid.UUID]:
        """(item code, row id)."""
        item, _colon, row = self.cleaned_data["target"].partition(":")
        return item, uuid.UUID(row)


class RefusalForm(forms.Form):
    """Why a correction is refused."""

    reason = forms.ChoiceField(
        label=_("reason"),
        choices=[(code.value, code.label) for code in (Reason.NOT_TRUE, Reason.NOT_PROVEN, Reason.WITHDRAWN_BY_MEMBER)],
    )


class CorrectionStep(Step):
    """Correct what is wrong: ask, then apply or refuse."""

    name = "correction"
    title = _("Correct")
    template = "admin/members/case/correction.html"

    def applies(self, case: Case) -> bool:
        """Correction cases only."""
        return case.kind == Case.Kind.CORRECTION

    def done(self, page: CasePage) -> bool:
        """When every correction asked for is decided, and there is one."""
        states = list(page.case.corrections.values_list("state", flat=True))
        return bool(states) and Correction.State.ASKED not in states

    def context(self, page: CasePage) -> dict[str, Any]:
        """The form, and the corrections of this case."""
        labels = {(one.item.code, one.row): one for one in page.shown}
        return {
            "form": page.left.get("correction_form") or CorrectionForm(shown=page.shown),
            "refusal_form": RefusalForm(),
            "corrections": [
                {
                    "correction": correction,
                    "label": ITEMS[correction.item].label,
                    "present": labels.get((correction.item, correction.row)),
                    "reason": Reason(correction.reason).label if correction.reason else "",
                }
                for correction in page.case.corrections.all()
            ],
        }

    def actions(self) -> Mapping[str, Callable[[CasePage], bool]]:
        """``ask``, ``apply``, ``refuse``."""
        return {"ask": self.ask, "apply": self.apply, "refuse": self.refuse}

    def ask(self, page: CasePage) -> bool:
        """The item is suspended from now."""
        form = CorrectionForm(page.request.POST, shown=page.shown)
        if form.is_valid():
            item, row = form.cleaned_data["target"]
            try:
                ask_correction(
                    page.case,
                    item=item,
                    row=row,
                    text=form.cleaned_data["value"],
                    actor=page.actor,
                    neither_number=form.answered,
                )
            except NotNormal as error:
                form.add_error("value", error.message)
            except ForbiddenNumber:
                # The answer is believed nowhere near a means of payment; the page that says so does not repeat it.
                form = CorrectionForm({"target": form.data["target"]}, shown=page.shown)
                form.errors["value"] = form.error_class(
                    [str(_("Nothing that looks like a card number is stored beside a means of payment."))]
                )
            except Unchanged:
                form.add_error("value", _("This is the value on file already."))
            except AlreadyPending:
                form.add_error("target", _("A correction of this item is pending already."))
            except ImmutableItem:
                form.add_error("target", _("Name, ID and the like cannot be corrected (clause 5)."))
            except VaultError:
                form.add_error(None, _SEALED_SHUT)
            except NoSuchItem:
                form.add_error("target", _("The member has no such item any more. Load the page again."))
            else:
                messages.success(page.request, _("The item is suspended until the correction is applied or refused."))
                if not ITEMS[item].book.is_good(form.cleaned_data["value"], country_of(page.case.member)):
                    messages.warning(page.request, _NOT_WELL_FORMED)
                return True
        page.left["correction_form"] = form
        return False

    def _correction(self, page: CasePage) -> Correction | None:
        try:
            wanted = uuid.UUID(page.request.POST.get("correction", ""))
        except ValueError:
            return None
        return page.case.corrections.filter(pk=wanted).first()

    def apply(self, page: CasePage) -> bool:
        """The new value stands from now."""
        correction = self._correction(page)
        if correction is None:
            messages.error(page.request, _("No such correction in this case."))
            return True
        try:
            apply_correction(correction, actor=page.actor)
        except AlreadyDecided:
            messages.warning(page.request, _("This correction was decided before."))
        except VaultError:
            messages.error(page.request, _SEALED_SHUT)
        else:
            messages.success(page.request, _("Corrected. The suspension is over, and notices are on their way."))
        return True

    def refuse(self, page: CasePage) -> bool:
        """The value on file stays."""
        correction, form = self._correction(page), RefusalForm(page.request.POST)
        if correction is None or not form.is_valid():
            messages.error(page.request, _("Choose why the correction is refused."))
            return True
        try:
            refuse_correction(correction, actor=page.actor, reason=form.cleaned_data["reason"])
        except AlreadyDecided:
            messages.warning(page.request, _("This correction was decided before."))
        else:
            messages.success(page.request, _("Refused. The suspension is over and the value on file stays."))
        return True


# Kind of case → what an agent decides in it, of which the member is told; and what the page says before that.
_DECISIONS: dict[str, tuple[str, ...]] = {
    Case.Kind.CORRECTION: (Event.CORRECTION_APPLIED, Event.CORRECTION_REFUSED),
    Case.Kind.ENDING: (Event.ENDED,),
    Case.Kind.RETURN: (Event.RETURNED,),
}
_UNDECIDED = {
    Case.Kind.CORRECTION: _("Once a correction is applied, notices go to the old and the new address by themselves."),
    Case.Kind.ENDING: _("Once the membership has ended, a notice goes to every mail address on file by itself."),
    Case.Kind.RETURN: _("Once the membership stands again, a notice goes to every mail address on file by itself."),
}


def decision(case: Case) -> LedgerEvent | None:
    """The newest decision made in the case, as the ledger has it; None while there is none."""
    decisive = _DECISIONS.get(case.kind, ())
    return LedgerEvent.objects.filter(case=case.pk, event__in=decisive).order_by("-sequence").first()


class TellStep(Step):
    """What the member is told, and whether it went out."""

    name = "tell"
    title = _("Tell the member")
    template = "admin/members/case/tell.html"

    def applies(self, case: Case) -> bool:
        """Cases in which something is decided."""
        return case.kind in _DECISIONS

    def done(self, page: CasePage) -> bool:
        """When something was decided and every notice is sent."""
        unsent = page.case.notices.exclude(state=Notice.State.SENT)
        return decision(page.case) is not None and not unsent.exists()

    def context(self, page: CasePage) -> dict[str, Any]:
        """The notices of this case."""
        return {
            "notices": [_explained(notice) for notice in page.case.notices.all()],
            "decided": decision(page.case) is not None,
            "undecided": _UNDECIDED[Case.Kind(page.case.kind)],
        }


def _explained(notice: Notice) -> Notice:
    """The notice, with why it did not go out, and what to do, in words."""
    why: Any = "%(code)s"
    if notice.state == Notice.State.QUEUED and notice.failure == "suspended":
        why = _("A correction of this address is pending. The notice is sent once that is decided.")
    elif notice.state == Notice.State.QUEUED and notice.failure:
        why = _("It could not be sent yet (%(code)s), and is tried again.")
    elif notice.failure == "not_mailable":
        why = _("No mail server can take this address. Tell the member another way.")
    elif notice.failure in {NO_ANSWER, INTERRUPTED}:
        why = _("Nobody knows whether it arrived, so it is not sent again. Ask the member, or tell them another way.")
    elif notice.failure.startswith("smtp_5"):
        why = _("The mail server refused it for good (%(code)s). Tell the member another way.")
    elif notice.failure == Notice.RESTORED:
        why = _(
            "The console was restored from a backup, and nobody can tell whether it was sent. Ask the member, or tell"
            " them another way."
        )
    elif notice.state == Notice.State.FAILED:
        why = _("It could not be sent (%(code)s). Tell the member another way.")
    notice.why = why % {"code": notice.failure.removeprefix("smtp_")}  # type: ignore[attr-defined]
    return notice


class CloseForm(forms.Form):
    """How the case ended."""

    outcome = forms.ChoiceField(label=_("outcome"), choices=Case.Outcome.choices)


class CloseStep(Step):
    """Close the case, and with it the access."""

    name = "close"
    title = _("Close the case")
    template = "admin/members/case/close.html"

    def done(self, page: CasePage) -> bool:
        """Once closed."""
        return page.case.state == Case.State.CLOSED

    def context(self, page: CasePage) -> dict[str, Any]:
        """The form."""
        outcome = Case.Outcome.DONE if page.case.identified_at else Case.Outcome.NOT_IDENTIFIED
        pending = page.case.corrections.filter(state=Correction.State.ASKED).count()
        return {"form": CloseForm(initial={"outcome": outcome}), "pending": pending}

    def actions(self) -> Mapping[str, Callable[[CasePage], bool]]:
        """``close``."""
        return {"close": self.close}

    def close(self, page: CasePage) -> bool:
        """Close; grants end."""
        form = CloseForm(page.request.POST)
        if not form.is_valid():
            messages.error(page.request, _("Choose how the case ended."))
            return True
        try:
            close_case(page.case, outcome=form.cleaned_data["outcome"], actor=page.actor)
        except CorrectionPending:
            messages.error(page.request, _("A correction is pending. Apply or refuse it first."))
        else:
            messages.success(page.request, _("The case is closed, and your access to the member has ended."))
        return True


def may_work(page_case: Case, actor: Staff) -> bool:
    """Whether the viewer may act in the case, rather than only see it."""
    return page_case.state == Case.State.OPEN and policies.can(actor, "members.work_case", page_case)
