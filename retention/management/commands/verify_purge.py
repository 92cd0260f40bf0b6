"""``verify_purge``: whether what a certificate claims is true. Runs as the *reader*."""

import sys
from typing import Any

from django.core.management.base import CommandParser
from django.db.models import OuterRef, Q, Subquery

from access_control.management.console import REFUSED, ConsoleCommand
from retention.management.progress import find_plan, progress_bar
from retention.models import Plan, Verification
from retention.services.verifying import verify_plan


class Command(ConsoleCommand):
    """Looks at every line of the plan. Exit status 1 when something does not hold."""

    while_restored = True
    help = "Check a finished run against the vault, the rows, the journal and the certificate."

    def add_arguments(self, parser: CommandParser) -> None:
        """PLAN."""
        super().add_arguments(parser)
        parser.add_argument(
            "plan", nargs="?", help="The plan's reference. Without it: every finished run without a clean verification."
        )

    def handle(self, *args: Any, plan: str | None, json: bool, **options: Any) -> None:
        """Verify, print one summary."""
        plans = [find_plan(plan)] if plan else unverified()
        with progress_bar("verify", sum(one.line_count for one in plans)) as advance:
            results = [(one, verify_plan(one, progress=advance)) for one in plans]
        said = [
            {
                "plan": one.reference,
                "verified": result.verified_count,
                "failed": result.failed_count,
                "findings": result.findings,
            }
            for one, result in results
        ]
        failed = sum(result.failed_count for _one, result in results)
        lines = []
        for one, result in results:
            lines.append(
                f"Plan {one.reference}: {result.verified_count:,} items verified, {result.failed_count:,} findings."
            )
            lines += [f"  {finding}" for finding in result.findings]
        together = {"verified": sum(result.verified_count for _one, result in results), "failed": failed}
        summary = said[0] if plan else {**together, "plans": said}
        self.answer(summary, "\n".join(lines) or "Every finished run is verified.", as_json=json)
        if failed:
            sys.exit(REFUSED)


def unverified() -> list[Plan]:
    """Plans whose run is over and whose newest verification is not clean, or is missing; oldest first."""
    newest = Verification.objects.filter(plan=OuterRef("pk")).order_by("-id").values("failed_count")[:1]
    finished = Plan.objects.filter(run__finished_at__isnull=False).select_related("approval", "rules")
    unclean = Q(failed=None) | Q(failed__gt=0)
    return list(finished.annotate(failed=Subquery(newest)).filter(unclean).order_by("made_at"))
