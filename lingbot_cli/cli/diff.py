"""`lingbot diff`: comparison of two videos and their metadata."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from lingbot_cli.cli.app import App, option
from lingbot_cli.cli.options import PrintJson
from lingbot_cli.console import print_json
from lingbot_cli.env import Env

if TYPE_CHECKING:
    from lingbot_cli.videos.compare import VideoComparison

app = App()


@app.command()
def diff(
    ctx: typer.Context,
    one: Annotated[Path, typer.Argument(help="A video, or images such as frames/%05d.png.")],
    other: Annotated[Path, typer.Argument(help="The video to compare it with.")],
    psnr: Annotated[
        float | None,
        option("Least PSNR of every frame, in dB.", names="--min-psnr", metavar="DB", default="equal frames"),
    ] = None,
    ssim: Annotated[
        float | None, option("Least SSIM of every frame.", names="--min-ssim", default="equal frames")
    ] = None,
    as_json: PrintJson = False,
) -> None:
    """Compare the lengths, frames and metadata of two videos.

    Exits with 0 if every frame is equal, or reaches --min-psnr and --min-ssim, else with 1.

    Example: lingbot diff walk.mp4 walk-again.mp4 --min-psnr 35
    """
    from lingbot_cli.render.metadata import find_recipe
    from lingbot_cli.sinks.ffmpeg_binary import find_ffmpeg
    from lingbot_cli.videos.compare import compare_videos, metadata_differences

    env: Env = ctx.obj
    ffmpeg = find_ffmpeg(env.environ)
    recipes = [find_recipe(ffmpeg, video, whole=False) or {} for video in (one, other)]
    comparison = compare_videos(ffmpeg, one, other, metadata_differences(*recipes))
    alike = comparison.is_within(psnr, ssim)
    if as_json:
        print_json(env.out, _facts(comparison, alike))
    else:
        _print(env, comparison, alike)
    if not alike:
        raise typer.Exit(1)


def _facts(comparison: "VideoComparison", alike: bool) -> dict[str, Any]:
    def number(value: float) -> float | None:
        return round(value, 6) if math.isfinite(value) else None

    return {
        "alike": alike,
        "frames": comparison.frames,
        "first": comparison.first_difference,
        "psnr": {"mean": number(comparison.psnr), "least": number(comparison.psnr_min)},
        "ssim": {"mean": number(comparison.ssim), "least": number(comparison.ssim_min)},
        "metadata": comparison.metadata,
    }


def _print(env: Env, comparison: "VideoComparison", alike: bool) -> None:
    first = "none" if comparison.first_difference is None else f"frame {comparison.first_difference}"
    rows = {
        "frames": " and ".join(map(str, comparison.frames)),
        "first difference": first,
        "PSNR": f"{comparison.psnr:.2f} dB, least {comparison.psnr_min:.2f} dB",
        "SSIM": f"{comparison.ssim:.4f}, least {comparison.ssim_min:.4f}",
    }
    for name, (one, other) in comparison.metadata.items():
        rows[name] = f"{one} | {other}"
    rows["verdict"] = "alike" if alike else "not alike"
    for name, value in rows.items():
        env.out.print(f"[bold]{escape(name):>18}[/]  {escape(value)}")
