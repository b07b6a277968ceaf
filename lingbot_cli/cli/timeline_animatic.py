"""`lingbot timeline animatic`: the moves as a film, before any world is asked."""

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lingbot_cli.cli.app import App
from lingbot_cli.cli.options import (
    AllowOutside,
    Duration,
    Fps,
    Overwrite,
    PresetName,
    TimelineOrMoves,
    names_file,
    preset_of,
)
from lingbot_cli.env import Env

if TYPE_CHECKING:
    import numpy as np

app = App()


@app.command()
def animatic(
    ctx: typer.Context,
    file: TimelineOrMoves,
    output: Annotated[str, typer.Option("-o", "--output", help="The resolve_timeline, such as walk.mp4.")],
    image: Annotated[
        Path | None, typer.Option(help="The picture the resolve_timeline will begin from.")
    ] = None,
    size: Annotated[str | None, typer.Option(help="Such as 832x480; multiples of 16.")] = None,
    overwrite: Overwrite = False,
    preset: PresetName = "built-in",
    duration: Duration = None,
    fps: Fps = None,
    allow_outside: AllowOutside = False,
) -> None:
    """Film the moves in seconds: the picture stands in a gridded space and the camera flies as it will.

    Keys, prompt and time code (hours:minutes:seconds:frames) are drawn on it.

    Example: lingbot timeline animatic recipes/first-walk.yaml -o walk.mp4
    """
    from lingbot_cli.drawing.animatic import animatic_frames as frames_of
    from lingbot_cli.drawing.animatic import fit_image, placeholder_image
    from lingbot_cli.image import read_image
    from lingbot_cli.sinks.base import Chapter, VideoInfo
    from lingbot_cli.sinks.factory import OutputOptions, choose_sink
    from lingbot_cli.timeline.resolve import TimelineOverrides, resolve_timeline
    from lingbot_cli.video_size import fit_size, parse_size

    env: Env = ctx.obj
    is_file = names_file(file)
    made = resolve_timeline(
        preset_of(preset).chunk,
        timeline=file if is_file else None,
        moves=None if is_file else file,
        flags=TimelineOverrides(fps=fps, duration=duration, allow_outside=allow_outside),
        stdin=env.read_stdin,
    )
    track = made.compiled
    first = read_image(image) if image is not None else None
    asked = size or made.header.size
    rows, columns = first.shape[:2] if first is not None else (480, 832)
    height, width = parse_size(asked) if asked is not None else fit_size(rows, columns, 832 * 480)
    pictures: dict[Path | None, np.ndarray] = {None: placeholder_image(height, width, Path(file).stem)}
    if first is not None:
        pictures[None] = fit_image(first, height, width)
    pictures.update({path: fit_image(read_image(path), height, width) for _, path in track.cuts})
    chapters = tuple(Chapter(marker.start, marker.text) for marker in track.markers)
    sink = choose_sink(output, OutputOptions("draft", None, None, None, overwrite), env.environ)
    try:
        sink.open(VideoInfo(height, width, Fraction(track.grid.fps), track.frames, chapters))
        for frames in frames_of(track, pictures):
            sink.write(frames)
        sink.close()
    except BaseException:
        sink.abort()
        raise
    length = track.frames / track.grid.fps
    env.out.print(f"{output}: {track.frames} frames, {length:.1f} s", markup=False, soft_wrap=True)
