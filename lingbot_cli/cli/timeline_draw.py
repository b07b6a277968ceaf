"""Drawings of timelines: the camera's path from above, and an animatic."""

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lingbot_cli.cli.option_groups import option
from lingbot_cli.cli.options import (
    AllowOutside,
    Duration,
    Fps,
    Overwrite,
    PresetName,
    Size,
    TimelineOrMoves,
    find_preset,
    is_timeline_file,
)
from lingbot_cli.env import Env
from lingbot_cli.errors import UsageError
from lingbot_cli.files import write_file
from lingbot_cli.timeline.resolve import ResolvedTimeline, TimelineOverrides, resolve_timeline

if TYPE_CHECKING:
    import numpy as np

DEFAULT_SIZE = (480, 832)
"""Height and width of an animatic without an image, in pixels."""


def show(
    ctx: typer.Context,
    file: TimelineOrMoves,
    output: Annotated[
        Path | None, option("-o --output", "The .svg file to draw.", default="this terminal")
    ] = None,
    overwrite: Overwrite = False,
    preset: PresetName = "built-in",
    allow_outside: AllowOutside = False,
) -> None:
    """Draw the camera's path, its directions and the events from above.

    Example: lingbot timeline show recipes/first-walk.yaml -o walk.svg
    """
    from lingbot_cli.drawing.top_view import scene_maps, svg_map, text_map

    env: Env = ctx.obj
    if output is not None and output.suffix != ".svg":
        raise UsageError(f"{output} is not a .svg name", hint="use a name such as walk.svg")
    resolved = _resolve(env, file, preset, TimelineOverrides(allow_outside=allow_outside))
    maps, fps = scene_maps(resolved.compiled), resolved.compiled.grid.fps
    if output is not None:
        write_file(output, svg_map(maps, fps, file), overwrite=overwrite)
        scenes = f"{len(maps)} scene{'s' if len(maps) > 1 else ''}"
        env.out.print(f"{output}: {scenes}", markup=False, soft_wrap=True)
        return
    width = max(20, min(env.out.width - 1, 100)) if env.out.is_terminal else 72
    for number, scene in enumerate(maps):
        for line in [*([""] if number else []), *text_map(scene, fps, width)]:
            env.out.print(line, markup=False, soft_wrap=True)


def animatic(
    ctx: typer.Context,
    file: TimelineOrMoves,
    output: Annotated[str, option("-o --output", "Video to write, such as walk.mp4.", metavar="FILE")],
    image: Annotated[Path | None, option("--image", "First frame of the video.")] = None,
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
    from lingbot_cli.sinks.base import Chapter, VideoInfo
    from lingbot_cli.sinks.factory import OutputOptions, choose_sink

    env: Env = ctx.obj
    overrides = TimelineOverrides(fps=fps, duration=duration, allow_outside=allow_outside)
    resolved = _resolve(env, file, preset, overrides)
    compiled = resolved.compiled
    images = _images(resolved, image, size or resolved.header.size, Path(file).stem)
    height, width = images[None].shape[:2]
    chapters = tuple(Chapter(marker.start, marker.text) for marker in compiled.markers)
    sink = choose_sink(output, OutputOptions(quality="draft", overwrite=overwrite), env.environ)
    try:
        sink.open(VideoInfo(height, width, Fraction(compiled.grid.fps), compiled.frames, chapters))
        for frames in animatic_frames(compiled, images):
            sink.write(frames)
        sink.close()
    except BaseException:
        sink.abort()
        raise
    length = compiled.frames / compiled.grid.fps
    env.out.print(f"{output}: {compiled.frames} frames, {length:.1f} s", markup=False, soft_wrap=True)


def _resolve(env: Env, file: str, preset: str, overrides: TimelineOverrides) -> ResolvedTimeline:
    is_file = is_timeline_file(file)
    return resolve_timeline(
        find_preset(preset).chunk,
        timeline=file if is_file else None,
        moves=None if is_file else file,
        overrides=overrides,
        stdin=env.read_stdin,
    )


def _images(
    resolved: ResolvedTimeline, image: Path | None, size: str | None, title: str
) -> "dict[Path | None, np.ndarray]":
    """Return the first image of each scene at the video's size, [H, W, 3] uint8, the first under None."""
    from lingbot_cli.drawing.animatic import fit_image, placeholder_image
    from lingbot_cli.image import read_image
    from lingbot_cli.video_size import fit_size, parse_size

    first = read_image(image) if image is not None else None
    rows, columns = first.shape[:2] if first is not None else DEFAULT_SIZE
    height, width = parse_size(size) if size is not None else fit_size(rows, columns, 832 * 480)
    start = placeholder_image(height, width, title) if first is None else fit_image(first, height, width)
    cuts: dict[Path | None, np.ndarray] = {
        path: fit_image(read_image(path), height, width) for _, path in resolved.compiled.cuts
    }
    return {None: start} | cuts
