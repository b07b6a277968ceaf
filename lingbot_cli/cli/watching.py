"""What `--preview` means: who shows the film while it is made, and where the figures then stand."""

import os
from typing import Annotated, Any, ClassVar, Literal

import typer
from rich.console import Console

from lingbot_cli.env import Env
from lingbot_cli.errors import UsageError
from lingbot_cli.sinks.base import Sink
from lingbot_cli.ui.display import Display, JsonDisplay, choose_display

Preview = Annotated[
    Literal["browser", "terminal"] | None,
    typer.Option(help="Show the film while it is made: on a page of this machine (browser), or right here."),
]


class OptionalValues(typer.core.TyperCommand):
    """A command some of whose options may stand alone; then their first value is meant."""

    values: ClassVar[dict[str, tuple[str, ...]]] = {
        "--preview": ("browser", "terminal"),
        "--resume": ("exact", "fast"),
    }

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        spelled = [
            f"{each}={self.values[each][0]}"
            if each in self.values and not {*args[at + 1 : at + 2]} & {*self.values[each]}
            else each
            for at, each in enumerate(args)
        ]
        return super().parse_args(ctx, spelled)


def choose_watching(
    preview: str | None, env: Env, *, quiet: bool, as_json: bool, json_to: Console, typed: bool = False
) -> tuple[Display, Sink | None]:
    """The display, and the sink that shows the film if one is asked for; `typed`: events come from the keyboard.

    Errors: UsageError where a picture in the terminal is in the way of something else, or there is none.
    """
    if preview != "terminal":
        from lingbot_cli.server.browser_preview import BrowserPreview

        display = choose_display(quiet=quiet, as_json=as_json, err=env.err, json_to=json_to)
        return display, BrowserPreview(display.warning) if preview is not None else None
    from lingbot_cli.terminal.preview import TerminalPreview
    from lingbot_cli.terminal.screen import Screen
    from lingbot_cli.terminal.status_line import StatusLineDisplay

    page = "use --preview alone to watch on a page"
    if not env.stderr.isatty():
        raise UsageError("--preview terminal needs a terminal", hint=page)
    if as_json and json_to.file.isatty():
        raise UsageError("--json and the picture would stand in the same terminal", hint=page)
    if typed and env.stdin.isatty():
        raise UsageError("events are typed where the picture would stand", hint=page)
    try:
        # The terminal itself: standard input and output may lead elsewhere.
        terminal = os.open(os.ctermid(), os.O_RDWR | os.O_NOCTTY)
    except OSError as failure:
        raise UsageError(
            f"--preview terminal: the terminal cannot be opened: {failure}", hint=page
        ) from failure
    shown = TerminalPreview(Screen(terminal, terminal))
    below = JsonDisplay(json_to) if as_json else StatusLineDisplay(env.err, shown, quiet=quiet)
    return below, shown
