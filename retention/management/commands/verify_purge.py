"""``verify_purge``: whether what a certificate claims is true. Runs as the *reader*."""

import sys
from typing import Any

from django.core.management.base import CommandParser

from access_control.management.console import REFUSED, ConsoleCommand
from retention.management.progress import find_plan, progress_bar
from retention.services.verifying import verify_plan


class Command(ConsoleCommand):
    """Looks at every line of the plan. Exit status 1 when something does not hold."""

    help = "Check a finished run against the vault, the rows, the journal and the certificate."

    def add_arguments(self, parser: CommandParser) -> None:
        """PLAN."""
        super().add_arguments(parser)
        parser.add_argument("plan", help="The plan's reference.")

    def handle(self, *args: Any, plan: str, json: bool, **options: Any) -> None:
        """Verify, print one summary."""
        found = find_plan(plan)
        with progress_bar("verify", found.line_count) as advance:
            result = verify_plan(found, progress=advance)
        summary = {
            "plan": found.reference,
            "verified": result.verified_count,
            "failed": result.failed_count,
            "findings": result.findings,
        }
        lines = [f"Plan {found.reference}: {result.verified_count:,} items verified, {result.failed_count:,} findings."]
        lines += [f"  {finding}" for finding in result.findings]
        self.answer(summary, "\n".join(lines), as_json=json)
        if result.failed_count:
            sys.exit(REFUSED)
