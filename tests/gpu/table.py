"""Benchmark table of recipes/how-fast.md on a GPU: a row for each model and speed option.

    python -m tests.gpu.table OUT --seconds 540

The recorded cases come first, since they must hold on the device, then the rows by importance. Each row runs in its
own process with a time limit; a row that fails is marked in its place, and `table.json` and `table.md` are rewritten
after each. A row that is in OUT already is not run again, so a second call continues where the time ran out.
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
SPEED_OPTIONS = ("--linears=fp8", "--attention=int8", "--window=14")
HEADS = (
    "row",
    "as rendered",
    "× real time",
    "one chunk",
    "denoise, of the roofline",
    "first frame",
    "device",
)
MIN_ROW_S = 10.0
"""Seconds without which no row is started."""


@dataclass(frozen=True)
class Row:
    """Command of one row and its time limit in seconds."""

    name: str
    command: tuple[str, ...]
    seconds: float


def rows(models: Sequence[str], device: str, size: str, chunks: int) -> Iterator[Row]:
    """Yield all rows, the most important first; the larger models run half the chunks."""
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
    for option in (*SPEED_OPTIONS, "--no-compile"):
        yield bench(models[0], counts[models[0]], 120.0, option)
    yield bench(models[0], 10 * chunks, 240.0)  # the same chunk, late in a video
    for option in (*SPEED_OPTIONS, "--no-compile"):
        for model in models[1:]:
            yield bench(model, counts[model], 240.0, option)
    if device.startswith("cuda"):
        yield Row("check_speed_options", (sys.executable, "-m", "tests.gpu.check_speed_options"), 120.0)


def run(row: Row, folder: Path, seconds: float) -> dict[str, Any]:
    """Run a row and return its exit code, seconds, and its result or the end of its output."""
    began = time.monotonic()
    slug = row.name.replace("--", "").replace(" ", "_")
    out_file, err_file = folder / f"{slug}.out", folder / f"{slug}.err"
    with out_file.open("w") as out, err_file.open("w") as err:
        child = subprocess.Popen(row.command, stdout=out, stderr=err, start_new_session=True)
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            code = 124
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # an encoder of its own goes too
            child.wait()
    words = [line for line in err_file.read_text().splitlines() if line.strip()]
    done = {"row": row.name, "code": code, "seconds": round(time.monotonic() - began, 1)}
    if code:
        done["failed"] = f"not finished within {seconds:.0f} s" if code == 124 else " ".join(words[-2:])[:300]
    text = out_file.read_text()
    with contextlib.suppress(ValueError):
        return done | {"figures": json.loads(text)}
    return done | {"printed": text[-2000:]}


def write(folder: Path, done: Sequence[dict[str, Any]]) -> None:
    """Write the table as JSON and as Markdown."""
    (folder / "table.json").write_text(json.dumps(done, indent=1))
    rule = "|---|" + "---:|" * (len(HEADS) - 1)
    lines = [cells(each) for each in done]
    text = "\n".join(
        ["| " + " | ".join(HEADS) + " |", rule, *("| " + " | ".join(line) + " |" for line in lines)]
    )
    (folder / "table.md").write_text(text + "\n")


def cells(done: dict[str, Any]) -> list[str]:
    """Return the cells of a row."""
    from lingbot_cli.diagnostics.bench import BenchResult

    if "failed" in done:
        reason = done["failed"].replace("|", "/")
        return [done["row"], f"failed ({done['code']}): {reason}", *[""] * (len(HEADS) - 2)]
    if not isinstance(done.get("figures"), dict) or "phases" not in done["figures"]:
        return [done["row"], "holds", *[""] * (len(HEADS) - 2)]
    try:
        figures = BenchResult(**done["figures"])
    except TypeError:
        return [done["row"], "from another version", *[""] * (len(HEADS) - 2)]
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
    """Run the rows that are missing, within `seconds` in all; mark those that had no time."""
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
        elif left < MIN_ROW_S:
            done.append({"row": row.name, "code": 124, "seconds": 0.0, "failed": "no time left"})
        else:
            done.append(run(row, folder, min(row.seconds, left)))
            print(f"{row.name}: {done[-1].get('failed', 'done')}, {done[-1]['seconds']} s", flush=True)
        write(folder, done + [known[later.name] for later in wanted[place + 1 :] if later.name in known])
    return done


def main() -> None:
    """Fill the table; exit with 0 when every row succeeded."""
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
