"""`lingbot timeline convert`: the same film in another form."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lingbot_cli.cli.app import App
from lingbot_cli.cli.options import Overwrite, TimelineOrMoves, names_file
from lingbot_cli.env import Env
from lingbot_cli.errors import UsageError
from lingbot_cli.files import write_file
from lingbot_cli.timeline.diagnostics import TimelineError
from lingbot_cli.timeline.load import Timeline, load_timeline
from lingbot_cli.timeline.moves import format_moves, parse_moves
from lingbot_cli.timeline.schema import CutEvent, PosesEvent
from lingbot_cli.timeline.writer import to_jsonl, to_yaml

Form = Literal["yaml", "jsonl", "moves"]

app = App()


@app.command()
def convert(
    ctx: typer.Context,
    file: TimelineOrMoves,
    to: Annotated[Form | None, typer.Option(help="The form to write; else the output's name tells.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file; else it is printed.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a timeline as YAML, as JSONL or, where it only holds keys, as a string of moves.

    Example: lingbot timeline convert w-10,iw-15,none-10 -o walk.yaml
    """
    env: Env = ctx.obj
    named: dict[str, Form] = {".yaml": "yaml", ".yml": "yaml", ".jsonl": "jsonl", ".txt": "moves"}
    form = to or named.get(output.suffix if output else "")
    if form is None:
        raise UsageError("which form?", hint="give --to yaml, jsonl or moves, or -o NAME.yaml")
    is_file = names_file(file)
    timeline = load_timeline(file, env.read_stdin) if is_file else parse_moves(file)
    if timeline.problems:
        raise TimelineError(timeline.source, list(timeline.problems))
    text = _written(timeline, form)
    if output is None:
        env.out.print(text, end="", markup=False, soft_wrap=True)
        return
    _same_folder(timeline, output)
    write_file(output, text, overwrite=overwrite)


def _written(timeline: Timeline, form: Form) -> str:
    if form == "yaml":
        return to_yaml(timeline)
    if form == "jsonl":
        return to_jsonl(timeline)
    moves = format_moves(timeline)
    if moves is None:
        raise UsageError(
            f"{timeline.source.name} says more than keys one after the other; moves can say only that",
            hint="convert it to yaml or jsonl",
        )
    return moves + "\n"


def _same_folder(timeline: Timeline, output: Path) -> None:
    """Files are named beside a timeline, so one that names files stays in its folder."""
    names = any(isinstance(said.event, PosesEvent | CutEvent) for said in timeline.events)
    if names and output.parent.resolve() != timeline.source.folder.resolve():
        raise UsageError(
            f"{timeline.source.name} names files beside it, which {output} would not find",
            hint=f"write it into {timeline.source.folder}",
        )
