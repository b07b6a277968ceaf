"""`lingbot show`: how a film was made."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from lingbot_cli.cli.app import App
from lingbot_cli.cli.options import Overwrite
from lingbot_cli.env import Env
from lingbot_cli.files import write_file

app = App()


@app.command()
def show(
    ctx: typer.Context,
    film: Annotated[Path, typer.Argument(help="A film made with lingbot.")],
    timeline: Annotated[
        str | None, typer.Option(help="Write the film's timeline to this file, or to - for standard output.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the recipe as JSON.")] = False,
) -> None:
    """Print the recipe a film carries and the command that renders it again.

    Example: lingbot show walk.mp4 --timeline walk.yaml
    """
    from lingbot_cli.render.metadata import read_recipe
    from lingbot_cli.sinks.ffmetadata import read_tags
    from lingbot_cli.sinks.ffmpeg_binary import find_ffmpeg

    env: Env = ctx.obj
    recipe = read_recipe(read_tags(find_ffmpeg(env.environ), film), film)
    if timeline is not None:
        _write_timeline(env, recipe, film, timeline, overwrite)
    if as_json:
        env.out.file.write(json.dumps(recipe, ensure_ascii=False, indent=2) + "\n")
    elif timeline is None:
        _print(env.out, recipe, film)


def _write_timeline(env: Env, recipe: dict[str, Any], film: Path, target: str, overwrite: bool) -> None:
    from lingbot_cli.errors import UsageError

    if recipe["timeline"] is None:
        raise UsageError(f"{film} was made without a timeline", hint="`lingbot show` prints its command")
    if target == "-":
        env.out.file.write(recipe["timeline"])
    else:
        write_file(Path(target), recipe["timeline"], overwrite=overwrite)


def _print(out: Console, recipe: dict[str, Any], film: Path) -> None:
    """Print the recipe for people."""
    from lingbot_cli.render.metadata import recipe_command

    model, versions = recipe["model"], recipe["versions"]
    rows = {"model": f"{model['preset']['name']} ({model['identity']})"}
    rows |= {name: str(value) for name, value in recipe["flags"].items() if name not in ("timeline", "model")}
    rows |= {"versions": ", ".join(f"{name} {number}" for name, number in versions.items())}
    for name, value in rows.items():
        out.print(f"[bold]{name:>13}[/]  {escape(value)}")
    for path, digest in recipe["files"].items():
        out.print(f"[bold]{'file':>13}[/]  {escape(path)} ({_state(Path(path), digest)})")
    timeline = recipe["flags"].get("timeline")
    again = film.with_name(f"{film.stem}-again{film.suffix}")
    out.print("\nTo render it again:")
    if timeline is not None and not _holds(Path(timeline), recipe["timeline"]):
        kept = film.with_suffix(".jsonl" if timeline == "-" else Path(timeline).suffix)
        out.print(escape(f"  lingbot show {film} --timeline {kept}"))
        timeline = str(kept)
    out.print(escape(f"  {recipe_command(recipe, str(again), timeline)}"))


def _state(path: Path, digest: str) -> str:
    from lingbot_cli.render.metadata import sha256_file

    if not path.is_file():
        return "not here"
    return "unchanged" if sha256_file(path) == digest else "has changed since"


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()
