"""`lingbot config show`: what is set, and who set it."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from lingbot_cli.env import Env
from lingbot_cli.settings import PROJECT, SETTINGS, read_settings, user_file

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def config() -> None:
    """Settings instead of flags: flag > LINGBOT_SEED and the like > lingbot.yaml > your own file > default.

    A setting stands for the flag of its name in every command that has one.

    Example: lingbot config show
    """


@app.command()
def show(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Print every setting, its value and where it comes from.

    Example: LINGBOT_SEED=7 lingbot config show
    """
    env: Env = ctx.obj
    found = read_settings(env.environ, Path.cwd())
    rows: dict[str, tuple[Any, str]] = {}
    for name in SETTINGS:
        setting = found.get(name)
        rows[name] = (setting.value, setting.source) if setting else (None, "default")
    if as_json:
        facts = {name: {"value": value, "source": source} for name, (value, source) in rows.items()}
        env.out.print(json.dumps(facts, indent=2), markup=False, soft_wrap=True)
        return
    shown = {name: "–" if value is None else str(value) for name, (value, _) in rows.items()}
    wide = max(map(len, shown.values()))
    for name, (_, source) in rows.items():
        env.out.print(f"{name:<9}  {shown[name]:<{wide}}  {source}", markup=False, soft_wrap=True)
    env.out.print(f"read from ./{PROJECT} and {user_file(env.environ)}", markup=False, soft_wrap=True)
