"""Help of a command as plain text: usage, summary, then options in panels, two columns wide."""

import shutil
from collections.abc import Iterable
from inspect import cleandoc
from textwrap import wrap
from typing import Any, Literal, get_args, get_origin

import typer

RARE = ", rare"
"""Ending of the panel of an option that only --help-all lists."""

PANELS = (
    "Camera and prompt",
    "Output",
    "Jobs",
    "Workers",
    "Server",
    "Sessions",
    "Model",
    "Speed",
    "Resume",
    "Display",
    "Options",
)
MIN_WIDTH, MAX_WIDTH = 50, 110
MAX_NAMES_WIDTH = 34
"""Columns that the names of options take at most; longer ones stand on a line of their own."""

Row = tuple[str, str]


def help_text(command: Any, ctx: Any, *, everything: bool) -> str:
    """Return the help of a Click command; `everything` lists rare options too."""
    width = max(MIN_WIDTH, min(shutil.get_terminal_size((80, 24)).columns, MAX_WIDTH))
    lines = [
        f"{_heading('Usage')} {ctx.command_path} {_arguments(command)}",
        "",
        *_summary(cleandoc(command.help or ""), width),
    ]
    sections = help_sections(command, ctx, everything=everything)
    longest = max((len(names) for rows in sections.values() for names, _ in rows), default=0)
    column = min(longest, MAX_NAMES_WIDTH) + 4
    for title, rows in sections.items():
        lines += ["", _heading(title)]
        for row in rows:
            lines += _row(row, column, width)
    return "\n".join(lines) + "\n"


def metavar_of(annotation: Any) -> str | None:
    """Return the word for an option's value by its type, None for a flag."""
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)] or [annotation]
    if get_origin(annotation) is Literal:
        return "|".join(map(str, get_args(annotation)))
    if get_origin(annotation) is tuple:
        return " ".join(str(metavar_of(kind)) for kind in get_args(annotation))
    if get_args(annotation):
        return metavar_of(kinds[0])
    names = {"bool": None, "int": "INTEGER", "float": "FLOAT", "Path": "FILE", "Time": "TIME"}
    return names.get(getattr(annotation, "__name__", ""), "TEXT")


def _arguments(command: Any) -> str:
    """Return the rest of the usage line: `[OPTIONS] IMAGE`."""
    words = ["[OPTIONS]"]
    for param in command.params:
        if param.param_type_name == "argument":
            word = f"{argument_name(param)}{'...' if param.nargs == -1 else ''}"
            words.append(word if param.required else f"[{word}]")
    if hasattr(command, "list_commands"):
        words.append("COMMAND")
    return " ".join(words)


def argument_name(param: Any) -> str:
    """Return the word for an argument in help and errors."""
    return param.metavar or param.name.upper()


def _heading(title: str) -> str:
    return typer.style(f"{title}:", bold=True)


def _summary(text: str, width: int) -> list[str]:
    """Fold the paragraphs of a docstring; an example keeps its line."""
    lines: list[str] = []
    for paragraph in text.split("\n\n"):
        is_example = paragraph.startswith("Example: ")
        folded = [paragraph] if is_example else wrap(" ".join(paragraph.split()), width)
        lines += [*([""] if lines else []), *folded]
    return lines


def help_sections(command: Any, ctx: Any, *, everything: bool) -> dict[str, list[Row]]:
    """Return names and descriptions by heading: arguments, commands, and panels of options."""
    sections: dict[str, list[Row]] = {"Arguments": [], "Commands": []}
    hidden = False
    for name in command.list_commands(ctx) if hasattr(command, "list_commands") else ():
        inner = command.get_command(ctx, name)
        sections["Commands"].append((name, inner.get_short_help_str(limit=200).rstrip(".")))
    panels: dict[str, list[Row]] = {panel: [] for panel in PANELS}
    for param in command.get_params(ctx):
        if param.param_type_name == "argument":
            sections["Arguments"].append((argument_name(param), param.help or ""))
            continue
        panel, rare, _ = (getattr(param, "rich_help_panel", None) or "Options").partition(RARE)
        hidden |= bool(rare)
        if not param.hidden and (everything or not rare):
            panels[panel].append((_names(param), _description(param)))
    if not hidden:
        panels["Options"] = [row for row in panels["Options"] if "--help-all" not in row[0]]
    sections |= panels
    return {title: rows for title, rows in sections.items() if rows}


def _names(param: Any) -> str:
    """Return an option's names and the word for its value: `-o, --output FILE`."""
    long = [name for name in param.opts if name.startswith("--")]
    short = [name for name in param.opts if not name.startswith("--")]
    names = ", ".join([*short, *long])
    if param.secondary_opts:
        names += f", {param.secondary_opts[0]}"
    value = "" if param.is_flag or not param.metavar else param.metavar
    joined = f"{names}{value}" if value.startswith("[=") else f"{names} {value}".rstrip()
    return joined if short else f"    {joined}"


def _description(param: Any) -> str:
    text = param.help or ""
    if param.envvar:
        text += f" [env: {param.envvar}]"
    default = param.show_default if isinstance(param.show_default, str) else param.default
    if param.is_flag or default is None or default == "" or callable(default):
        return text
    return f"{text} [default: {default}]"


def _row(row: Row, column: int, width: int) -> Iterable[str]:
    names, description = row
    folded = wrap(description, width - column) or [""]
    first = f"  {typer.style(names.ljust(column - 4), bold=True)}  {folded[0]}".rstrip()
    if len(names) > column - 4:
        first, folded = f"  {typer.style(names, bold=True)}", ["", *folded]
    return [first, *(f"{' ' * column}{line}" for line in folded[1:])]
