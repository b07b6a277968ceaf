"""Groups of options: a dataclass parameter of a command becomes the flags of its fields."""

import inspect
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from typer.models import OptionInfo, ParameterInfo

from lingbot_cli.cli.help import RARE, metavar_of

Flags = Mapping[str, Any]
"""Options by field name, `Annotated[type, option(…)]`, for a dataclass whose fields are not annotated so."""


def option(
    names: str,
    help: str,
    *,
    default: str | None = None,
    panel: str | None = None,
    rare: bool = False,
    **how: Any,
) -> OptionInfo:
    """Return a Typer option with names such as "-o --output", in a panel of the help.

    `default` in words, for an option whose default is None. A `rare` option is listed by --help-all only.
    """
    info: OptionInfo = typer.Option(*names.split(), help=help, show_default=default or True, **how)
    info.rich_help_panel = f"{panel or ''}{RARE if rare else ''}"
    return info


def expand_groups(command: Callable[..., None], help_all: Any) -> Callable[..., None]:
    """Return a command function as Typer reads it, each group of options replaced by its flags.

    A group is a dataclass whose fields are `Annotated[type, option(…)]`, with the panel's title in `panel`,
    or `Annotated[dataclass, flags]` with the flags of the fields that the command offers. A command with rare
    options gets the flag `help_all`.
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
        parameters.append(_parameter("help_all", help_all, False, None))

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
        hint = Annotated[kind, info]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
