"""What the commands of this app share: finding a plan, and a progress bar on standard error."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from access_control.management.console import bad_usage
from access_control.references import PLAN, reference
from retention.models import Plan


@contextmanager
def progress_bar(name: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar; the callable is told how many more are done. Without a total it counts."""
    columns = (
        TextColumn(name),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        *([TimeRemainingColumn()] if total else []),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=total)
        yield lambda done: bar.advance(task, done)


def find_plan(named: str) -> Plan:
    """The plan with this reference (``20261124-K7QM``), however it is typed, or id. Raises CommandError (2)."""
    plans = Plan.objects.select_related("approval", "rules")
    plan = plans.filter(reference=reference(named, PLAN)).first()
    if plan is None:
        try:
            plan = plans.filter(pk=uuid.UUID(named)).first()
        except ValueError:
            plan = None
    if plan is None:
        raise bad_usage(f"{named}: there is no such plan. plan_purge prints the reference of the plan it makes.")
    return plan
