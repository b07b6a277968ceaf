"""Measure the promises of docs/promises.md.

    python -m benchmarks.promises --tries 50
    python -m benchmarks.promises --only render,disk --tries 5

Kills are made `--tries` times each, disks filled a tenth as often. Exit code 1: a promise does not hold.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.promises.certificates import certificates
from benchmarks.promises.clock import clock_jumps
from benchmarks.promises.disk import full_disk
from benchmarks.promises.kills import batch, pull, record, render
from benchmarks.promises.process import Outcome

PROMISES: dict[str, Callable[[Path, int], Outcome]] = {
    "render": render,
    "record": record,
    "batch": batch,
    "pull": pull,
    "disk": lambda folder, tries: full_disk(folder, max(1, tries // 10)),
    "certificates": lambda folder, _tries: certificates(folder),
    "clock": lambda folder, _tries: clock_jumps(folder),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tries", type=int, default=50)
    parser.add_argument("--only", default=",".join(PROMISES), help="names, with commas between them")
    parser.add_argument("--json", type=Path, help="file for the measurements")
    chosen = parser.parse_args(argv)
    table, outcomes = Table("promise", "tries", "figure", "failures"), []
    for name in chosen.only.split(","):
        with tempfile.TemporaryDirectory() as folder:
            outcomes.append(PROMISES[name](Path(folder), chosen.tries))
        last = outcomes[-1]
        table.add_row(last.promise, str(last.tries), last.figure, "\n".join(last.failures) or "none")
    Console(width=140).print(table)
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))
    return int(any(outcome.failures for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
