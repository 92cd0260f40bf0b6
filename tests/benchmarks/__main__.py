"""``python -m tests.benchmarks``: run the benchmarks, print one table, exit 1 when a mark is missed."""

import argparse
import dataclasses
import json
import os
import sys

import django
from rich.console import Console
from rich.table import Table


def arguments():
    """What the command line asks for; environment variables are the defaults, for ``make bench``."""
    asked = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    asked.add_argument("only", nargs="*", metavar="NAME", help="benchmarks to run (default: all)")
    asked.add_argument("--size", type=int, default=os.environ.get("BENCH_SIZE"), help="members in each round")
    asked.add_argument("--rounds", type=int, default=os.environ.get("BENCH_ROUNDS", "5"), help="rounds of each")
    asked.add_argument("--json", action="store_true", help="print the figures as JSON, and no table")
    return asked.parse_args()


def main():
    """Run, print, and say by the exit status whether every mark was met."""
    options = arguments()
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.benchmarks.settings"
    django.setup()
    # Models are there only now.
    from tests.benchmarks import importing, purging
    from tests.benchmarks.setting_up import databases

    benchmarks = {module.NAME: module for module in (importing, purging)}
    if unknown := set(options.only) - set(benchmarks):
        sys.exit(f"No such benchmark: {', '.join(sorted(unknown))}. There are: {', '.join(benchmarks)}.")
    progress = Console(stderr=True)
    found = []
    with databases():
        for name, module in benchmarks.items():
            if options.only and name not in options.only:
                continue
            size = options.size or module.SIZE
            with progress.status(f"{name}: {options.rounds} rounds of {size}"):
                found += module.measure(size=size, rounds=options.rounds)
    if options.json:
        print(json.dumps([dataclasses.asdict(each) | {"met": each.met} for each in found], indent=1))
    else:
        Console(width=None if sys.stdout.isatty() else 140).print(table(found))
    sys.exit(any(each.met is False for each in found))


def table(found):
    """The comparisons as people read them."""
    drawn = Table("work", "peer", title="Medians of each round's figures, in one run on one server")
    for name in ("ours", "peer's", "ratio", "mark", "met?"):
        drawn.add_column(name, justify="right", no_wrap=True)
    verdict = {True: "yes", False: "NO", None: ""}
    for each in found:
        drawn.add_row(
            each.work,
            each.peer,
            f"{each.ours:,.0f} {each.unit}",
            f"{each.theirs:,.0f} {each.unit}",
            f"{each.ratio:.1f} ×",
            "" if each.mark is None else f"≥ {each.mark:g} ×",
            verdict[each.met],
        )
    return drawn


if __name__ == "__main__":
    main()
