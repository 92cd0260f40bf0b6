"""The clock of this app."""

from typing import Any

from django.core.management import call_command
from procrastinate import JobContext, builtin_tasks
from procrastinate.contrib.django import app

KEEP_JOBS_HOURS = 72


@app.periodic(cron="10 4 * * *")
@app.task(queueing_lock="remove_old_jobs", pass_context=True, name="access_control.remove_old_jobs")
async def remove_old_jobs(context: JobContext, timestamp: int) -> Any:
    """Every night: jobs that ended more than ``KEEP_JOBS_HOURS`` ago are gone."""
    return await builtin_tasks.remove_old_jobs(
        context, max_hours=KEEP_JOBS_HOURS, remove_failed=True, remove_cancelled=True, remove_aborted=True
    )


@app.periodic(cron="20 4 * * *")
@app.task(queueing_lock="remove_old_sessions", name="access_control.remove_old_sessions")
def remove_old_sessions(timestamp: int) -> None:
    """Every night: sessions that have ended are gone."""
    call_command("clearsessions")
