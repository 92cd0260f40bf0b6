"""Hands for what goes through this app's doors."""

from consent.admin.records import RecordAdmin

__all__ = ["RecordAdmin"]
