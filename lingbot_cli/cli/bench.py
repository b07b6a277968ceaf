"""`lingbot bench`: speed and memory of a model on this machine."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lingbot_cli.cli.app import App, option
from lingbot_cli.cli.model_flags import BENCH_FLAGS
from lingbot_cli.cli.options import Quality, Size
from lingbot_cli.console import print_json
from lingbot_cli.diagnostics.timers import PHASES
from lingbot_cli.env import Env
from lingbot_cli.errors import UsageError
from lingbot_cli.runtime.model_options import ModelOptions
from lingbot_cli.ui.progress import size_text

if TYPE_CHECKING:
    from lingbot_cli.checkpoints.checkpoint import Checkpoint
    from lingbot_cli.diagnostics.bench import BenchResult

app = App()


@app.command()
def bench(
    ctx: typer.Context,
    model: Annotated[ModelOptions, BENCH_FLAGS],
    chunks: Annotated[int, option("Chunks to measure once the window is full.", min=1, max=10_000)] = 8,
    size: Size = None,
    random_weights: Annotated[
        bool,
        option(
            "Make random weights of the model's shape on the device; nothing is downloaded.", panel="Model"
        ),
    ] = False,
    quality: Quality = "web",
    as_json: Annotated[bool, option("Print JSON.", names="--json", panel="Display")] = False,
    markdown: Annotated[bool, option("Print a Markdown table.", panel="Display")] = False,
    compare: Annotated[
        tuple[Path, Path] | None, option("Compare two files that --json printed; nothing is measured.")
    ] = None,
) -> None:
    """Measure each phase of a chunk, the first frame, the speed of playback and the memory.

    Chunks are measured once the window is full, when each costs what every later one costs. The video goes into
    an MP4 file that is removed.

    Example: lingbot bench --model lingbot-world-v2-1.3b-causal-fast --random-weights --size 832x480
    """
    env: Env = ctx.obj
    if compare is not None:
        before, after = (read_results(path) for path in compare)
        titles = ("measurement", *map(str, compare), "speed-up")
        show(env, titles, compare_results(before, after), markdown=markdown)
        return
    figures = _measure(model, chunks, size, quality, env, random_weights=random_weights)
    if as_json:
        print_json(env.out, asdict(figures))
    else:
        show(env, ("measurement", "value"), result_rows(figures), markdown=markdown)


def _measure(
    model: ModelOptions, chunks: int, size: str | None, quality: str, env: Env, *, random_weights: bool
) -> "BenchResult":
    from lingbot_cli.diagnostics.bench import LoadModel, bench_scene, measure
    from lingbot_cli.render.request import Request
    from lingbot_cli.runtime.load_model import load_model
    from lingbot_cli.sinks.factory import OutputOptions, choose_sink

    checkpoint: Checkpoint | None = None
    load: LoadModel = load_model
    if random_weights:
        from lingbot_cli.model.loading.random_weights import random_checkpoint, random_model

        for name in ("lora", "text_encoder", "assets", "preset"):
            if getattr(model, name):
                flag = name.replace("_", "-")
                raise UsageError(f"--{flag} cannot be used with --random-weights", hint="leave it out")
        checkpoint, load = random_checkpoint(model.model), random_model
    request = Request(Path(), size=size, options=model)
    with tempfile.TemporaryDirectory() as folder, bench_scene(request, chunks, checkpoint) as prepared:
        options = OutputOptions(quality=quality, overwrite=True)
        sink = choose_sink(str(Path(folder) / "bench.mp4"), options, env.environ)
        return measure(prepared, sink, env.clock, load)


def show(env: Env, heads: Sequence[str], lines: Sequence[Sequence[str]], *, markdown: bool) -> None:
    """Print a table, or its Markdown."""
    from rich.table import Table

    if markdown:
        rule = "|---|" + "---:|" * (len(heads) - 1)
        body = ["| " + " | ".join(line) + " |" for line in (("",) * len(heads), *lines)]
        env.out.print("\n".join([body[0], rule, *body[1:]]), markup=False, soft_wrap=True)
        return
    table = Table(*heads, title="lingbot bench", title_justify="left")
    for line in lines:
        table.add_row(*line)
    env.out.print(table)


def result_rows(result: "BenchResult") -> list[tuple[str, str]]:
    """Return the measurements as rows of a table: name and value."""
    share = sum(result.phases.values()) / result.chunk
    rows = [("model", f"{result.model}, {result.size}, {result.precision}, {result.device}")]
    if result.speed_options:
        rows.append(("speed options", _options_text(result.speed_options)))
    if result.kernel:
        rows.append(("self-attention", result.kernel))
    rows += [
        ("CPU threads", f"{result.threads}"),
        ("chunks measured", f"{result.chunks}"),
        ("load", f"{result.load:.2f} s"),
        ("first frame", f"{result.first_frame:.2f} s"),
        *((phase, _phase_text(result, phase)) for phase in PHASES),
        ("one chunk, no overlap", f"{result.chunk * 1000:.1f} ms, {share:.0%} of it in these phases"),
        ("as rendered", f"{result.fps:.1f} fps, {result.realtime:.2f}× real time"),
        ("sink alone, 832x480", f"{result.sink_fps:.1f} fps, {result.sink_fps / 16:.1f}× real time"),
        ("peak memory", size_text(result.memory)),
    ]
    if result.device_memory:
        rows.append(("peak device memory", size_text(result.device_memory)))
    return [
        *rows,
        ("peak matrix product", f"{result.peak_flops / 1e12:.2f} TFLOP/s"),
        ("peak copy", f"{result.peak_bytes / 1e9:.1f} GB/s"),
    ]


def compare_results(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return rows that compare two results of `read_results`: name, before, after, speed-up."""
    rows: list[tuple[str, str, str, str]] = []
    options = [_options_text(result["speed_options"]) for result in (before, after)]
    if any(text != "none" for text in options):
        rows.append(("speed options", options[0], options[1], ""))
    for phase in PHASES:
        a, b = before["phases"][phase], after["phases"][phase]
        rows.append((phase, f"{a * 1000:.1f} ms", f"{b * 1000:.1f} ms", _ratio(a, b)))
    a, b = before["first_frame"], after["first_frame"]
    rows.append(("first frame", f"{a:.2f} s", f"{b:.2f} s", _ratio(a, b)))
    a, b = before["fps"], after["fps"]
    rows.append(("fps", f"{a:.2f} fps", f"{b:.2f} fps", _ratio(b, a)))
    return rows


def read_results(path: Path) -> dict[str, Any]:
    """Read a result that `bench --json` printed, of this version or an earlier one. Errors: UsageError."""
    hint = "create one with `lingbot bench --json > a.json`"
    try:
        result = json.loads(path.read_text())
        numbers = [*(result["phases"][phase] for phase in PHASES), result["fps"], result["first_frame"]]
        if not all(type(number) in (int, float) and number >= 0 for number in numbers):
            raise ValueError("a measurement is not a number")
        result["speed_options"] = result.get("speed_options", result.get("levers", {}))
        if not isinstance(result["speed_options"], dict):
            raise ValueError("speed_options is not a mapping")
    except KeyError as missing:
        raise UsageError(f"{path}: not a bench result: {missing} is missing", hint=hint) from missing
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"{path}: not a bench result: {error}", hint=hint) from error
    return result


def _options_text(options: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items()) or "none"


def _phase_text(result: "BenchResult", phase: str) -> str:
    seconds = result.phases[phase]
    share = result.roofline(phase)
    if share is None:
        return f"{seconds * 1000:.1f} ms"
    return (
        f"{seconds * 1000:.1f} ms · {result.flops[phase] / seconds / 1e12:.2f} TFLOP/s · "
        f"{result.bytes[phase] / seconds / 1e9:.1f} GB/s · {share:.0%} of the roofline"
    )


def _ratio(many: float, few: float) -> str:
    return f"{many / few:.2f}×" if few else "–"
