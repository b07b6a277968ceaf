"""Streams, environment and clock of one run, in one object, so tests need no patching."""

import io
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TextIO, cast

from rich.console import Console

from lingbot_cli.errors import OutputError


class CheckedStream:
    """Text stream whose write errors are OutputErrors that name it."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream = stream
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text. Errors: OutputError."""
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
        raise OutputError(f"{self._name} cannot be written: {failure.strerror}") from failure


@dataclass
class Env:
    """Streams, environment and clock of one run of the program.

    `clock` returns monotonic seconds. `debug` prints tracebacks. `argv` is the command line as given,
    `applied_settings` the flags that settings added to it.
    """

    stdin: TextIO = field(default_factory=lambda: sys.stdin)
    stdout: TextIO = field(default_factory=lambda: sys.stdout)
    stderr: TextIO = field(default_factory=lambda: sys.stderr)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    clock: Callable[[], float] = time.monotonic
    debug: bool = False
    argv: tuple[str, ...] = ()
    applied_settings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.out = self._console(self.stdout, error=False)
        self.err = self._console(self.stderr, error=True)

    def _console(self, stream: TextIO, *, error: bool) -> Console:
        """Return a console: colours and live displays on a terminal, plain unwrapped lines elsewhere."""
        file = cast(TextIO, CheckedStream(stream, "standard error" if error else "standard output"))
        return Console(file=file, stderr=error, highlight=False, soft_wrap=not stream.isatty())

    def read_stdin(self, most: int) -> bytes:
        """Return standard input, at most so many bytes."""
        return self.stdin.buffer.read(most)

    @property
    def stdout_bytes(self) -> BinaryIO:
        """Standard output for frames. Errors: TypeError for a text-only stream."""
        if not isinstance(self.stdout, io.TextIOWrapper):
            raise TypeError("standard output has no binary side")
        return self.stdout.buffer
