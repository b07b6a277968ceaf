"""`lingbot bench`: how fast is this machine?"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lingbot_cli.cli.app import App
from lingbot_cli.cli.options import (
    Assets,
    AttentionIn,
    Compile,
    Device,
    Fast,
    Kernel,
    Linears,
    ModelName,
    Precision,
    Threads,
    TinyDecoder,
    Window,
)
from lingbot_cli.env import Env

if TYPE_CHECKING:
    from lingbot_cli.checkpoints.checkpoint import Checkpoint

app = App()


@app.command()
def bench(
    ctx: typer.Context,
    chunks: Annotated[
        int, typer.Option(min=1, max=10_000, help="How many chunks to measure once the window is full.")
    ] = 8,
    size: Annotated[str | None, typer.Option(help="Such as 832x480; multiples of 16.")] = None,
    model: ModelName = None,
    assets: Assets = None,
    random_weights: Annotated[
        bool,
        typer.Option("--random-weights", help="Make the model's shape on the device; nothing is fetched."),
    ] = False,
    device: Device = None,
    precision: Precision = None,
    window: Window = None,
    fast: Fast = False,
    linears: Linears = None,
    attention: AttentionIn = None,
    tiny_decoder: TinyDecoder = None,
    kernel: Kernel = None,
    compile: Compile = None,
    threads: Threads = None,
    quality: Annotated[
        Literal["web", "master", "draft"], typer.Option(help="How the film is written.")
    ] = "web",
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print them as a Markdown table.")] = False,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(help="Two files that --json printed: how they differ.")
    ] = None,
) -> None:
    """Measure each phase of a chunk, the first frame, the speed as played and the memory.

    Chunks are measured once the window is full, when each costs what every later one costs. The film goes into
    an MP4 that is thrown away.

    Example: lingbot bench --model lingbot-world-v2-1.3b-causal-fast --random-weights --size 832x480
    """
    from lingbot_cli.diagnostics.bench import LoadModel, bench_scene, measure
    from lingbot_cli.diagnostics.bench_report import compare_results, read_results, result_rows
    from lingbot_cli.render.request import Request
    from lingbot_cli.runtime.load_model import load_model
    from lingbot_cli.runtime.model_options import ModelOptions
    from lingbot_cli.sinks.factory import OutputOptions, choose_sink

    env: Env = ctx.obj
    if compare is not None:
        before, after = (read_results(path) for path in compare)
        show(
            env,
            ("measurement", *map(str, compare), "speed-up"),
            compare_results(before, after),
            markdown=markdown,
        )
        return
    request = Request(
        Path(),
        size=size,
        options=ModelOptions(
            model=model,
            assets=assets,
            device=device,
            precision=precision,
            window=window,
            fast=fast,
            linears=linears,
            attention=attention,
            tiny_decoder=tiny_decoder,
            kernel=kernel,
            compile=compile,
            threads=threads,
        ),
    )
    checkpoint: Checkpoint | None = None
    make: LoadModel = load_model
    if random_weights:
        from lingbot_cli.model.loading.random_weights import random_checkpoint, random_model

        checkpoint, make = random_checkpoint(model), random_model
    with tempfile.TemporaryDirectory() as folder, bench_scene(request, chunks, checkpoint) as prepared:
        options = OutputOptions(quality=quality, overwrite=True)
        sink = choose_sink(str(Path(folder) / "bench.mp4"), options, env.environ)
        figures = measure(prepared, sink, env.clock, make)
    if as_json:
        env.out.file.write(json.dumps(asdict(figures)) + "\n")
    else:
        show(env, ("measurement", "value"), result_rows(figures), markdown=markdown)


def show(env: Env, heads: Sequence[str], lines: Sequence[Sequence[str]], *, markdown: bool) -> None:
    """Print a table for people or for a page."""
    from rich.table import Table

    if markdown:
        rule = "|---|" + "---:|" * (len(heads) - 1)
        body = ["| " + " | ".join(line) + " |" for line in (("",) * len(heads), *lines)]
        env.out.file.write("\n".join([body[0], rule, *body[1:]]) + "\n")
        return
    table = Table(*heads, title="lingbot bench", title_justify="left")
    for line in lines:
        table.add_row(*line)
    env.out.print(table)
