"""Facts: how long (``rules``), what must stay (``holds``), what is due (``plans``), what was done (``runs``)."""

from retention.models.holds import LegalHold
from retention.models.plans import Plan, PlanEnd, PlanExclusion, PlanLine, new_plan_reference
from retention.models.rules import COUNTED_FROM, Rule, RuleVersion, Start
from retention.models.runs import Certificate, CertificateLine, Parked, Recheck, Run, Verification

__all__ = [
    "COUNTED_FROM",
    "Certificate",
    "CertificateLine",
    "LegalHold",
    "Parked",
    "Plan",
    "PlanEnd",
    "PlanExclusion",
    "PlanLine",
    "Recheck",
    "Rule",
    "RuleVersion",
    "Run",
    "Start",
    "Verification",
    "new_plan_reference",
]
