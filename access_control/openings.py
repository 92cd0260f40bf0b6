"""The door for openings: the one way to keys that open what stands in the databases.

What can go wrong, and why here it cannot: a value could be opened after access to it had ended. So the door asks once
more whether the account, its role, the grants and the rows are what they were, and holds them until the opening is
over: whoever ends them, by a departure, a move, a revocation, a hand-over or a destruction, returns only after that. A
test finds openings that go another way.
"""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import models

from access_control import locks, policies
from access_control.vault.ring import KeyRing, keys_for


@contextmanager
def opening(
    actor: Any,
    action: str | None,
    *,
    subjects: Iterable[uuid.UUID],
    categories: Iterable[int],
    event: uuid.UUID,
    targets: Sequence[models.Model] = (),
    rows: Sequence[models.Model] = (),
    **by: Any,
) -> Iterator[KeyRing]:
    """Inside, every key of ``subjects`` × ``categories`` is on a ring, fetched for the ledger's ``event``.

    Account, grants on ``targets`` (narrowed ``by`` their columns) and ``rows`` are checked and held as by
    ``policies.hold``. Raises PermissionDenied when something has ended, and then no key was fetched.
    """
    with locks.in_order(), locks.attempt():
        policies.hold(actor, action, targets=targets, rows=rows, **by)
        with keys_for(subjects, categories, event=event) as ring:
            yield ring
