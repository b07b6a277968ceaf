"""`lingbot timeline export`: the camera of every frame, in the published layout."""

from pathlib import Path
from typing import Annotated

import typer

from lingbot_cli.cli.app import App
from lingbot_cli.cli.options import AllowOutside, Duration, Fps, Overwrite, PresetName, preset_of
from lingbot_cli.env import Env
from lingbot_cli.timeline.poses_dir import write_poses_dir
from lingbot_cli.timeline.resolve import TimelineOverrides, resolve_timeline

app = App()


@app.command()
def export(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(help="A timeline; - reads JSONL from standard input.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder to write to.")],
    preset: PresetName = "built-in",
    duration: Duration = None,
    fps: Fps = None,
    allow_outside: AllowOutside = False,
    overwrite: Overwrite = False,
) -> None:
    """Write poses.npy, intrinsics.npy and action.npy, a row a video frame; `--poses` reads them again.

    Example: lingbot timeline export recipes/first-walk.yaml -o camera/
    """
    env: Env = ctx.obj
    flags = TimelineOverrides(duration=duration, fps=fps, allow_outside=allow_outside)
    made = resolve_timeline(preset_of(preset).chunk, timeline=file, flags=flags, stdin=env.read_stdin)
    for path in write_poses_dir(made.compiled, output, overwrite=overwrite):
        env.out.print(f"{path}", markup=False, soft_wrap=True)
