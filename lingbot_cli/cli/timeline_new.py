"""`lingbot timeline new`: a timeline to begin with, every line explained."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from lingbot_cli.cli.app import App
from lingbot_cli.cli.options import Overwrite
from lingbot_cli.env import Env
from lingbot_cli.errors import UsageError
from lingbot_cli.files import write_file

app = App()


@app.command()
def new(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="The .yaml file to write; left out, it is printed.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a first timeline with every kind of event explained.

    Example: lingbot timeline new walk.yaml
    """
    env: Env = ctx.obj
    text = files("lingbot_cli.timeline").joinpath("scaffold.yaml").read_text(encoding="utf-8")
    if file is None:
        env.out.print(text, end="", markup=False, soft_wrap=True)
        return
    if file.suffix not in (".yaml", ".yml"):
        raise UsageError(f"{file} is not a .yaml name", hint="comments live in YAML: name it walk.yaml")
    write_file(file, text, overwrite=overwrite)
    env.out.print(f"{file}: written; next: lingbot timeline show {file}", markup=False, soft_wrap=True)
