"""The named points of a destruction run, in the order in which a chunk passes them.

Nothing happens at a point. A test watches them, and ends the process there: what is enumerated here is what is killed.
"""

import enum
from collections.abc import Callable


class Point(enum.StrEnum):
    """Where a run may stop, and what holds there."""

    BEGUN = "begun"  # the run is on record, its approval is spent
    LOCKED = "locked"  # the chunk's rows are locked
    CHECKED = "checked"  # what is not due any more has been left out
    ERASED = "erased"  # rows are emptied, uncommitted
    INTENDED = "intended"  # the journal holds the intent, on disk
    ENDED = "ended"  # the keys are ended, uncommitted
    DESTROYED = "destroyed"  # the keys are gone: the commit point
    RECORDED = "recorded"  # certificate lines and ledger are written, uncommitted
    COMMITTED = "committed"  # the console has committed
    COMPLETED = "completed"  # the journal holds the completion, on disk
    SIGNED = "signed"  # the certificate is written, uncommitted
    FINISHED = "finished"  # the run is over


# Set by tests only.
watch: Callable[[Point], None] | None = None


def reached(point: Point) -> None:
    """The run has come to ``point``."""
    if watch is not None:
        watch(point)
