"""`lingbot timeline …`: write, check, draw and change timelines; no world is needed for any of it."""

from typing import ClassVar

from lingbot_cli.cli.app import App, CommandTable


class TimelineCommands(CommandTable):
    """The commands of `lingbot timeline`."""

    table: ClassVar[dict[str, str]] = {
        "new": "lingbot_cli.cli.timeline_new",
        "check": "lingbot_cli.cli.timeline_check",
        "plan": "lingbot_cli.cli.timeline_plan",
        "show": "lingbot_cli.cli.timeline_show",
        "animatic": "lingbot_cli.cli.timeline_animatic",
        "export": "lingbot_cli.cli.timeline_export",
        "convert": "lingbot_cli.cli.timeline_convert",
    }


app = App(cls=TimelineCommands, no_args_is_help=True)


@app.callback()
def timeline() -> None:
    """Write, check, draw and convert timelines; none of it needs a world.

    Example: lingbot timeline new walk.yaml
    """
