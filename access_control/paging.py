"""Counting no further than people page: a capped count instead of a full scan of a table that grows with members."""

from functools import cached_property

from django.core.paginator import Paginator
from django.db.models import QuerySet

MOST = 5_000


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts at most ``MOST`` rows; what lies beyond is reached by filters, not by paging."""

    @cached_property
    def count(self) -> int:
        """Number of rows, or ``MOST`` when there are more."""
        rows = self.object_list
        if isinstance(rows, QuerySet):
            # One column, no order: the database stops at the cap.
            return rows.order_by().values("pk")[:MOST].count()
        return len(rows)
