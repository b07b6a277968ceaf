"""`lingbot samples`: the sample images and recipes of the package, listed or copied."""

from pathlib import Path
from typing import Annotated

import typer

from lingbot_cli.cli.app import App
from lingbot_cli.cli.options import Overwrite
from lingbot_cli.env import Env
from lingbot_cli.errors import write_errors
from lingbot_cli.files import check_new, write_file
from lingbot_cli.sample_files import PACKAGE, sample_names, summary

app = App()


@app.command()
def samples(
    ctx: typer.Context,
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Folder to copy them to; left out, they are listed.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """List the sample images and recipes that come with lingbot, or copy them.

    A name such as samples/courtyard-day.png is found in every folder, unless a file of that name is there.

    Example: lingbot samples my-walks
    """
    env: Env = ctx.obj
    names = sample_names()
    if folder is None:
        width = max(map(len, names))
        env.print(*(f"{name:<{width}}  {summary(name)}".rstrip() for name in names))
        return
    for name in names:
        check_new(folder / name, overwrite=overwrite)
    for name in names:
        with write_errors(folder / name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_file(folder / name, (PACKAGE / name).read_bytes())
    env.print(f"{folder}: {len(names)} files; next: cd {folder} && lingbot play")
