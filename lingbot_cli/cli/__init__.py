"""The command line: one table of commands, and the one place where errors become exit codes."""

import contextlib
import traceback
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer
from rich.markup import escape

from lingbot_cli import __version__
from lingbot_cli.env import Env
from lingbot_cli.errors import LingbotError, OutputError, SetupError, UsageError
from lingbot_cli.redact import redact

# Each module holds `app = typer.Typer(add_completion=False)` with the command (or its sub-commands) and
# imports no torch when it is imported itself, so help stays quick.
COMMANDS: dict[str, str] = {
    "render": "lingbot_cli.cli.render",
    "batch": "lingbot_cli.cli.batch",
    "stream": "lingbot_cli.cli.stream",
    "play": "lingbot_cli.cli.play",
    "serve": "lingbot_cli.cli.serve",
    "show": "lingbot_cli.cli.show",
    "sheet": "lingbot_cli.cli.sheet",
    "diff": "lingbot_cli.cli.diff",
    "bench": "lingbot_cli.cli.bench",
    "timeline": "lingbot_cli.cli.timeline",
    "config": "lingbot_cli.cli.config",
    "models": "lingbot_cli.cli.models",
    "doctor": "lingbot_cli.cli.doctor",
    "parity": "lingbot_cli.cli.parity",
}


_WRONG: Any = typer.BadParameter.__base__  # every complaint about a command line is one


@contextlib.contextmanager
def _complaining() -> Iterator[None]:
    """What is complained of may be an address with a key."""
    try:
        yield
    except _WRONG as wrong:
        wrong.message = redact(wrong.message)
        raise


class CommandTable(typer.core.TyperGroup):
    """A group whose commands are imported when they are asked for."""

    table: ClassVar[dict[str, str]] = COMMANDS

    def make_context(self, *args: Any, **extra: Any) -> Any:
        with _complaining():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        with _complaining():
            return super().invoke(ctx)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.table:
            return None
        command = typer.main.get_command(import_module(self.table[cmd_name]).app)
        command.name = cmd_name
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is called, the settings before its own arguments, whose flags win."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and not ctx.resilient_parsing and not {"-h", "--help"} & set(rest):
            rest = [*_settled(command, ctx.obj, rest), *rest]
        return name, command, rest


def _settled(command: Any, env: Env, said: Sequence[str]) -> list[str]:
    """Each setting as the flag it stands for, where the command has one that is not said. Errors: UsageError."""
    from lingbot_cli.config import SETTINGS, check_names, check_settings, read_settings

    options = {option.name for option in command.params} & set(SETTINGS)
    if not options:
        return []
    options -= {word.removeprefix("--").partition("=")[0] for word in said}
    found = {name: each for name, each in read_settings(env.environ, Path.cwd()).items() if name in options}
    check_settings(found)
    check_names(env.environ)
    env.applied_settings = tuple(f"--{name} {each.value} ({each.source})" for name, each in found.items())
    return [f"--{name}={each.value}" for name, each in found.items()]


app = typer.Typer(
    cls=CommandTable,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lingbot {__version__}")
        raise typer.Exit()


@app.callback()
def main(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    """Render LingBot worlds: an image, a prompt and a timeline become a film.

    Example: lingbot render samples/courtyard-day.png --timeline recipes/first-walk.yaml -o walk.mp4
    """
    ctx.obj.debug = debug


def run(argv: Sequence[str], env: Env | None = None) -> int:
    """Run one command line and return its exit code (see spec: 0 done … 130/143 interrupted)."""
    env = env or Env()
    env.argv = tuple(argv)
    try:
        _check_text(argv)
        app(args=list(argv), prog_name="lingbot", obj=env)
    except SystemExit as finished:
        code = finished.code if isinstance(finished.code, int) else int(bool(finished.code))
        if code == UsageError.exit_code:
            _tell_settled(env)
        return code
    except LingbotError as error:
        _report(env, error)
        if isinstance(error, UsageError | SetupError):
            _tell_settled(env)
        return error.exit_code
    except KeyboardInterrupt:  # before a film hears signals itself there is nothing to finish
        return 130
    except MemoryError:
        env.err.print("[bold red]error:[/] not enough memory")
        return 6
    except Exception as bug:
        if type(bug).__name__ == "OutOfMemoryError":  # torch's; importing it to name it would cost a second
            env.err.print("[bold red]error:[/] not enough memory on the device")
            return 6
        _report(env, bug)
        return 1
    return 0


def _tell_settled(env: Env) -> None:
    """Name the flags that nobody said, whose fault it may be."""
    if env.applied_settings:
        with contextlib.suppress(OutputError):
            env.err.print(escape(redact(f"set elsewhere: {', '.join(env.applied_settings)}")))


def _check_text(argv: Sequence[str]) -> None:
    """Refuse bytes that are no text: neither a prompt nor a recipe could hold them."""
    for word in argv:
        try:
            word.encode()
        except UnicodeEncodeError as wrong:
            shown = word.encode(errors="backslashreplace").decode()
            raise UsageError(
                f"{shown} is not UTF-8 text", hint="write it in UTF-8; rename a file so called"
            ) from wrong


def _report(env: Env, error: Exception) -> None:
    """Print an error as a sentence, its hint, and under --debug where it came from."""
    if env.debug:
        env.err.print(escape(redact("".join(traceback.format_exception(error)))), end="")
    if isinstance(error, LingbotError):
        message, hint = str(error), error.hint
    else:
        message = f"a bug in lingbot: {type(error).__name__}: {error}"
        hint = "run it again as `lingbot --debug …` and send us what it prints"
    with contextlib.suppress(OutputError):  # where nobody listens there is nothing to say
        env.err.print(f"[bold red]error:[/] {escape(redact(message))}")
        if hint:
            env.err.print(f"[bold]hint:[/] {escape(redact(hint))}")
