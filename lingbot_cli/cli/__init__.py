"""Command line: a module a command, groups of options, help, and exit codes of errors.

Commands parse, call and print; what they call lives in the other packages. Nothing here imports torch at import.
"""

import contextlib
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from rich.markup import escape

from lingbot_cli import __version__
from lingbot_cli.cli.app import App, ClickUsageError, Command, SettingsGroup, usage_error
from lingbot_cli.env import Env
from lingbot_cli.errors import LingbotError, OutputError, SetupError, UsageError
from lingbot_cli.redact import redact

# Of each a module in this package holds `app = App()`; the first sentence of its help.
COMMANDS = {
    "render": "Render an image, a prompt and a timeline into a video",
    "batch": "Render every video of a jobs file once: finished ones are skipped, interrupted ones are continued",
    "stream": "Stream a video to RTMP, SRT, WHIP or a file at a steady rate, until its timeline ends or Ctrl-C",
    "play": "Play in a browser on this machine, or in the terminal",
    "serve": "Serve the model over WebSockets, with a page to play it in, until Ctrl-C",
    "samples": "List the sample images and recipes that come with lingbot, or copy them",
    "show": "Print a video's metadata and the command that renders it again",
    "sheet": "Draw frames of one or more videos on a contact sheet",
    "diff": "Compare the lengths, frames and metadata of two videos",
    "camera-check": "Estimate the camera from a video's frames, and compare it with the recorded one",
    "bench": "Measure each phase of a chunk, the first frame, the speed of playback and the memory",
    "timeline": "Write, check, draw and convert timelines; none of it loads a model",
    "config": "Show settings, which replace flags",
    "models": "List, download, verify, convert and remove models",
    "doctor": "Check Python, torch, devices, ffmpeg and its encoders, models and disk, and print remedies",
    "parity": "Replay a recorded case and print each tensor's largest error and its tolerance",
}


def import_command(name: str) -> Any:
    """Import a command's module and return its Click command."""
    return typer.main.get_command(import_module(f"lingbot_cli.cli.{name.replace('-', '_')}").app)


class RootCommands(SettingsGroup):
    """The commands of `lingbot`, each imported when it is called and not for lists of them."""

    brief = False

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        if self.brief:
            return Command(cmd_name, help=COMMANDS[cmd_name])
        command = import_command(cmd_name)
        command.name = cmd_name
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        with self._briefly():
            super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        with self._briefly():
            return super().shell_complete(ctx, incomplete)

    @contextlib.contextmanager
    def _briefly(self) -> Iterator[None]:
        """Let commands have nothing but a name and a summary."""
        self.brief = True
        try:
            yield
        finally:
            self.brief = False


app = App(
    cls=RootCommands,
    add_completion=True,
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
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print tracebacks of errors.")] = False,
) -> None:
    """Render an image, a prompt and a timeline into a video with LingBot world models.

    Example: lingbot render samples/courtyard-day.png --timeline recipes/first-walk.yaml -o walk.mp4
    """
    ctx.obj.debug = debug


def run(argv: Sequence[str], env: Env | None = None) -> int:
    """Run one command line and return its exit code: 0 when all went well, 130 and 143 after a signal."""
    env = env or Env()
    env.argv = tuple(argv)
    try:
        _check_text(argv)
        with contextlib.redirect_stdout(env.out.file):  # Typer prints help there
            return app(args=list(argv), prog_name="lingbot", obj=env, standalone_mode=False) or 0
    except ClickUsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            with contextlib.suppress(OutputError), contextlib.redirect_stderr(env.err.file):
                typer.echo(error.message, err=True)
            return UsageError.exit_code
        _print_error(env, usage_error(error))
        _print_settings(env)
        return UsageError.exit_code
    except SystemExit as finished:  # shell completion
        return finished.code if isinstance(finished.code, int) else int(bool(finished.code))
    except LingbotError as error:
        _print_error(env, error)
        if isinstance(error, UsageError | SetupError):
            _print_settings(env)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):  # before a command handles signals there is nothing to finish
        return 130
    except MemoryError:
        env.err.print("[bold red]error:[/] not enough memory")
        return 6
    except Exception as bug:
        if type(bug).__name__ == "OutOfMemoryError":  # torch's; importing it to name it would cost a second
            env.err.print("[bold red]error:[/] not enough memory on the device")
            return 6
        _print_error(env, bug)
        return 1


def _print_settings(env: Env) -> None:
    """Name the flags that came from settings, which may be the cause of an error."""
    if env.applied_settings:
        with contextlib.suppress(OutputError):
            env.err.print(escape(redact(f"set elsewhere: {', '.join(env.applied_settings)}")))


def _check_text(argv: Sequence[str]) -> None:
    """Refuse bytes that are no text: neither a prompt nor metadata could hold them."""
    for word in argv:
        try:
            word.encode()
        except UnicodeEncodeError as wrong:
            shown = word.encode(errors="backslashreplace").decode()
            raise UsageError(
                f"{shown} is not UTF-8 text", hint="write it in UTF-8, or rename the file"
            ) from wrong


def _print_error(env: Env, error: Exception) -> None:
    if env.debug:
        import traceback

        env.err.print(escape(redact("".join(traceback.format_exception(error)))), end="")
    if isinstance(error, LingbotError):
        message, hint = str(error), error.hint
    else:
        message = f"a bug in lingbot: {type(error).__name__}: {error}"
        hint = "run it again as `lingbot --debug …` and report what it prints"
    with contextlib.suppress(OutputError):  # nobody reads standard error any more
        env.err.print(f"[bold red]error:[/] {escape(redact(message))}")
        if hint:
            env.err.print(f"[bold]hint:[/] {escape(redact(hint))}")
