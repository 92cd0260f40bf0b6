"""What this app's codes mean to whoever reads them: states, periods, findings, and what to do about what is parked."""

from typing import Any

from django.db import models
from django.utils.translation import gettext, ngettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from access_control.vault.categories import Category
from retention.models import Parked, PlanExclusion


class PlanState(models.TextChoices):
    """How a plan stands. Worked out each time; never stored."""

    WAITING = "waiting", _("waiting for approval")
    APPROVED = "approved", pgettext_lazy("destruction plan", "approved")
    RUNNING = "running", pgettext_lazy("destruction plan", "running")
    STALLED = "stalled", pgettext_lazy("destruction plan", "stalled")
    FINISHED = "finished", pgettext_lazy("destruction plan", "finished")
    EXPIRED = "expired", _("approval expired")
    VOID = "void", _("approval void: somebody left or moved")
    WITHDRAWN = "withdrawn", pgettext_lazy("destruction plan", "withdrawn")
    GIVEN_UP = "given_up", pgettext_lazy("destruction plan", "given up")
    NOTHING = "nothing", _("nothing is due")


BADGES = {
    PlanState.WAITING: "badge--wait",
    PlanState.APPROVED: "badge--info",
    PlanState.RUNNING: "badge--info",
    PlanState.STALLED: "badge--stop",
    PlanState.FINISHED: "badge--ok",
    PlanState.EXPIRED: "badge--outdated",
    PlanState.VOID: "badge--stop",
    PlanState.WITHDRAWN: "badge--outdated",
    PlanState.GIVEN_UP: "badge--outdated",
    PlanState.NOTHING: "",
}


def period_in_words(months: int, days: int) -> str:
    """``7 years 2 months``; no words for no time."""
    years, months = divmod(months, 12)
    parts = [
        (years, ngettext("%(n)d year", "%(n)d years", years)),
        (months, ngettext("%(n)d month", "%(n)d months", months)),
        (days, ngettext("%(n)d day", "%(n)d days", days)),
    ]
    return " ".join(words % {"n": n} for n, words in parts if n)


def generation_in_words(category: int, generation: int) -> str:
    """A fiscal year for statutory records, the end of a case's id for correspondence, else a number."""
    if category == Category.STATUTORY:
        return gettext("fiscal year %(year)d") % {"year": generation}
    if category == Category.CORRESPONDENCE:
        return gettext("case …%(end)s") % {"end": f"{generation:016x}"[-8:]}
    return str(generation)


# Why somebody is left out: the clause, and one sentence.
LEFT_OUT: dict[str, tuple[str, Any]] = {
    PlanExclusion.Reason.LEGAL_HOLD: (
        "P7.A",
        _("Evidence stays while its legal hold stands. Once the hold is lifted, the next plan takes it up."),
    ),
    PlanExclusion.Reason.OPEN_CASE: (
        "P5.A",
        _("Somebody is being answered and may need the data. Once the case is closed, the next plan takes it up."),
    ),
    PlanExclusion.Reason.CORRECTION_PENDING: (
        "P5.B",
        _("A correction was asked for and is not decided yet. Once it is, the next plan takes it up."),
    ),
}

# What to do about parked items, by reason.
PARKED: dict[str, Any] = {
    Parked.Reason.LEGAL_HOLD: _("Nothing, while the hold stands. Once it is lifted, the next plan takes them up."),
    Parked.Reason.OPEN_CASE: _("Answer and close the case. The next plan takes them up."),
    Parked.Reason.CORRECTION_PENDING: _("Apply or refuse the correction. The next plan takes them up."),
    Parked.Reason.NOT_DUE: _("Nothing. A membership stands again, or the rules have changed since the plan was made."),
    Parked.Reason.STILL_IN_USE: _(
        "Tell whoever runs the console: a current value still uses the old key. Until it is sealed anew, these stay."
    ),
    Parked.Reason.BUSY: _("Make a new plan. Somebody was at work on these rows while the run came by."),
    Parked.Reason.APPROVAL_LAPSED: _("Make a new plan, and have it approved by somebody who is still here."),
    Parked.Reason.NO_KEY: _(
        "Tell whoever runs the console: the key is in the vault neither alive nor destroyed. Compare with a backup."
    ),
    Parked.Reason.ENDED_ELSEWHERE: _("Nothing. Another certificate says when they were destroyed."),
    Parked.Reason.GIVEN_UP: _("Make a new plan. It lists what is still due."),
    Parked.Reason.FAILED: _(
        "Tell whoever runs the console the error; the database's log says which rule refused. Then make a new plan."
    ),
}

# What verify_purge finds, by code.
FINDINGS: dict[str, Any] = {
    "not_finished": _("The run is not over. Run run_purge again; it goes on where it stopped."),
    "not_begun": _("The run has not begun; there is nothing to look at yet. Run run_purge first."),
    "plan_changed": _("The plan is not the list that was approved: its hash differs."),
    "key_lives": _("The key is said to be destroyed, but it is still in the vault."),
    "no_fence": _("The vault does not say that this key was destroyed under this line."),
    "other_plan": _("The vault destroyed this key under another plan."),
    "not_certified": _("The vault destroyed this key, but no certificate line says so."),
    "certified_and_parked": _("The item is said to be both destroyed and parked."),
    "lookup_left": _("The person can still be found by a value that is said to be destroyed."),
    "row_left": _("A value that was sealed under the destroyed key still stands in a table."),
    "neither": _("The item is neither destroyed nor parked."),
    "not_planned": _("A certificate line has no line of the plan behind it."),
    "journal_broken": _("The journal of the run is missing, or a line of it was changed."),
    "journal_open": _("The journal announces a destruction whose end it does not tell."),
    "journal_counts_otherwise": _("The journal tells of more or fewer destroyed items than the certificate."),
    "no_certificate": _("There is no certificate."),
    "not_approved": _("Nobody else than the one who asked has approved the plan."),
    "approved_late": _("The plan was approved or carried out after its time was over."),
    "journal_of_another_plan": _("The journal is that of another plan."),
    "journal_not_the_signed_one": _("The journal is not the one that the certificate was signed over."),
    "signed_by_another_key": _("The certificate names another key than the one that signed it."),
    "signature_broken": _("The signature is not that of the key over this certificate."),
    "certificate_lines_changed": _("The lines are not those that the certificate was signed over."),
    "certificate_of_another_plan": _("The certificate names the hash of another plan."),
}


def said_of_finding(code: str) -> str:
    """A finding in words; one of a newer version as its code."""
    return str(FINDINGS.get(code, code))
