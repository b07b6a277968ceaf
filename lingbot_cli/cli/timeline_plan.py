"""`lingbot timeline plan`: what a timeline will be, chunk by chunk."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from lingbot_cli.cli.app import App
from lingbot_cli.cli.options import AllowOutside, Duration, Fps, PresetName, preset_of
from lingbot_cli.env import Env
from lingbot_cli.plan import PlannedChunk, format_chunk_table, plan_chunks
from lingbot_cli.timeline.compile import CompiledTimeline, compile_timeline
from lingbot_cli.timeline.load import load_timeline
from lingbot_cli.timeline.schedule import schedule_timeline
from lingbot_cli.timeline.times import format_clock
from lingbot_cli.timeline.warnings import find_warnings

app = App()


@app.command()
def plan(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(help="A timeline; - reads JSONL from standard input.")],
    preset: PresetName = "built-in",
    duration: Duration = None,
    fps: Fps = None,
    prompt: Annotated[str | None, typer.Option(help="The first prompt; wins over the header.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
    allow_outside: AllowOutside = False,
) -> None:
    """Show each chunk of a timeline's film: its frames, its time, the motion, the prompt, cuts and markers.

    Example: lingbot timeline plan recipes/first-walk.yaml
    """
    env: Env = ctx.obj
    timeline = load_timeline(file, env.read_stdin)
    made = schedule_timeline(
        timeline, preset_of(preset).chunk, fps=fps, duration=duration, allow_outside=allow_outside
    )
    track = compile_timeline(made, prompt=prompt)
    chunks = plan_chunks(track)
    if as_json:
        env.out.print(json.dumps(_report(preset, track, chunks), indent=2), markup=False, soft_wrap=True)
        return
    for line in format_chunk_table(chunks, track.grid.fps):
        env.out.print(line, markup=False, soft_wrap=True)
    env.out.print(_total(preset, track, chunks), markup=False, soft_wrap=True)
    lines = timeline.source.text.split("\n")
    for note in find_warnings(made):
        env.out.print("note: " + note.render(timeline.source, lines), markup=False, soft_wrap=True)


def _total(preset: str, track: CompiledTimeline, chunks: tuple[PlannedChunk, ...]) -> str:
    scenes = sum(chunk.cut is not None for chunk in chunks if chunk.start) + 1
    length = format_clock(track.frames / track.grid.fps)
    return (
        f"{length}: {track.frames} frames at {track.grid.fps} fps in {len(chunks)} chunks of "
        f"{track.grid.chunk} latent frames, {scenes} scene{'s' if scenes > 1 else ''} ({preset})"
    )


def _report(preset: str, track: CompiledTimeline, chunks: tuple[PlannedChunk, ...]) -> dict[str, object]:
    return {
        "preset": preset,
        "fps": track.grid.fps,
        "frames": track.frames,
        "seconds": track.frames / track.grid.fps,
        "chunks": [{**asdict(chunk), "cut": str(chunk.cut) if chunk.cut else None} for chunk in chunks],
    }
