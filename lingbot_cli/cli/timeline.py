"""`lingbot timeline`: write, check, plan, draw, export and convert timelines; none of it loads a model."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lingbot_cli.camera.convention import ExportFormat
from lingbot_cli.camera.lens import REFERENCE_HEIGHT, REFERENCE_WIDTH
from lingbot_cli.cli.app import App, SettingsGroup, option
from lingbot_cli.cli.options import (
    AllowOutside,
    CameraArgument,
    Duration,
    Fps,
    Overwrite,
    PresetName,
    PrintJson,
    Size,
    TimelineArgument,
    TimelineOrMoves,
    find_preset,
    is_timeline_file,
)
from lingbot_cli.cli.timeline_draw import animatic, resolve_camera, show
from lingbot_cli.console import print_json
from lingbot_cli.env import Env
from lingbot_cli.errors import UsageError
from lingbot_cli.files import write_file
from lingbot_cli.sample_files import PACKAGE, find_inputs
from lingbot_cli.video_size import parse_size

if TYPE_CHECKING:
    from lingbot_cli.timeline.schema import TimelineHeader

Form = Literal["yaml", "jsonl", "moves"]
FORMS: dict[str, Form] = {".yaml": "yaml", ".yml": "yaml", ".jsonl": "jsonl", ".txt": "moves"}

app = App(cls=SettingsGroup, no_args_is_help=True)


@app.callback()
def timeline() -> None:
    """Write, check, draw and convert timelines; none of it loads a model.

    Example: lingbot timeline new walk.yaml
    """


def new(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="The .yaml file to write; left out, it is printed.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a first timeline that explains every kind of event.

    Example: lingbot timeline new walk.yaml
    """
    env: Env = ctx.obj
    text = (PACKAGE / "timeline" / "scaffold.yaml").read_text(encoding="utf-8")
    if file is not None and file.suffix not in (".yaml", ".yml"):
        raise UsageError(
            f"{file} is not a .yaml name", hint="use a name such as walk.yaml: JSONL has no comments"
        )
    _print_or_write(env, text, file, overwrite, f"{file}: written; next: lingbot timeline show {file}")


def schema(
    ctx: typer.Context,
    jobs: Annotated[bool, option("Print the schema of jobs files instead, for `lingbot batch`.")] = False,
    output: Annotated[
        Path | None, option("File to write.", names="-o --output", metavar="FILE", default="standard output")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Print the JSON Schema of timelines, with which editors complete and check them.

    Example: lingbot timeline schema -o timeline.schema.json
    """
    env: Env = ctx.obj
    from lingbot_cli.batch.jobs import jobs_schema
    from lingbot_cli.timeline.schema import timeline_schema

    text = json.dumps(jobs_schema() if jobs else timeline_schema(), indent=2, ensure_ascii=False) + "\n"
    note = f"{output}: written; first line of a timeline: # yaml-language-server: $schema={output}"
    _print_or_write(env, text, output, overwrite, note)


def check(
    ctx: typer.Context,
    files: Annotated[list[str], typer.Argument(help="Timelines; - reads JSONL from standard input.")],
    as_json: PrintJson = False,
    preset: PresetName = "built-in",
    allow_outside: AllowOutside = False,
) -> None:
    """Check timelines and print every error as file:line:col. Exits with 2 if there is one.

    Example: lingbot timeline check recipes/*.yaml
    """
    from lingbot_cli.timeline.check import check_timeline

    env: Env = ctx.obj
    reports, count = [], 0
    for file in (each for name in files for each in find_inputs(name)):
        chunk = find_preset(preset).chunk
        report, errors, lines = check_timeline(file, env.read_stdin, chunk, allow_outside=allow_outside)
        reports.append(report)
        count += errors
        if not as_json:
            for line in lines:
                (env.err if errors else env.out).print(line, markup=False, soft_wrap=True)
    if as_json:
        print_json(env.out, reports, indent=2)
    elif count:
        env.note(f"{count} error{'s' if count > 1 else ''}")
    if count:
        raise typer.Exit(2)


def plan(
    ctx: typer.Context,
    file: TimelineArgument,
    preset: PresetName = "built-in",
    duration: Duration = None,
    fps: Fps = None,
    prompt: Annotated[str | None, option("First prompt.", default="the timeline's")] = None,
    as_json: PrintJson = False,
    allow_outside: AllowOutside = False,
) -> None:
    """Print each chunk of a timeline's video: frames, time, motion, prompt, cuts and markers.

    Example: lingbot timeline plan recipes/first-walk.yaml
    """
    from lingbot_cli.plan import chunks_json, format_chunk_table, plan_chunks, total_line
    from lingbot_cli.timeline.check import find_warnings, warning_lines
    from lingbot_cli.timeline.compile import compile_timeline
    from lingbot_cli.timeline.load import load_timeline
    from lingbot_cli.timeline.schedule import schedule_timeline

    env: Env = ctx.obj
    timeline = load_timeline(file, env.read_stdin)
    schedule = schedule_timeline(
        timeline, find_preset(preset).chunk, fps=fps, duration=duration, allow_outside=allow_outside
    )
    compiled = compile_timeline(schedule, prompt=prompt)
    chunks = plan_chunks(compiled)
    if as_json:
        facts = {
            "preset": preset,
            "fps": compiled.grid.fps,
            "frames": compiled.frames,
            "seconds": compiled.frames / compiled.grid.fps,
            "scale": compiled.scale,
            "steps": asdict(compiled.step_sizes()),
            "paths": [asdict(path) for path in compiled.paths],
            "chunks": chunks_json(chunks),
        }
        print_json(env.out, facts, indent=2)
        return
    warnings = warning_lines(find_warnings(schedule), timeline.source)
    table = format_chunk_table(chunks, compiled.grid.fps)
    env.print(*table, total_line(preset, compiled, chunks), *map(str, compiled.paths), *warnings)


def export(
    ctx: typer.Context,
    file: CameraArgument,
    output: Annotated[Path, option("Folder to write to.", names="-o --output", metavar="FOLDER")],
    form: Annotated[
        ExportFormat,
        option(
            "npy: poses.npy, intrinsics.npy and action.npy; nerfstudio: transforms.json; colmap: a text model; "
            "re10k: RealEstate10K's text.",
            names="--format",
        ),
    ] = "npy",
    size: Size = None,
    preset: PresetName = "built-in",
    duration: Duration = None,
    fps: Fps = None,
    allow_outside: AllowOutside = False,
    overwrite: Overwrite = False,
) -> None:
    """Write the camera of every video frame, one row or entry each; --poses reads every format.

    Example: lingbot timeline export recipes/first-walk.yaml -o camera/
    """
    from lingbot_cli.timeline.poses_dir import write_poses_dir
    from lingbot_cli.timeline.resolve import TimelineOverrides

    env: Env = ctx.obj
    overrides = TimelineOverrides(duration=duration, fps=fps, allow_outside=allow_outside)

    def frame_size(header: "TimelineHeader") -> tuple[int, int]:
        asked = size or header.size
        return (REFERENCE_HEIGHT, REFERENCE_WIDTH) if asked is None else parse_size(asked)

    resolved = resolve_camera(env, file, preset, overrides, frame_size)
    pixels = frame_size(resolved.header)
    for path in write_poses_dir(resolved.compiled, output, form, size=pixels, overwrite=overwrite):
        env.print(f"{path}")


def convert(
    ctx: typer.Context,
    file: TimelineOrMoves,
    to: Annotated[Form | None, option("Form to write.", default="by the output's name")] = None,
    output: Annotated[
        Path | None, option("File to write.", names="-o --output", default="standard output")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a timeline as YAML, as JSONL or, where it only holds keys, as a string of moves.

    Example: lingbot timeline convert w-10,iw-15,none-10 -o walk.yaml
    """
    from lingbot_cli.timeline.diagnostics import TimelineError
    from lingbot_cli.timeline.load import load_timeline
    from lingbot_cli.timeline.moves import parse_moves
    from lingbot_cli.timeline.writer import check_file_names, to_text

    env: Env = ctx.obj
    form = to or FORMS.get(output.suffix if output else "")
    if form is None:
        raise UsageError("--to is required", hint="use --to yaml, jsonl or moves, or -o NAME.yaml")
    timeline = load_timeline(file, env.read_stdin) if is_timeline_file(file) else parse_moves(file)
    if timeline.problems:
        raise TimelineError(timeline.source, list(timeline.problems))
    text = to_text(timeline, form)
    if output is not None:
        check_file_names(timeline, output)
    _print_or_write(env, text, output, overwrite)


def _print_or_write(env: Env, text: str, output: Path | None, overwrite: bool, *notes: str) -> None:
    if output is None:
        env.out.print(text, end="", markup=False, soft_wrap=True)
        return
    write_file(output, text, overwrite=overwrite)
    env.print(*notes)


for _command in (new, schema, check, plan, show, animatic, export, convert):
    app.command()(_command)
