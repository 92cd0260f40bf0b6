"""Hands for retention, and the policy board; one module per noun."""

from retention.admin.board import board_view
from retention.admin.certificates import CertificateAdmin
from retention.admin.plans import PlanAdmin

__all__ = ["CertificateAdmin", "PlanAdmin", "board_view"]
