"""The tables of recipes/how-fast.md, on a machine with a GPU: a row for each model and lever.

    python -m tests.gpu.table OUT --seconds 540

First what makes the figures worth having: every recorded case must hold on the device. Then the rows, the most
telling first. Each runs in processes of its own for so many seconds at the most; a row that fails says so in its
place, and `table.json` and `table.md` are written anew after each. A row that is in OUT already is not run again, so
another call goes on where time has ended.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CASES = Path(__file__).parents[1] / "data" / "reference" / "cases"
SMALL, LARGE = "lingbot-world-v2-1.3b-causal-fast", "lingbot-world-v2-14b-causal-fast"
LEVERS = ("--linears=fp8", "--attention=int8", "--window=14")
HEADS = ("row", "as played", "× real time", "one chunk", "denoise, of the roofline", "first frame", "device")
LEAST = 10.0
"""Seconds without which no row is begun."""


@dataclass(frozen=True)
class Row:
    """What is run for one line of the table, and for how many seconds at the most."""

    name: str
    command: tuple[str, ...]
    seconds: float


def rows(models: Sequence[str], device: str, size: str, chunks: int) -> Iterator[Row]:
    """All rows, the most telling first; the last model gets half the chunks, being the largest."""
    lingbot = (sys.executable, "-m", "lingbot_cli")

    def bench(model: str, count: int, seconds: float, *more: str) -> Row:
        name = " ".join([model, *more, *([f"{count} chunks"] if count > chunks else [])])
        fixed = ("--random-weights", "--size", size, "--quality", "draft", "--json", "--device", device)
        counted = ("--chunks", str(count))
        return Row(name, (*lingbot, "bench", "--model", model, *fixed, *counted, *more), seconds)

    for case in sorted(CASES.iterdir()):
        yield Row(f"parity {case.name}", (*lingbot, "parity", str(case), "--device", device, "--json"), 60.0)
    yield Row("check_device", (sys.executable, "-m", "tests.gpu.check_device", device), 120.0)
    counts = {model: max(1, chunks if model == models[0] else chunks // 2) for model in models}
    for model in models:
        yield bench(model, counts[model], 240.0)
    for model in models:
        yield bench(model, counts[model], 240.0, "--fast")
    for lever in (*LEVERS, "--no-compile"):
        yield bench(models[0], counts[models[0]], 120.0, lever)
    yield bench(models[0], 10 * chunks, 240.0)  # the same chunk, late in a film
    for lever in (*LEVERS, "--no-compile"):
        for model in models[1:]:
            yield bench(model, counts[model], 240.0, lever)
    if device.startswith("cuda"):
        yield Row("check_levers", (sys.executable, "-m", "tests.gpu.check_levers"), 120.0)


def run(row: Row, folder: Path, seconds: float) -> dict[str, Any]:
    """Run a row and return what there is to say of it: how it ended, and its figures where it printed some."""
    began = time.monotonic()
    slug = row.name.replace("--", "").replace(" ", "_")
    printed, said = folder / f"{slug}.out", folder / f"{slug}.err"
    with printed.open("w") as out, said.open("w") as err:
        child = subprocess.Popen(row.command, stdout=out, stderr=err, start_new_session=True)
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            code = 124
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # an encoder of its own goes too
            child.wait()
    words = [line for line in said.read_text().splitlines() if line.strip()]
    done = {"row": row.name, "code": code, "seconds": round(time.monotonic() - began, 1)}
    if code:
        done["failed"] = f"no end within {seconds:.0f} s" if code == 124 else " ".join(words[-2:])[:300]
    text = printed.read_text()
    with contextlib.suppress(ValueError):
        return done | {"figures": json.loads(text)}
    return done | {"printed": text[-2000:]}


def write(folder: Path, done: Sequence[dict[str, Any]]) -> None:
    """Write the table whole, as data and as Markdown."""
    (folder / "table.json").write_text(json.dumps(done, indent=1))
    rule = "|---|" + "---:|" * (len(HEADS) - 1)
    lines = [cells(each) for each in done]
    text = "\n".join(
        ["| " + " | ".join(HEADS) + " |", rule, *("| " + " | ".join(line) + " |" for line in lines)]
    )
    (folder / "table.md").write_text(text + "\n")


def cells(done: dict[str, Any]) -> list[str]:
    """One row for people."""
    from lingbot_cli.diagnostics.bench import BenchResult

    if "failed" in done:
        said = done["failed"].replace("|", "/")
        return [done["row"], f"failed ({done['code']}): {said}", *[""] * (len(HEADS) - 2)]
    if not isinstance(done.get("figures"), dict) or "phases" not in done["figures"]:
        return [done["row"], "holds", *[""] * (len(HEADS) - 2)]
    try:
        figures = BenchResult(**done["figures"])
    except TypeError:
        return [done["row"], "made by another version", *[""] * (len(HEADS) - 2)]
    share = figures.roofline("denoise")
    return [
        done["row"],
        f"{figures.fps:.1f} fps",
        f"{figures.realtime:.2f}",
        f"{figures.chunk * 1000:.0f} ms",
        "" if share is None else f"{share:.0%}",
        f"{figures.first_frame:.2f} s",
        f"{figures.device_memory / 1e9:.1f} GB",
    ]


def fill(folder: Path, wanted: Sequence[Row], seconds: float) -> list[dict[str, Any]]:
    """Run what is not there yet for so many seconds in all; what had no time is named."""
    folder.mkdir(parents=True, exist_ok=True)
    there = folder / "table.json"
    before = json.loads(there.read_text()) if there.is_file() else []
    known = {each["row"]: each for each in before if each["code"] == 0}
    until = time.monotonic() + seconds
    done: list[dict[str, Any]] = []
    for place, row in enumerate(wanted):
        left = until - time.monotonic()
        if row.name in known:
            done.append(known[row.name])
        elif left < LEAST:
            done.append({"row": row.name, "code": 124, "seconds": 0.0, "failed": "there was no time left"})
        else:
            done.append(run(row, folder, min(row.seconds, left)))
            print(f"{row.name}: {done[-1].get('failed', 'done')}, {done[-1]['seconds']} s", flush=True)
        write(folder, done + [known[later.name] for later in wanted[place + 1 :] if later.name in known])
    return done


def main() -> None:
    """Fill the table; the exit code is 0 when every row is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=540.0, help="for all rows together")
    parser.add_argument("--models", nargs="+", default=[SMALL, LARGE])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", default="832x480")
    parser.add_argument("--chunks", type=int, default=4)
    given = parser.parse_args()
    done = fill(given.out, list(rows(given.models, given.device, given.size, given.chunks)), given.seconds)
    sys.exit(any("failed" in each for each in done))


if __name__ == "__main__":
    main()
