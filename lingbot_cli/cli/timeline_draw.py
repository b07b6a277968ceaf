"""Drawings of timelines: the camera's path from above, and an animatic."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lingbot_cli.cli.app import option
from lingbot_cli.cli.options import (
    AllowOutside,
    CameraArgument,
    Duration,
    Fps,
    Overwrite,
    PresetName,
    Size,
    camera_source,
    find_preset,
    image_file,
)
from lingbot_cli.env import Env
from lingbot_cli.errors import UsageError
from lingbot_cli.files import write_file
from lingbot_cli.sample_files import complete_names
from lingbot_cli.timeline.times import exact_fps
from lingbot_cli.video_size import fit_size, parse_size

if TYPE_CHECKING:
    import numpy as np

    from lingbot_cli.timeline.resolve import FrameSize, ResolvedTimeline, TimelineOverrides
    from lingbot_cli.timeline.schema import TimelineHeader

DEFAULT_SIZE = (480, 832)
"""Height and width of an animatic without an image, in pixels."""


def show(
    ctx: typer.Context,
    file: CameraArgument,
    output: Annotated[
        Path | None, option("The .svg file to draw.", names="-o --output", default="this terminal")
    ] = None,
    overwrite: Overwrite = False,
    preset: PresetName = "built-in",
    allow_outside: AllowOutside = False,
) -> None:
    """Draw the camera's path, its directions and the events from above.

    Example: lingbot timeline show recipes/first-walk.yaml -o walk.svg
    """
    from lingbot_cli.drawing.top_view import scene_maps, svg_map, text_map
    from lingbot_cli.timeline.resolve import TimelineOverrides

    env: Env = ctx.obj
    if output is not None and output.suffix != ".svg":
        raise UsageError(f"{output} is not a .svg name", hint="use a name such as walk.svg")
    resolved = resolve_camera(env, file, preset, TimelineOverrides(allow_outside=allow_outside))
    maps, fps = scene_maps(resolved.compiled), resolved.compiled.grid.fps
    if output is not None:
        write_file(output, svg_map(maps, fps, file), overwrite=overwrite)
        scenes = f"{len(maps)} scene{'s' if len(maps) > 1 else ''}"
        env.print(f"{output}: {scenes}")
        return
    width = max(20, min(env.out.width - 1, 100)) if env.out.is_terminal else 72
    for number, scene in enumerate(maps):
        if number:
            env.print("")
        env.print(*text_map(scene, fps, width))


def animatic(
    ctx: typer.Context,
    file: CameraArgument,
    output: Annotated[str, option("Video to write, such as walk.mp4.", names="-o --output", metavar="FILE")],
    image: Annotated[
        Path | None,
        option("First frame of the video.", parser=image_file, autocompletion=complete_names, metavar="FILE"),
    ] = None,
    size: Size = None,
    overwrite: Overwrite = False,
    preset: PresetName = "built-in",
    duration: Duration = None,
    fps: Fps = None,
    allow_outside: AllowOutside = False,
) -> None:
    """Render the moves as an animatic in seconds: the camera flies past the image in a gridded space.

    Keys, prompt and time code (hours:minutes:seconds:frames) are drawn on it.

    Example: lingbot timeline animatic recipes/first-walk.yaml -o walk.mp4
    """
    from lingbot_cli.drawing.animatic import animatic_frames
    from lingbot_cli.image import read_image
    from lingbot_cli.sinks.base import Chapter, VideoInfo
    from lingbot_cli.sinks.factory import OutputOptions, choose_sink
    from lingbot_cli.timeline.resolve import TimelineOverrides

    env: Env = ctx.obj
    overrides = TimelineOverrides(fps=fps, duration=duration, allow_outside=allow_outside)
    first = read_image(image) if image is not None else None

    def frame_size(header: "TimelineHeader") -> tuple[int, int]:
        asked = size or header.size
        rows, columns = first.shape[:2] if first is not None else DEFAULT_SIZE
        return parse_size(asked) if asked is not None else fit_size(rows, columns, 832 * 480)

    resolved = resolve_camera(env, file, preset, overrides, frame_size)
    compiled = resolved.compiled
    images = _images(resolved, first, frame_size(resolved.header), Path(file).stem)
    height, width = images[None].shape[:2]
    chapters = tuple(Chapter(marker.start, marker.text) for marker in compiled.markers)
    sink = choose_sink(output, OutputOptions(quality="draft", overwrite=overwrite), env.environ)
    video = VideoInfo(height, width, exact_fps(compiled.grid.fps), compiled.frames, chapters)
    sink.write_video(video, animatic_frames(compiled, images))
    length = compiled.frames / compiled.grid.fps
    env.print(f"{output}: {compiled.frames} frames, {length:.1f} s")


def resolve_camera(
    env: Env, file: str, preset: str, overrides: "TimelineOverrides", size: "FrameSize | None" = None
) -> "ResolvedTimeline":
    """Return the camera of an argument, printing the notes on it; `size` chooses the frames' size."""
    from lingbot_cli.timeline.resolve import resolve_timeline

    resolved = resolve_timeline(
        find_preset(preset).chunk,
        **camera_source(file),
        overrides=overrides,
        stdin=env.read_stdin,
        size=size,
    )
    for warning in resolved.warnings:
        env.note(f"note: {warning}")
    return resolved


def _images(
    resolved: "ResolvedTimeline", first: "np.ndarray | None", size: tuple[int, int], title: str
) -> "dict[Path | None, np.ndarray]":
    """Return the first image of each scene at the video's size, [H, W, 3] uint8, the first under None."""
    from lingbot_cli.drawing.animatic import fit_image, placeholder_image
    from lingbot_cli.image import read_image

    start = placeholder_image(*size, title) if first is None else fit_image(first, *size)
    cuts: dict[Path | None, np.ndarray] = {
        path: fit_image(read_image(path), *size) for _, path in resolved.compiled.cuts
    }
    return {None: start} | cuts
