"""`lingbot bench`: speed and memory of a model on this machine."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lingbot_cli.cli.app import App, option
from lingbot_cli.cli.model_flags import BENCH_FLAGS
from lingbot_cli.cli.options import Quality, Size
from lingbot_cli.console import print_json
from lingbot_cli.env import Env
from lingbot_cli.runtime.model_options import ModelOptions

if TYPE_CHECKING:
    from lingbot_cli.checkpoints.checkpoint import Checkpoint
    from lingbot_cli.diagnostics.bench import BenchResult

app = App()


@app.command()
def bench(
    ctx: typer.Context,
    model: Annotated[ModelOptions, BENCH_FLAGS],
    chunks: Annotated[
        int, option("--chunks", "Chunks to measure once the window is full.", min=1, max=10_000)
    ] = 8,
    size: Size = None,
    random_weights: Annotated[
        bool,
        option(
            "--random-weights",
            "Make random weights of the model's shape on the device; nothing is downloaded.",
            panel="Model",
        ),
    ] = False,
    quality: Quality = "web",
    as_json: Annotated[bool, option("--json", "Print JSON.", panel="Display")] = False,
    markdown: Annotated[bool, option("--markdown", "Print a Markdown table.", panel="Display")] = False,
    compare: Annotated[
        tuple[Path, Path] | None,
        option("--compare", "Compare two files that --json printed; nothing is measured."),
    ] = None,
) -> None:
    """Measure each phase of a chunk, the first frame, the speed of playback and the memory.

    Chunks are measured once the window is full, when each costs what every later one costs. The video goes into
    an MP4 file that is removed.

    Example: lingbot bench --model lingbot-world-v2-1.3b-causal-fast --random-weights --size 832x480
    """
    from lingbot_cli.diagnostics.bench_report import compare_results, read_results, result_rows

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
