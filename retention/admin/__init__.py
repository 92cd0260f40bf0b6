"""Hands for retention, and the policy board; one module per noun."""

from retention.admin.board import board_view

__all__ = ["board_view"]
