"""`lingbot config`: settings and their sources."""

from pathlib import Path

import typer

from lingbot_cli.cli.app import App
from lingbot_cli.cli.options import PrintJson
from lingbot_cli.console import print_json
from lingbot_cli.env import Env

app = App(no_args_is_help=True)


@app.callback()
def config() -> None:
    """Show settings, which replace flags.

    A setting is the flag of its name in every command that has one. Order: flag, variable such as LINGBOT_SEED,
    lingbot.yaml, the user's file, default.

    Example: lingbot config show
    """


@app.command()
def show(ctx: typer.Context, as_json: PrintJson = False) -> None:
    """Print every setting and variable with its value and source. Exits with 2 if one is wrong.

    Example: LINGBOT_SEED=7 lingbot config show
    """
    from lingbot_cli.config import (
        PROJECT_FILE,
        SETTINGS,
        VARIABLES,
        Setting,
        check_names,
        check_settings,
        check_variables,
        read_settings,
        user_file,
    )

    env: Env = ctx.obj
    found = read_settings(env.environ, Path.cwd())
    rows = {name: found.get(name, Setting(known.default, "default")) for name, known in SETTINGS.items()}
    for name, known in VARIABLES.items():
        value = env.environ.get(name)
        shown = "set, not shown" if known.secret else value
        rows[name] = Setting(shown, name) if value else Setting(known.default, "default")
    if as_json:
        facts = {name: {"value": row.value, "source": row.source} for name, row in rows.items()}
        print_json(env.out, facts, indent=2)
    else:
        wide, values = max(map(len, rows)), max(len(str(row.value)) for row in rows.values())
        for name, row in rows.items():
            line = f"{name:<{wide}}  {row.value!s:<{values}}  {row.source}"
            env.print(line)
        files = f"read from ./{PROJECT_FILE} and {user_file(env.environ)}"
        env.print(files)
    check_settings(found)
    check_names(env.environ)
    check_variables(env.environ)
