"""``load_demo``: a lively database of made-up people, refused outside DEMO."""

import dataclasses
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.utils import timezone
from rich.console import Console
from rich.progress import Progress

from access_control.management.console import ConsoleCommand, bad_usage
from consent.demo import loading
from members.models import Member
from retention import demo as of_retention


class Command(ConsoleCommand):
    """Loads demo staff, policy, members and cases, the same for the same seed."""

    help = "Load made-up staff, members and cases (DEMO=1 only)."

    def add_arguments(self, parser: CommandParser) -> None:
        """``--members``, ``--seed``, ``--if-empty``."""
        super().add_arguments(parser)
        parser.add_argument("--members", type=int, default=2_000, help="How many members (1 to 10,000,000).")
        parser.add_argument("--seed", type=int, default=1, help="The same seed makes the same people.")
        parser.add_argument("--if-empty", action="store_true", help="Keep what is there.")

    def handle(self, *args: Any, members: int, seed: int, if_empty: bool, json: bool, **options: Any) -> None:
        """Load, or keep what is there; print members and accounts."""
        if not settings.DEMO:
            raise bad_usage("DEMO is not set. load_demo makes accounts with published passwords and runs only with it.")
        if not 1 <= members <= 10_000_000:
            raise bad_usage(f"--members {members}: give a number from 1 to 10,000,000.")
        if loading.is_loaded():
            if not if_empty:
                raise bad_usage("Demo data is there already. Use --if-empty, or run make clean first.")
            demo = loading.Demo(Member.objects.count(), loading.accounts())
        else:
            with Progress(console=Console(stderr=True)) as bar:
                task = bar.add_task("members", total=members)
                demo = loading.load(
                    members, seed=seed, now=timezone.now(), progress=lambda rows: bar.advance(task, rows)
                )
        # Also over a demo of an earlier version, which has no rules yet.
        of_retention.load(timezone.now())
        lines = [f"{demo.members} members"]
        lines += [f"{account.role:14} {account.username:14} {account.password}" for account in demo.accounts]
        self.answer(dataclasses.asdict(demo), "\n".join(lines), as_json=json)
