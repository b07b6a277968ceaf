"""Mutation run over one area of areas.toml: `python -m tests.mutation AREA [--module PART] [--again]`.

pytest collects the area's tests once; each mutant runs them in a fork up to the first failure. Results are added to
`build/mutation/AREA.jsonl` as they come: a run continues there, and `--again` repeats what survived.
"""

import argparse
import json
import random
import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from tests.mutation.fork import run_in_fork
from tests.mutation.mutants import CONFIG, ROOT, Mutant, find_mutants

EQUIVALENT = re.compile("|".join(CONFIG["equivalent"]))
RESULTS = ROOT / "build" / "mutation"
OPTIONS = [
    "-x",
    "-q",
    "--tb=no",
    "-s",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "-p",
    "no:unraisableexception",
]


class MutationPlugin:
    """Run the collected tests on every mutant, each in a fork, instead of once."""

    def __init__(self, pending: list[Mutant], results: Path) -> None:
        self._pending, self._results = pending, results

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        run_in_fork(None, session, CONFIG["timeout_s"])
        with self._results.open("a") as results:
            for mutant in self._pending:
                outcome = run_in_fork(mutant, session, CONFIG["timeout_s"])
                print(json.dumps(asdict(mutant) | {"outcome": outcome}), file=results, flush=True)
        return True


def sampled_mutants(area: dict[str, list[str]]) -> list[Mutant]:
    """Return the mutants of an area: all of a module, or as many as configured."""
    mutants: list[Mutant] = []
    for module in (file for pattern in area["modules"] for file in sorted(ROOT.glob(pattern))):
        found = find_mutants(module)
        drawn = random.Random(CONFIG["seed"]).sample(found, min(len(found), CONFIG["sample"]))
        mutants += [mutant for mutant in drawn if not EQUIVALENT.search(mutant.line_text())]
    return mutants


def read_outcomes(results: Path) -> dict[Mutant, str]:
    """Return the last outcome of every mutant of earlier runs."""
    lines = results.read_text().splitlines() if results.exists() else []
    entries = [json.loads(line) for line in lines]
    return {Mutant(**{k: v for k, v in e.items() if k != "outcome"}): e["outcome"] for e in entries}


def report(outcomes: dict[Mutant, str]) -> None:
    """Print the survivors and the share that was killed, a line a module."""
    for mutant in sorted((m for m, found in outcomes.items() if found == "survived"), key=lambda m: m.line):
        print(f"{mutant.module}:{mutant.line}: {mutant.operator}: {mutant.change()}")
    total: Counter[str] = Counter()
    for module in dict.fromkeys(mutant.module for mutant in outcomes):
        counts = Counter(found for mutant, found in outcomes.items() if mutant.module == module)
        total += counts
        print(f"{module}: {_share(counts)}")
    print(f"all: {_share(total)}")


def _share(counts: Counter[str]) -> str:
    killed = counts.total() - counts["survived"]
    return f"{killed} of {counts.total()} killed ({killed / max(1, counts.total()):.1%})"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("area", choices=CONFIG["areas"])
    parser.add_argument("--module", default="", help="only modules whose path contains this")
    parser.add_argument("--again", action="store_true", help="repeat the mutants that survived")
    parser.add_argument("--report", action="store_true", help="run nothing, print the results")
    options = parser.parse_args()
    area, results = CONFIG["areas"][options.area], RESULTS / f"{options.area}.jsonl"
    results.parent.mkdir(parents=True, exist_ok=True)
    mutants = [mutant for mutant in sampled_mutants(area) if re.search(options.module, mutant.module)]
    known = read_outcomes(results)
    pending = [m for m in mutants if m not in known or (options.again and known[m] == "survived")]
    if pending and not options.report:
        phases = [Phase.explicit, Phase.generate]
        settings.register_profile("mutation", phases=phases, derandomize=True, database=None, deadline=None)
        settings.load_profile("mutation")
        tests = [str(file) for pattern in area["tests"] for file in sorted(ROOT.glob(pattern))]
        plugin = MutationPlugin(pending, results)
        chosen = ["-m", area.get("marker", CONFIG["marker"]), "-k", area.get("keyword", "")]
        pytest.main([*OPTIONS, *chosen, *tests], plugins=[plugin])
        known = read_outcomes(results)
    report({mutant: known[mutant] for mutant in mutants if known.get(mutant, "invalid") != "invalid"})


if __name__ == "__main__":
    main()
