"""The steps of a case in which a membership ends or stands again: what that does, item by item, before it is done."""

import datetime
from collections.abc import Callable, Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from access_control.vault.errors import VaultError
from members.inventory import ITEMS
from members.models import Case, Member
from members.services.cases import NotIdentified
from members.services.locking import DataDestroyed
from members.services.membership import AlreadyEnded, NotEnded, Undecided, pending_corrections
from members.steps import CasePage, Step, decision
from retention.explaining import grouped, last_day_for, last_day_to_return, listed, what_happens
from retention.services.memberships import GraceOver, end_membership, return_to_membership
from retention.services.rules import NoRules, rules_on

_NO_RULES = _("No retention rules are in force, so nobody could say until when the data is kept. Nothing was changed.")
_SEALED_SHUT = _("A mail address on file cannot be opened, so nothing was changed. Tell the privacy officer.")


class EndForm(forms.Form):
    """That the caller knows what they ask for."""

    heard = forms.BooleanField(
        label=_("The caller has heard what stops, what is kept and until when, and wants it so.")
    )


class MembershipStep(Step):
    """What ending and coming back share: one decision, refusals in words, and dates by the rules in force today."""

    kind: Case.Kind

    def applies(self, case: Case) -> bool:
        """Cases of its own kind only."""
        return case.kind == self.kind

    def done(self, page: CasePage) -> bool:
        """Once decided in this case."""
        return decision(page.case) is not None

    def context(self, page: CasePage) -> dict[str, Any]:
        """Where the membership stands; with access, what is kept and until when."""
        member, said = page.case.member, {"refusal": page.left.get("membership_refusal"), "decision": None}
        if decided := decision(page.case):
            said["decision"] = decided.at
        if member is None or not page.granted:
            return said
        try:
            return said | self._dates(member, timezone.localdate(page.now))
        except NoRules:
            return said | {"no_rules": _NO_RULES}

    def _dates(self, member: Member, today: datetime.date) -> dict[str, Any]:
        ended_on = timezone.localdate(member.ended_at) if member.ended_at else None
        version = rules_on(today)
        fates = what_happens(member, on=ended_on or today, version=version)
        return {
            "membership": member.state,
            "ended_on": ended_on,
            "today": today,
            "groups": grouped(fates),
            # While the membership stands: as if it ended today.
            "last_day": last_day_to_return(member, ended_on=ended_on or today, version=version),
        }

    def _refuse(self, page: CasePage, sentence: Any, clause: str = "") -> bool:
        page.left["membership_refusal"] = {"sentence": sentence, "clause": clause}
        return False

    def _attempt(self, page: CasePage, act: Callable[[], Any], done: Any) -> bool:
        """Do it; what speaks against it becomes a sentence. Whether to redirect."""
        try:
            act()
        except Undecided as undecided:
            wanted = listed(f"{ITEMS[one.item].label} ({one.reference})" for one in undecided.pending)
            said = _("A correction is pending. Apply or refuse it first: %(corrections)s") % {"corrections": wanted}
            return self._refuse(page, said, "P5.B")
        except GraceOver as over:
            said = _("Coming back was possible until %(day)s.") % {"day": over.last.isoformat()}
            return self._refuse(page, said, "P7.A")
        except NoRules:
            return self._refuse(page, _NO_RULES, "P7.A")
        except VaultError:
            return self._refuse(page, _SEALED_SHUT)
        except NotIdentified:
            messages.error(page.request, _("First the caller must be identified."))
        except AlreadyEnded:
            messages.warning(page.request, _("The membership has ended before."))
        except NotEnded:
            messages.warning(page.request, _("The membership stands; there is nothing to come back to."))
        except DataDestroyed:
            messages.error(page.request, _("The data was destroyed; nothing can bring it back."))
        else:
            messages.success(page.request, done)
        return True


class EndStep(MembershipStep):
    """End the membership, after saying what that does."""

    name = "ending"
    title = _("End the membership")
    template = "admin/members/case/ending.html"
    kind = Case.Kind.ENDING

    def context(self, page: CasePage) -> dict[str, Any]:
        """The table, before as a question and afterwards as a fact; the corrections to decide first; the form."""
        said = super().context(page)
        if said.get("membership") == Member.State.ACTIVE and page.case.member is not None:
            said["pending"] = [
                {"label": ITEMS[one.item].label, "reference": one.reference}
                for one in pending_corrections(page.case.member)
            ]
        return said | {"form": page.left.get("ending_form") or EndForm()}

    def actions(self) -> Mapping[str, Callable[[CasePage], bool]]:
        """``end``."""
        return {"end": self.end}

    def end(self, page: CasePage) -> bool:
        """The membership is over from now."""
        form = EndForm(page.request.POST)
        if not form.is_valid():
            page.left["ending_form"] = form
            return False
        return self._attempt(
            page,
            lambda: end_membership(page.case, actor=page.actor),
            _("The membership has ended. The notice with the same list is on its way."),
        )


class ReturnStep(MembershipStep):
    """Let the former member come back."""

    name = "return"
    title = _("Come back")
    template = "admin/members/case/return.html"
    kind = Case.Kind.RETURN

    def context(self, page: CasePage) -> dict[str, Any]:
        """Until when it is possible, and whether it was asked for in time."""
        said = super().context(page)
        asked_on = timezone.localdate(page.case.arrived_at)
        last = said.get("last_day")
        if page.case.member is not None and (ended_on := said.get("ended_on")):
            said["last_day"] = last = last_day_for(page.case.member, ended_on=ended_on, arrived_on=asked_on)
        return said | {"asked_on": asked_on, "over": last is not None and asked_on > last}

    def actions(self) -> Mapping[str, Callable[[CasePage], bool]]:
        """``return``."""
        return {"return": self.come_back}

    def come_back(self, page: CasePage) -> bool:
        """The membership stands again from now."""
        return self._attempt(
            page,
            lambda: return_to_membership(page.case, actor=page.actor),
            _("The membership stands again. The notice is on its way."),
        )
