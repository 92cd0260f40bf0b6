"""What a certificate line is called: by the reference of the plan, run and certificate in which it stands."""

import uuid
from collections.abc import Collection

from retention.models import PlanLine


def certificate_names(lines: Collection[uuid.UUID]) -> dict[uuid.UUID, str]:
    """Certificate line → reference (``20261224-K7QM``), for the lines that a plan of this console lists."""
    if not lines:
        return {}
    return dict(PlanLine.objects.filter(pk__in=lines).values_list("pk", "plan__reference"))
