"""`lingbot timeline new`: a timeline to begin with, every line explained."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from lingbot_cli.env import Env
from lingbot_cli.errors import OutputError, UsageError

app = typer.Typer(add_completion=False)


@app.command()
def new(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="The .yaml file to write; left out, it is printed.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
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
    try:
        with file.open("w" if overwrite else "x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise UsageError(f"{file} exists", hint="choose another name, or --overwrite") from None
    except OSError as error:
        raise OutputError(f"{file} cannot be written: {error.strerror}") from None
    env.out.print(f"{file}: written; next: lingbot timeline show {file}", markup=False, soft_wrap=True)
