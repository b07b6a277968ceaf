"""`lingbot sheet`: frames of films on one picture."""

import math
from pathlib import Path
from typing import Annotated

import typer

from lingbot_cli.cli.app import App
from lingbot_cli.env import Env

app = App()


@app.command()
def sheet(
    ctx: typer.Context,
    films: Annotated[list[Path], typer.Argument(help="Films, or sequences such as frames/%05d.png.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The PNG to write.")] = Path("sheet.png"),
    frames: Annotated[
        int | None, typer.Option(min=1, max=1000, help="How many of each film: 12 of one, else 4 of each.")
    ] = None,
    columns: Annotated[
        int | None, typer.Option(min=1, max=100, help="Pictures in a row; else a film a row, or a square.")
    ] = None,
    width: Annotated[int, typer.Option(min=16, max=4096, help="How wide each picture is, in pixels.")] = 240,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Put frames of one film, or of many, on a contact sheet.

    Example: lingbot sheet films/*.mp4 -o seeds.png --frames 1
    """
    from lingbot_cli.errors import write_errors
    from lingbot_cli.files import check_new
    from lingbot_cli.sinks.ffmpeg_binary import find_ffmpeg
    from lingbot_cli.videos import contact_sheet as sheets

    env: Env = ctx.obj
    check_new(output, overwrite=overwrite)
    each = frames or (12 if len(films) == 1 else 4)
    ffmpeg = find_ffmpeg(env.environ)
    tiles = [tile for film in films for tile in sheets.sample_tiles(ffmpeg, film, each, width)]
    if columns is None:
        columns = each if len(films) > 1 and each > 1 else math.ceil(math.sqrt(len(tiles)))
    with write_errors(output):
        sheets.draw_contact_sheet(tiles, columns).save(output, "PNG")
    env.err.print(f"{output}: {len(tiles)} pictures of {len(films)} film{'s' if len(films) > 1 else ''}")
