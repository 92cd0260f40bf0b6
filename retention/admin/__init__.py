"""Hands for retention, and the policy board; one module per noun."""

from retention.admin.board import board_view
from retention.admin.certificates import CertificateAdmin
from retention.admin.holds import LegalHoldAdmin
from retention.admin.plans import PlanAdmin

__all__ = ["CertificateAdmin", "LegalHoldAdmin", "PlanAdmin", "board_view"]
