"""`lingbot timeline check`: is everything in these timelines right?"""

import json
from typing import Annotated

import typer

from lingbot_cli.cli.app import App
from lingbot_cli.cli.options import AllowOutside, PresetName, preset_of
from lingbot_cli.env import Env
from lingbot_cli.errors import UsageError
from lingbot_cli.timeline.chunks import split_into_chunks
from lingbot_cli.timeline.diagnostics import Problem, SourceText, TimelineError
from lingbot_cli.timeline.load import load_timeline
from lingbot_cli.timeline.schedule import TimelineSchedule, schedule_timeline
from lingbot_cli.timeline.schema import CutEvent
from lingbot_cli.timeline.times import format_clock
from lingbot_cli.timeline.warnings import find_warnings

app = App()


@app.command()
def check(
    ctx: typer.Context,
    files: Annotated[list[str], typer.Argument(help="Timelines; - reads JSONL from standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print what is found as JSON.")] = False,
    preset: PresetName = "built-in",
    allow_outside: AllowOutside = False,
) -> None:
    """Check timelines: every error at once, each as file:line:col. Leaves with 2 when there is one.

    Example: lingbot timeline check recipes/*.yaml
    """
    env: Env = ctx.obj
    chunk = preset_of(preset).chunk
    wrong = 0
    reports: list[dict[str, object]] = []
    for file in files:
        try:
            timeline = load_timeline(file, env.read_stdin)
            made = schedule_timeline(timeline, chunk, allow_outside=allow_outside)
        except TimelineError as error:
            wrong += len(error.problems)
            reports.append({"file": file, "errors": [p.as_dict(error.source) for p in error.problems]})
            if not as_json:
                _say(env, "\n".join(error.rendered))
            continue
        except UsageError as error:
            wrong += 1
            reports.append({"file": file, "errors": [{"file": file, "message": str(error)}]})
            if not as_json:
                _say(env, f"{error}" + (f"; {error.hint}" if error.hint else ""))
            continue
        said = find_warnings(made)
        reports.append(_report(file, made, timeline.source, said))
        if not as_json:
            lines = timeline.source.text.split("\n")
            env.out.print(_summary(file, made), markup=False, soft_wrap=True)
            for note in said:
                env.out.print("note: " + note.render(timeline.source, lines), markup=False, soft_wrap=True)
    if as_json:
        env.out.print(json.dumps(reports, indent=2), markup=False, soft_wrap=True)
    elif wrong:
        _say(env, f"{wrong} error{'s' if wrong > 1 else ''}")
    if wrong:
        raise typer.Exit(2)


def _say(env: Env, text: str) -> None:
    env.err.print(text, markup=False, soft_wrap=True)


def _chunks(made: TimelineSchedule) -> int:
    cuts = sorted(s.start for s in made.events if isinstance(s.event, CutEvent))
    return len(split_into_chunks(made.frames, made.grid.chunk, cuts))


def _summary(file: str, made: TimelineSchedule) -> str:
    length = format_clock(made.grid.seconds(made.frames))
    return (
        f"{file}: good, {len(made.events)} events, {length}, {made.frames} frames at {made.grid.fps} fps, "
        f"{_chunks(made)} chunks"
    )


def _report(file: str, made: TimelineSchedule, source: SourceText, said: list[Problem]) -> dict[str, object]:
    return {
        "file": file,
        "errors": [],
        "notes": [note.as_dict(source) for note in said],
        "events": len(made.events),
        "frames": made.frames,
        "fps": made.grid.fps,
        "seconds": made.grid.seconds(made.frames),
        "chunks": _chunks(made),
    }
