"""`lingbot camera-check`: the camera that a video shows, against the one it was rendered for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from lingbot_cli.cli.app import App, option
from lingbot_cli.cli.options import Fps, Overwrite, PrintJson
from lingbot_cli.console import print_json
from lingbot_cli.env import Env
from lingbot_cli.errors import UsageError, write_errors

if TYPE_CHECKING:
    from lingbot_cli.diagnostics.camera_check import CameraCheck, RecordedCamera, SecondCheck

app = App()


@app.command()
def camera_check(
    ctx: typer.Context,
    video: Annotated[Path, typer.Argument(help="A video, or images such as frames/%05d.png.")],
    camera: Annotated[
        str | None,
        option(
            "Camera to compare with: a timeline, camera files or moves.",
            metavar="FILE",
            default="the video's metadata",
        ),
    ] = None,
    max_error: Annotated[float, option("Largest error of the rotation, in degrees a second.", min=0)] = 1.0,
    max_heading_error: Annotated[
        float, option("Largest error of the direction of travel, in degrees.", min=0)
    ] = 10.0,
    max_speed_error: Annotated[float, option("Largest error of the speed, as a share.", min=0)] = 0.25,
    camera_height: Annotated[
        float | None,
        option(
            "Height of the first pose over the ground, in the camera's units: the scale of the frames.",
            min=0.001,
            default="1 for the built-in model, else unknown",
        ),
    ] = None,
    fps: Fps = None,
    plot: Annotated[Path | None, option("Draw the errors of every second.", metavar="FILE.png")] = None,
    overwrite: Overwrite = False,
    as_json: PrintJson = False,
) -> None:
    """Estimate the camera from a video's frames, and compare it with the recorded one.

    Exits with 1 if a second is beyond a limit, or none is clear. Needs `pip install 'lingbot[verify]'`.

    Example: lingbot camera-check walk.mp4 --plot camera.png
    """
    from lingbot_cli.diagnostics.camera_check import Limits, check_camera
    from lingbot_cli.diagnostics.camera_plot import draw_camera_check
    from lingbot_cli.diagnostics.point_tracks import load_opencv
    from lingbot_cli.files import check_new
    from lingbot_cli.sinks.ffmpeg_binary import find_ffmpeg
    from lingbot_cli.videos.read import read_frames

    env: Env = ctx.obj
    load_opencv()
    if plot is not None:
        check_new(plot, overwrite=overwrite)
    ffmpeg = find_ffmpeg(env.environ)
    recorded = _recorded(env, ffmpeg, video, camera, camera_height, fps)
    limits = Limits(max_error, max_heading_error, max_speed_error)
    check = check_camera(read_frames(ffmpeg, video), recorded, limits)
    if plot is not None:
        with write_errors(plot):
            draw_camera_check(check).save(plot, "PNG")
    if as_json:
        print_json(env.out, check.as_dict())
    else:
        _print(env, check)
    if not check.within:
        raise typer.Exit(1)


def _recorded(
    env: Env, ffmpeg: str, video: Path, camera: str | None, height: float | None, fps: float | None
) -> "RecordedCamera":
    """Return the camera to compare with. Errors: UsageError."""
    from lingbot_cli.cli.timeline_draw import resolve_camera
    from lingbot_cli.diagnostics.recorded_camera import camera_of, recorded_camera
    from lingbot_cli.render.metadata import find_recipe
    from lingbot_cli.timeline.resolve import TimelineOverrides

    if camera is None:
        recipe = find_recipe(ffmpeg, video)
        if recipe is None:
            raise UsageError(f"{video}: no camera in its metadata", hint="give the camera with --camera")
        return recorded_camera(recipe, height)
    resolved = resolve_camera(env, camera, "built-in", TimelineOverrides(fps=fps))
    return camera_of(resolved.compiled, height)


def _print(env: Env, check: "CameraCheck") -> None:
    for each in check.seconds:
        env.out.print(escape(_row(each, check.recorded.fps)), soft_wrap=True)
    for spot in check.blind_spots():
        env.out.print(escape(f"note: {spot}"), soft_wrap=True)
    verdict = {
        True: "within the limits",
        False: "beyond the limits",
        None: "unknown: no second is clear enough",
    }
    env.out.print(f"[bold]{verdict[check.within]}[/]")


def _row(check: "SecondCheck", fps: float) -> str:
    parts = [f"{check.start / fps:5.1f}–{check.end / fps:.1f} s"]
    if check.rotation_error is not None:
        parts.append(
            f"turn {check.turned:.1f}° of {check.recorded_turn:.1f}°, "
            f"{check.rotation_error:.2f}°{_doubt(check.turn_doubt)} off"
        )
    if check.heading_error is not None:
        parts.append(f"heading {check.heading_error:.1f}°{_doubt(check.doubt)} off")
    if check.speed is not None:
        parts.append(f"speed {check.speed:.2f}")
    if check.note:
        parts.append(check.note)
    return " · ".join(parts) + (f"  ← {check.problem}" if check.problem else "")


def _doubt(degrees: float) -> str:
    return f" ±{degrees:.0f}°" if degrees >= 1 else ""
