"""`lingbot sheet`: frames of videos on a contact sheet."""

import math
from pathlib import Path
from typing import Annotated

import typer

from lingbot_cli.cli.app import App, option
from lingbot_cli.cli.options import Overwrite
from lingbot_cli.env import Env

app = App()


@app.command()
def sheet(
    ctx: typer.Context,
    videos: Annotated[list[Path], typer.Argument(help="Videos, or images such as frames/%05d.png.")],
    output: Annotated[Path, option("PNG file to write.", names="-o --output")] = Path("sheet.png"),
    frames: Annotated[
        int | None, option("Frames per video.", min=1, max=1000, default="12 of one video, else 4")
    ] = None,
    columns: Annotated[
        int | None, option("Frames in a row.", min=1, max=100, default="a video per row, else a square")
    ] = None,
    width: Annotated[int, option("Width of each frame in pixels.", min=16, max=4096, metavar="PIXELS")] = 240,
    overwrite: Overwrite = False,
) -> None:
    """Draw frames of one or more videos on a contact sheet.

    Example: lingbot sheet videos/*.mp4 -o seeds.png --frames 1
    """
    from lingbot_cli.errors import write_errors
    from lingbot_cli.files import check_new
    from lingbot_cli.sinks.ffmpeg_binary import find_ffmpeg
    from lingbot_cli.videos import contact_sheet as sheets

    env: Env = ctx.obj
    check_new(output, overwrite=overwrite)
    each = frames or (12 if len(videos) == 1 else 4)
    ffmpeg = find_ffmpeg(env.environ)
    tiles = [tile for video in videos for tile in sheets.sample_tiles(ffmpeg, video, each, width)]
    if columns is None:
        columns = each if len(videos) > 1 and each > 1 else math.ceil(math.sqrt(len(tiles)))
    with write_errors(output):
        sheets.draw_contact_sheet(tiles, columns).save(output, "PNG")
    env.err.print(f"{output}: {len(tiles)} frames of {len(videos)} video{'s' if len(videos) > 1 else ''}")
