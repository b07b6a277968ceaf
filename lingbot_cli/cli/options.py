"""Options that several commands share."""

from typing import Annotated

import typer

from lingbot_cli.errors import UsageError
from lingbot_cli.timeline.times import Time, parse_time
from lingbot_cli.world.presets import PRESETS, Preset


def preset_of(name: str) -> Preset:
    """The preset of a name; UsageError when there is none."""
    if name not in PRESETS:
        raise UsageError(f"there is no preset '{name}'", hint=f"use one of {', '.join(PRESETS)}")
    return PRESETS[name]


def _time(text: str) -> Time:
    try:
        return parse_time(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


PresetName = Annotated[
    str, typer.Option("--preset", help="The model whose chunks count.", autocompletion=lambda: list(PRESETS))
]
AllowOutside = Annotated[
    bool, typer.Option("--allow-outside", help="Let the timeline name files outside its folder.")
]
Duration = Annotated[
    Time | None,
    typer.Option("--duration", parser=_time, metavar="TIME", help="The film's length; wins over the header."),
]
Fps = Annotated[
    int | None, typer.Option("--fps", min=1, max=120, help="Frames a second; wins over the header.")
]
