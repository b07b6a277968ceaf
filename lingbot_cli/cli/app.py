"""Typer with this program's help, groups of options, settings as flags, and suggestions for misspelt names."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args, get_origin, get_type_hints

import typer
from typer.models import OptionInfo, ParameterInfo

from lingbot_cli.cli.help import RARE, argument_name, help_text, metavar_of
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
    typer.Option(is_eager=True, callback=_show_everything, help="Show this message with every option."),
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


class App(typer.Typer):
    """A Typer application; parameters of its commands may be groups of options."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**{"cls": Group, "add_completion": False, **how})

    def command(self, *args: Any, **how: Any) -> Any:
        """Register a function as a command; it stays callable with its groups."""
        register = super().command(*args, cls=Command, **how)

        def add(function: Callable[..., None]) -> Callable[..., None]:
            register(expand_groups(function))
            return function

        return add


Flags = Mapping[str, Any]
"""Options by field name, `Annotated[type, option(…)]`, for a dataclass whose fields are not annotated so."""


def option(
    help: str,
    *,
    names: str = "",
    default: str | None = None,
    panel: str | None = None,
    rare: bool = False,
    **how: Any,
) -> OptionInfo:
    """Return a Typer option, in a panel of the help, with names such as "-o --output" or that of its field.

    `default` in words, for an option whose default is None. A `rare` option is listed by --help-all only.
    """
    info: OptionInfo = typer.Option(help=help, show_default=default or True, **how)
    info.param_decls = tuple(names.split())
    info.rich_help_panel = f"{panel or ''}{RARE if rare else ''}"
    return info


def expand_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command function as Typer reads it, each group of options replaced by its flags.

    A group is a dataclass whose fields are `Annotated[type, option(…)]`, with the panel's title in `panel`,
    or `Annotated[dataclass, flags]` with the flags of the fields that the command offers. A command with rare
    options gets the flag --help-all.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, tuple[type, list[str]]] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        kind, flags = _group(hints[name])
        if flags is None:
            parameters.append(_parameter(name, hints[name], parameter.default, None))
            continue
        groups[name] = kind, list(flags)
        defaults = {field.name: field.default for field in fields(kind)}
        parameters += [
            _parameter(field, hint, defaults[field], getattr(kind, "panel", None))
            for field, hint in flags.items()
        ]

    if any(_is_rare(each.annotation) for each in parameters):
        parameters.append(_parameter("help_all", HelpAll, False, None))

    @wraps(command)
    def call(help_all: bool = False, **given: Any) -> None:
        built = {
            name: kind(**{field: given.pop(field) for field in names})
            for name, (kind, names) in groups.items()
        }
        command(**given, **built)

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {each.name: each.annotation for each in parameters}
    return call


def _group(hint: Any) -> tuple[Any, Flags | None]:
    """Return a parameter's type, and the flags of its fields where it is a group of options."""
    kind, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if not is_dataclass(kind):
        return kind, None
    for extra in extras:
        if isinstance(extra, Mapping):
            return kind, extra
    hints = get_type_hints(kind, include_extras=True)
    return kind, {field.name: hints[field.name] for field in fields(kind)}


def _is_rare(hint: Any) -> bool:
    infos = [extra for extra in get_args(hint)[1:] if isinstance(extra, OptionInfo)]
    return any((info.rich_help_panel or "").endswith(RARE) for info in infos)


def _parameter(name: str, hint: Any, default: Any, panel: str | None) -> inspect.Parameter:
    """Return a parameter for Typer, its panel and the word for its value filled in."""
    if get_origin(hint) is Annotated:
        kind, *extras = get_args(hint)
        info = copy(next(extra for extra in extras if isinstance(extra, ParameterInfo)))
        if isinstance(info, OptionInfo):
            rare = (info.rich_help_panel or "").endswith(RARE)
            title = (info.rich_help_panel or "").removesuffix(RARE) or panel or "Options"
            info.rich_help_panel = f"{title}{RARE if rare else ''}"
            info.metavar = info.metavar or metavar_of(kind)
            info.param_decls = info.param_decls or (f"--{name.replace('_', '-')}",)
        hint = Annotated[kind, info]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


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
    if kind != "MissingParameter":
        return UsageError(f"{name}: {message}", hint=hint)
    _, _, example = (error.ctx.command.help or "").partition("Example: ")
    return UsageError(f"{name} is required", hint=f"such as: {example.strip()}" if example else hint)


def _setting_flags(command: Any, env: Env, words: Sequence[str]) -> list[str]:
    """Return the flag of each setting that the command has and `words` leave out. Errors: UsageError."""
    from lingbot_cli.config import SETTINGS, check_names, check_settings, read_settings

    options = {option.name for option in command.params} & set(SETTINGS)
    options -= {word.removeprefix("--").partition("=")[0] for word in words}
    if not options:
        return []
    found = {name: each for name, each in read_settings(env.environ, Path.cwd()).items() if name in options}
    check_settings(found)
    check_names(env.environ)
    env.applied_settings = tuple(f"--{name} {each.value} ({each.source})" for name, each in found.items())
    return [f"--{name}={each.value}" for name, each in found.items()]
