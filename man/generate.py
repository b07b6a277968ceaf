"""Manual pages of lingbot, written from the help of its commands: python man/generate.py man

`lingbot.1` lists the commands; each has a page with all of its options, those of --help-all included.
"""

import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Any

import typer

from lingbot_cli import __version__
from lingbot_cli.cli import COMMANDS, app
from lingbot_cli.cli.help import help_sections

EXITS = (
    ("0", "done"),
    ("1", "a bug"),
    ("2", "wrong usage, or an error in a timeline or jobs file"),
    ("3", "a model, device or ffmpeg that is missing"),
    ("4", "an output that cannot be written"),
    ("5", "a stream that was lost"),
    ("6", "not enough memory"),
    ("130, 143", "ended by a signal; what was written plays"),
)


def main(folder: Path) -> None:
    """Write every page into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    root = typer.main.get_command(app)
    ctx = root.make_context("lingbot", [], resilient_parsing=True)
    (folder / "lingbot.1").write_text(page(root, ctx, COMMANDS), "utf-8")
    for name in COMMANDS:
        command = root.get_command(ctx, name)
        inner = command.context_class(command, info_name=name, parent=ctx)
        (folder / f"lingbot-{name}.1").write_text(page(command, inner), "utf-8")


def page(command: Any, ctx: Any, pages: tuple[str, ...] = ()) -> str:
    """Return the page of a command; its sub-commands are sections unless they have `pages` of their own."""
    name = ctx.command_path.replace(" ", "-")
    summary, _, _ = cleandoc(command.help).partition("\n")
    lines = [f'.TH {name.upper()} 1 "" "lingbot {__version__}"', ".SH NAME"]
    lines += [f"{escape(name)} \\- {escape(summary.rstrip('.'))}"]
    lines += body(command, ctx)
    for inner in () if pages else getattr(command, "list_commands", lambda _: ())(ctx):
        child = command.get_command(ctx, inner)
        below = child.context_class(child, info_name=inner, parent=ctx)
        lines += [
            f".SH {escape(below.command_path.upper())}",
            *body(child, below, heading=".SS"),
        ]
    lines += [".SH EXIT STATUS", *rows(EXITS), ".SH SEE ALSO"]
    others = (f"lingbot-{each}" for each in pages) if pages else ("lingbot",)
    return "\n".join([*lines, ", ".join(f"\\fB{escape(other)}\\fR(1)" for other in others)]) + "\n"


def body(command: Any, ctx: Any, *, heading: str = ".SH") -> Iterator[str]:
    """Yield usage, description, example, arguments and options."""
    words = [
        param.metavar or param.name.upper() for param in command.params if param.param_type_name == "argument"
    ]
    yield f"{heading} {'SYNOPSIS' if heading == '.SH' else 'Usage'}"
    yield escape(" ".join([ctx.command_path, "[OPTIONS]", *words]))
    yield f"{heading} {'DESCRIPTION' if heading == '.SH' else 'Description'}"
    text, _, example = cleandoc(command.help).partition("Example: ")
    for paragraph in text.strip().split("\n\n"):
        yield ".PP"
        yield escape(" ".join(paragraph.split()))
    for title, entries in help_sections(command, ctx, everything=True).items():
        yield f'{heading} "{escape(title.upper() if heading == ".SH" else title)}"'
        yield from rows(entries)
    if example:
        yield f"{heading} {'EXAMPLE' if heading == '.SH' else 'Example'}"
        yield from (".nf", escape(example.strip()), ".fi")


def rows(entries: Any) -> Iterator[str]:
    """Yield a list of terms and their descriptions."""
    for term, description in entries:
        yield from (".TP", f"\\fB{escape(term.strip())}\\fR", escape(" ".join(description.split())))


def escape(text: str) -> str:
    """Return text as roff prints it, its hyphens as they are typed."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    main(Path(sys.argv[1]))
