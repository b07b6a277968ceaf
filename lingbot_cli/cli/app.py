"""Typer with this program's help, groups of options, settings as flags, and suggestions for misspelt names."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from lingbot_cli.cli.help import argument_name, help_text
from lingbot_cli.cli.option_groups import expand_groups
from lingbot_cli.config import SETTINGS, check_names, check_settings, read_settings
from lingbot_cli.env import Env
from lingbot_cli.errors import UsageError

ClickUsageError: Any = typer.BadParameter.__base__
"""Base of Click's complaints about a command line, wherever Typer has it from."""

HELP_NAMES = {"-h", "--help", "--help-all"}
_EVERYTHING = "lingbot.help_all"


def _show_everything(ctx: typer.Context, wanted: bool) -> None:
    if wanted:
        ctx.meta[_EVERYTHING] = True
        typer.echo(ctx.get_help())
        raise typer.Exit()


HelpAll = Annotated[
    bool,
    typer.Option(
        "--help-all", is_eager=True, callback=_show_everything, help="Show this message with every option."
    ),
]


class _PlainHelp:
    """Help in this program's format."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(help_text(self, ctx, everything=ctx.meta.get(_EVERYTHING, False)))


class Command(_PlainHelp, typer.core.TyperCommand):
    """A command, some of whose options may stand without a value; then the first one is meant."""

    optional_values: ClassVar[dict[str, tuple[str, ...]]] = {
        "--preview": ("browser", "terminal"),
        "--resume": ("exact", "fast"),
    }

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        values = self.optional_values
        spelled = [
            f"{word}={values[word][0]}"
            if word in values and not {*args[at + 1 : at + 2]} & {*values[word]}
            else word
            for at, word in enumerate(args)
        ]
        return super().parse_args(ctx, spelled)


class Group(_PlainHelp, typer.core.TyperGroup):
    """A group of commands that answers a misspelt name with the nearest."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        names = self.list_commands(ctx)
        if not ctx.resilient_parsing and args[0] not in names:
            near = get_close_matches(args[0], names, n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"use one of {', '.join(names)}"
            raise UsageError(f"no such command '{args[0]}'", hint=hint)
        return super().resolve_command(ctx, args)


class SettingsGroup(Group):
    """A group of commands whose flags may come from settings."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command, with the settings before its own arguments, whose flags win."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and not ctx.resilient_parsing and not HELP_NAMES & set(rest):
            rest = [*_setting_flags(command, ctx.obj, rest), *rest]
        return name, command, rest


class CommandTable(SettingsGroup):
    """A group whose commands are imported when they are called."""

    table: ClassVar[dict[str, str]]

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.table:
            return None
        command = typer.main.get_command(import_module(self.table[cmd_name]).app)
        command.name = cmd_name
        return command


class App(typer.Typer):
    """A Typer application; parameters of its commands may be groups of options."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**{"cls": Group, "add_completion": False, **how})

    def command(self, *args: Any, **how: Any) -> Any:
        """Register a function as a command; it stays callable with its groups."""
        register = super().command(*args, cls=Command, **how)

        def add(function: Callable[..., None]) -> Callable[..., None]:
            register(expand_groups(function, HelpAll))
            return function

        return add


def usage_error(error: Any) -> UsageError:
    """Return Click's complaint in this program's words: `--fps: …`, and the nearest option as its hint."""
    kind, param = type(error).__name__, getattr(error, "param", None)
    hint = f"`{error.ctx.command_path} --help` lists its options" if error.ctx else None
    if kind == "NoSuchOption":
        near = get_close_matches(error.option_name, error.possibilities or (), n=1, cutoff=0)
        hint = f"did you mean '{near[0]}'?" if near else hint
        return UsageError(f"no such option '{error.option_name}'", hint=hint)
    if kind == "BadOptionUsage":
        problem = error.message.removeprefix(f"Option {error.option_name!r} ").rstrip(".")
        return UsageError(f"{error.option_name} {problem}", hint=hint)
    message = error.message.removeprefix("Value error, ").partition(", unable to parse")[0].rstrip(".")
    message = message[:1].lower() + message[1:]
    if param is None:
        return UsageError(
            message.replace("got unexpected extra argument(s)", "unexpected arguments"), hint=hint
        )
    name = param.opts[-1] if param.param_type_name == "option" else argument_name(param)
    return UsageError(
        f"{name} is required" if kind == "MissingParameter" else f"{name}: {message}", hint=hint
    )


def _setting_flags(command: Any, env: Env, words: Sequence[str]) -> list[str]:
    """Return the flag of each setting that the command has and `words` leave out. Errors: UsageError."""
    options = {option.name for option in command.params} & set(SETTINGS)
    options -= {word.removeprefix("--").partition("=")[0] for word in words}
    if not options:
        return []
    found = {name: each for name, each in read_settings(env.environ, Path.cwd()).items() if name in options}
    check_settings(found)
    check_names(env.environ)
    env.applied_settings = tuple(f"--{name} {each.value} ({each.source})" for name, each in found.items())
    return [f"--{name}={each.value}" for name, each in found.items()]
