"""`lingbot bench`: how fast is this machine?"""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from lingbot_cli.env import Env

app = typer.Typer(add_completion=False)


@app.command()
def bench(
    ctx: typer.Context,
    chunks: Annotated[int, typer.Option(min=1, max=10_000, help="How many chunks to measure.")] = 8,
    size: Annotated[str | None, typer.Option(help="Such as 832x480; multiples of 16.")] = None,
    model: Annotated[
        str | None, typer.Option(help="A model's folder or name; else the built-in one.")
    ] = None,
    assets: Annotated[Path | None, typer.Option(help="Where a model's text encoder and VAE lie.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda:1; else the best there is.")] = None,
    precision: Annotated[
        Literal["float32", "bfloat16", "float16"] | None, typer.Option(help="What the world computes in.")
    ] = None,
    quality: Annotated[
        Literal["web", "master", "draft"], typer.Option(help="How the film is written.")
    ] = "web",
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print them as a Markdown table.")] = False,
) -> None:
    """Measure each phase of a chunk, the first frame, the speed as played and the memory.

    The first chunk warms up and is left out. The film goes into an MP4 that is thrown away.
    """
    from rich.table import Table

    from lingbot_cli.run.bench import measure, rows, walk
    from lingbot_cli.run.request import Request
    from lingbot_cli.sinks.choose import OutputOptions, choose_sink

    env: Env = ctx.obj
    request = Request(Path(), size=size, model=model, assets=assets, device=device, precision=precision)
    with tempfile.TemporaryDirectory() as folder, walk(request, chunks) as prepared:
        options = OutputOptions(quality=quality, overwrite=True)
        sink = choose_sink(str(Path(folder) / "bench.mp4"), options, env.environ)
        figures = measure(prepared, sink, env.clock)
    if as_json:
        env.out.file.write(json.dumps(asdict(figures)) + "\n")
    elif markdown:
        lines = ["| | |", "|---|---:|", *(f"| {what} | {value} |" for what, value in rows(figures))]
        env.out.file.write("\n".join(lines) + "\n")
    else:
        table = Table("what", "how much", title="lingbot bench", title_justify="left")
        for row in rows(figures):
            table.add_row(*row)
        env.out.print(table)
