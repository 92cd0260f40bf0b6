"""Hands for members and cases, one module per noun."""

from members.admin.cases import CaseAdmin
from members.admin.people import MemberAdmin

__all__ = ["CaseAdmin", "MemberAdmin"]
