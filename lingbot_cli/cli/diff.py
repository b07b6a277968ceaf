"""`lingbot diff`: are two films the same, and if not, where and why?"""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from lingbot_cli.cli.app import App
from lingbot_cli.env import Env

if TYPE_CHECKING:
    from lingbot_cli.videos.compare import VideoComparison

app = App()


@app.command()
def diff(
    ctx: typer.Context,
    one: Annotated[Path, typer.Argument(help="A film, or a sequence such as frames/%05d.png.")],
    other: Annotated[Path, typer.Argument(help="The film to hold against it.")],
    psnr: Annotated[
        float | None, typer.Option("--min-psnr", help="Alike is: no frame below so many decibels.")
    ] = None,
    ssim: Annotated[float | None, typer.Option("--min-ssim", help="Alike is: no frame below this.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Compare two films: their lengths, their frames, and the recipes they carry.

    Leaves with 0 when every frame is the same, or as alike as was asked for, and with 1 when not.

    Example: lingbot diff walk.mp4 walk-again.mp4 --min-psnr 35
    """
    from lingbot_cli.sinks.ffmpeg_binary import find_ffmpeg
    from lingbot_cli.videos.compare import compare_videos, metadata_differences

    env: Env = ctx.obj
    ffmpeg = find_ffmpeg(env.environ)
    likeness = compare_videos(
        ffmpeg, one, other, metadata_differences(_recipe(ffmpeg, one), _recipe(ffmpeg, other))
    )
    alike = likeness.is_within(psnr, ssim)
    if as_json:
        env.out.file.write(json.dumps(_facts(likeness, alike)) + "\n")
    else:
        _print(env, likeness, alike)
    if not alike:
        raise typer.Exit(1)


def _recipe(ffmpeg: str, film: Path) -> dict[str, Any]:
    """What a film says it was made from; nothing when it does not say."""
    from lingbot_cli.render.metadata import METADATA_KEY
    from lingbot_cli.sinks.ffmetadata import read_tags

    if "%" in film.name or METADATA_KEY not in (tags := read_tags(ffmpeg, film)):
        return {}
    from lingbot_cli.render.metadata import read_recipe

    return read_recipe(tags, film)


def _facts(likeness: "VideoComparison", alike: bool) -> dict[str, Any]:
    def number(value: float) -> float | None:
        return round(value, 6) if math.isfinite(value) else None

    return {
        "alike": alike,
        "frames": likeness.frames,
        "first": likeness.first_difference,
        "psnr": {"mean": number(likeness.psnr), "least": number(likeness.psnr_min)},
        "ssim": {"mean": number(likeness.ssim), "least": number(likeness.ssim_min)},
        "recipes": likeness.metadata,
    }


def _print(env: Env, likeness: "VideoComparison", alike: bool) -> None:
    first = "none" if likeness.first_difference is None else f"frame {likeness.first_difference}"
    rows = {
        "frames": " and ".join(map(str, likeness.frames)),
        "first difference": first,
        "PSNR": f"{likeness.psnr:.2f} dB, least {likeness.psnr_min:.2f} dB",
        "SSIM": f"{likeness.ssim:.4f}, least {likeness.ssim_min:.4f}",
    }
    for name, (one, other) in likeness.metadata.items():
        rows[name] = f"{one} | {other}"
    rows["verdict"] = "alike" if alike else "not alike"
    for name, value in rows.items():
        env.out.print(f"[bold]{escape(name):>18}[/]  {escape(value)}")
