"""`lingbot show`: metadata of a video, and the command that renders it again."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from lingbot_cli.camera.scale import StepSizes
from lingbot_cli.cli.app import App, option
from lingbot_cli.cli.options import Overwrite, PrintJson
from lingbot_cli.console import print_json, printable
from lingbot_cli.env import Env
from lingbot_cli.errors import UsageError
from lingbot_cli.files import write_file

app = App()


@app.command()
def show(
    ctx: typer.Context,
    video: Annotated[Path, typer.Argument(help="A video rendered with lingbot.")],
    timeline: Annotated[
        str | None, option("Write the video's timeline to a file, or - for standard output.", metavar="FILE")
    ] = None,
    overwrite: Overwrite = False,
    as_json: PrintJson = False,
) -> None:
    """Print a video's metadata and the command that renders it again.

    Example: lingbot show walk.mp4 --timeline walk.yaml
    """
    from lingbot_cli.render.metadata import read_recipe
    from lingbot_cli.sinks.ffmetadata import read_tags
    from lingbot_cli.sinks.ffmpeg_binary import find_ffmpeg

    env: Env = ctx.obj
    metadata = read_recipe(read_tags(find_ffmpeg(env.environ), video), video)
    if timeline is not None:
        _write_timeline(env, metadata, video, timeline, overwrite)
    if as_json:
        print_json(env.out, metadata, indent=2)
    elif timeline is None:
        _print(env.out, metadata, video)


def _write_timeline(env: Env, metadata: dict[str, Any], video: Path, target: str, overwrite: bool) -> None:
    if metadata["timeline"] is None:
        raise UsageError(f"{video} was rendered without a timeline", hint="`lingbot show` prints its command")
    if target == "-":
        text = metadata["timeline"]
        env.out.file.write(printable(text) if env.out.is_terminal else text)
    else:
        write_file(Path(target), metadata["timeline"], overwrite=overwrite)


def _print(out: Console, metadata: dict[str, Any], video: Path) -> None:
    from lingbot_cli.render.metadata import RECIPE_FLAGS, recipe_command
    from lingbot_cli.timeline.diagnostics import SourceText
    from lingbot_cli.timeline.load import is_yaml

    model, versions = metadata["model"], metadata["versions"]
    rows = {"model": f"{model['preset']['name']} ({model['identity']})"}
    rows |= {
        name: ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in metadata["flags"].items()
        if name not in ("timeline", "model")
    }
    rows |= _camera_rows(metadata.get("camera"))
    rows |= {"versions": ", ".join(f"{name} {number}" for name, number in versions.items())}
    for name, value in rows.items():
        out.print(f"[bold]{name:>13}[/]  {escape(value)}")
    for path, digest in metadata["files"].items():
        out.print(f"[bold]{'file':>13}[/]  {escape(path)} ({_state(Path(path), digest)})")
    timeline = metadata["flags"].get("timeline")
    again = video.with_name(f"{video.stem}-again{video.suffix}")
    out.print("\nTo render it again:")
    if timeline is not None and not _has_text(Path(timeline), metadata["timeline"]):
        text = SourceText("<stdin>" if timeline == "-" else timeline, metadata["timeline"])
        saved = video.with_suffix(".yaml" if is_yaml(text) else ".jsonl")
        command = shlex.join(["lingbot", "show", str(video), "--timeline", str(saved)])
        out.print(f"  {command}", markup=False, soft_wrap=True)
        timeline = str(saved)
    out.print(f"  {recipe_command(metadata, str(again), timeline)}", markup=False, soft_wrap=True)
    if other := sorted(metadata["flags"].keys() - RECIPE_FLAGS):
        out.print(f"left out, as no settings of a video: {', '.join(other)}", markup=False, soft_wrap=True)


def _camera_rows(camera: dict[str, Any] | None) -> dict[str, str]:
    if camera is None:  # written by an earlier version
        return {}
    steps = StepSizes(**camera["steps"])
    rows = {"scale": f"{camera['scale_rule']}, one walking step = {camera['scale']:.4g}, {steps}"}
    for number, path in enumerate(camera["paths"], 1):
        reading = f"{path['format']}, {path['convention']} {path['matrix']}"
        rule = f"scale {path['scale_rule']} = {path['scale']:.4g}"
        rows[f"camera {number}"] = f"{path['file']}: {reading}, {rule}"
    return rows


def _state(path: Path, digest: str) -> str:
    from lingbot_cli.render.metadata import sha256_file

    if not path.is_file():
        return "not here"
    return "unchanged" if sha256_file(path) == digest else "has changed since"


def _has_text(path: Path, text: str) -> bool:
    return (
        path.is_file() and path.read_bytes().decode("utf-8-sig", "replace").splitlines() == text.splitlines()
    )
