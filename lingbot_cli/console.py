"""Console: text of any origin without terminal escapes, in the stream's encoding, and JSON in plain ASCII."""

import codecs
import errno
import io
import json
import os
import re
import sys
import threading
from collections.abc import Iterable
from typing import Any, TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from lingbot_cli.errors import OutputError
from lingbot_cli.redact import redact_values

# Control characters but tab and newline, and those that reorder the text around them.
_UNPRINTABLE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_ASCII = str.maketrans(
    {"·": "-", "×": "x", "…": "...", "→": "->", "–": "-", "—": "-", "▏": "|", "²": "2", "≤": "<="}
)


def printable(text: str) -> str:
    r"""Return text with its control characters as escapes such as `\x1b`."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def print_json(console: Console, value: object, *, indent: int | None = None) -> None:
    """Print a value as ASCII JSON, without secrets."""
    console.file.write(json.dumps(redact_values(value), indent=indent) + "\n")
    console.file.flush()


def open_closed_streams() -> None:
    """Open the standard streams that the caller closed, so that no file or socket takes their descriptors.

    Input is empty, errors are discarded, and writing to standard output fails.
    """
    flags = {0: os.O_RDONLY, 1: os.O_RDONLY, 2: os.O_WRONLY}
    for fd, flag in flags.items():
        try:
            os.fstat(fd)
        except OSError:  # the lowest free descriptor is the one that is missing
            os.open(os.devnull, flag)
            os.set_inheritable(fd, True)
    sys.stdin = sys.stdin or open(0, encoding="utf-8")  # noqa: SIM115
    # Line buffering: a failing write is seen where it happens.
    sys.stdout = sys.stdout or io.TextIOWrapper(io.FileIO(1, "w"), "utf-8", line_buffering=True)
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8")  # noqa: SIM115


class SafeConsole(Console):
    """Console whose printed text holds no control characters but its own."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


def make_console(stream: TextIO, name: str, *, error: bool) -> Console:
    """Return a console: colours and live displays on a terminal, plain unwrapped lines elsewhere.

    Write errors are OutputErrors that give the stream's `name`.
    """
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=_replace_unencodable.__name__)
    file = cast(TextIO, _CheckedStream(stream, name))
    return SafeConsole(file=file, stderr=error, highlight=False, soft_wrap=not stream.isatty())


class _CheckedStream:
    """Text stream whose write errors are OutputErrors that name it."""

    buffer = None  # Click would write UTF-8 to it, whatever the stream's encoding

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream = stream
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text. Errors: OutputError."""
        if text == "":  # Click's probe for a text stream, to which a full disk is an answer too
            return 0
        try:
            return self._stream.write(text)
        except OSError as failure:
            self._fail(failure)
            return len(text)

    def flush(self) -> None:
        """Flush the stream. Errors: OutputError."""
        try:
            self._stream.flush()
        except OSError as failure:
            self._fail(failure)

    def _fail(self, failure: OSError) -> None:
        # A background thread would die in silence; the main one fails at its next line.
        if threading.current_thread() is not threading.main_thread():
            return
        # The interpreter would flush the rest again at exit.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)
        if isinstance(failure, BrokenPipeError):
            raise OutputError(f"{self._name} was closed by its reader") from failure
        if failure.errno == errno.EBADF:
            raise OutputError(f"{self._name} is closed") from failure
        raise OutputError(f"{self._name} cannot be written: {failure.strerror}") from failure


def _replace_unencodable(error: UnicodeError) -> tuple[str, int]:
    """Return a plain replacement for text that the stream's encoding lacks, and where to continue."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end].translate(_ASCII)
    return text.encode("ascii", "backslashreplace").decode(), error.end


codecs.register_error(_replace_unencodable.__name__, _replace_unencodable)
