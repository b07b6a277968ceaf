"""`lingbot timeline show`: the camera's way from above."""

from pathlib import Path
from typing import Annotated

import typer

from lingbot_cli.cli.app import App
from lingbot_cli.cli.options import (
    AllowOutside,
    Overwrite,
    PresetName,
    TimelineOrMoves,
    names_file,
    preset_of,
)
from lingbot_cli.env import Env
from lingbot_cli.errors import UsageError
from lingbot_cli.files import write_file

app = App()


@app.command()
def show(
    ctx: typer.Context,
    file: TimelineOrMoves,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Draw into this .svg file.")] = None,
    overwrite: Overwrite = False,
    preset: PresetName = "built-in",
    allow_outside: AllowOutside = False,
) -> None:
    """Show where the camera goes, where it looks and what happens, from above.

    Example: lingbot timeline show recipes/first-walk.yaml -o walk.svg
    """
    from lingbot_cli.drawing.top_view import scene_maps, svg_map, text_map
    from lingbot_cli.timeline.resolve import TimelineOverrides, resolve_timeline

    env: Env = ctx.obj
    if output is not None and output.suffix != ".svg":
        raise UsageError(f"{output} is not a .svg name", hint="a drawing is an SVG: name it walk.svg")
    is_file = names_file(file)
    made = resolve_timeline(
        preset_of(preset).chunk,
        timeline=file if is_file else None,
        moves=None if is_file else file,
        flags=TimelineOverrides(allow_outside=allow_outside),
        stdin=env.read_stdin,
    )
    drawn, fps = scene_maps(made.compiled), made.compiled.grid.fps
    if output is None:
        width = max(20, min(env.out.width - 1, 100)) if env.out.is_terminal else 72
        for number, scene in enumerate(drawn):
            lines = [""] if number else []
            for line in lines + text_map(scene, fps, width):
                env.out.print(line, markup=False, soft_wrap=True)
        return
    write_file(output, svg_map(drawn, fps, file), overwrite=overwrite)
    env.out.print(
        f"{output}: {len(drawn)} scene{'s' if len(drawn) > 1 else ''}", markup=False, soft_wrap=True
    )
