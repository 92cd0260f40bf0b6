"""``verify_purge``: whether what a certificate claims is true. Runs as the *reader*."""

import sys
from typing import Any

from django.core.management.base import CommandParser
from django.db.models import OuterRef, Q, Subquery

from access_control.management.console import REFUSED, ConsoleCommand, bad_usage
from retention.management.progress import find_plan, progress_bar
from retention.models import Plan, Verification
from retention.services.verifying import nightly_share, verify_again, verify_plan
from retention.words import said_of_finding

MOST_NIGHTS = 366


class Command(ConsoleCommand):
    """Looks at every line of the plan, or of all plans. Exit status 1 when something does not hold."""

    while_restored = True
    help = (
        "Check a finished run against the vault, the rows, the journal and the certificate; or all that was destroyed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """PLAN, or ``--all`` and ``--nights``."""
        super().add_arguments(parser)
        parser.add_argument(
            "plan", nargs="?", help="The plan's reference. Without it: every finished run without a clean verification."
        )
        parser.add_argument(
            "--all", dest="every", action="store_true", help="Look again at everything that was ever destroyed."
        )
        parser.add_argument(
            "--nights", metavar="N", help="With --all: a share each night, so that N nights look at everything."
        )

    def handle(self, *args: Any, plan: str | None, every: bool, nights: str | None, json: bool, **options: Any) -> None:
        """Verify, print one summary."""
        faults = []
        if every and plan:
            faults.append(f"{plan}: --all looks at every plan; name none.")
        if nights is not None and not every:
            faults.append(f"--nights {nights}: give it with --all.")
        elif nights is not None and not (nights.isdecimal() and 1 <= int(nights) <= MOST_NIGHTS):
            faults.append(f"--nights {nights}: give a number from 1 to {MOST_NIGHTS}.")
        if faults:
            raise bad_usage("\n".join(faults))
        failed = self._again(nights, as_json=json) if every else self._plans(plan, as_json=json)
        if failed:
            sys.exit(REFUSED)

    def _again(self, nights: str | None, *, as_json: bool) -> int:
        most = nightly_share(int(nights)) if nights else None
        with progress_bar("verify", most) as advance:
            result = verify_again(most=most, progress=advance)
        summary = {
            "lines": result.line_count,
            "findings": result.failed_count,
            "reached_end": result.reached_end,
            "said": result.findings,
        }
        text = f"{result.line_count:,} certificate lines looked at again, {result.failed_count:,} findings."
        self.answer(summary, "\n".join([text, *_in_words(result.findings)]), as_json=as_json)
        return result.failed_count

    def _plans(self, plan: str | None, *, as_json: bool) -> int:
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
            lines += _in_words(result.findings)
        together = {"verified": sum(result.verified_count for _one, result in results), "failed": failed}
        summary = said[0] if plan else {**together, "plans": said}
        self.answer(summary, "\n".join(lines) or "Every finished run is verified.", as_json=as_json)
        return failed


def _in_words(findings: list[str]) -> list[str]:
    """Each finding as it is on record, and each kind of them once in words."""
    lines, kinds = [], set()
    for finding in findings:
        code = finding.split(" ")[0]
        lines.append(f"  {finding}" if code in kinds else f"  {finding}: {said_of_finding(code)}")
        kinds.add(code)
    return lines


def unverified() -> list[Plan]:
    """Plans whose run is over and whose newest verification is not clean, or is missing; oldest first."""
    newest = Verification.objects.filter(plan=OuterRef("pk")).order_by("-id").values("failed_count")[:1]
    finished = Plan.objects.filter(run__finished_at__isnull=False).select_related("approval", "rules")
    unclean = Q(failed=None) | Q(failed__gt=0)
    return list(finished.annotate(failed=Subquery(newest)).filter(unclean).order_by("made_at"))
