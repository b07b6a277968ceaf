"""Everything a command touches outside the program, in one object, so tests need no patching."""

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
    """A stream as it is, but for its failures: what cannot be written is an OutputError that names it."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream = stream
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write `text`, or say why it cannot be."""
        try:
            return self._stream.write(text)
        except OSError as failure:
            self._fail(failure)
            return len(text)

    def flush(self) -> None:
        """Pass on what is held back, or say why it cannot be."""
        try:
            self._stream.flush()
        except OSError as failure:
            self._fail(failure)

    def _fail(self, failure: OSError) -> None:
        # A thread would die of it unheard; the next to print is the main one.
        if threading.current_thread() is not threading.main_thread():
            return
        # What is still held back would be tried once more when the program leaves.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        if isinstance(failure, BrokenPipeError):
            raise OutputError(f"nobody reads {self._name} any more") from failure
        raise OutputError(f"{self._name} cannot be written: {failure.strerror}") from failure


@dataclass
class Env:
    """The streams, the environment and the clock of one run of the program.

    `clock` returns monotonic seconds. `debug` lets tracebacks through. `argv` is the command
    line as it was given, `settled` the flags that settings added to it.
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
        """Colours and live displays on a terminal, plain unwrapped lines elsewhere."""
        file = cast(TextIO, CheckedStream(stream, "standard error" if error else "standard output"))
        return Console(file=file, stderr=error, highlight=False, soft_wrap=not stream.isatty())

    def read_stdin(self, most: int) -> bytes:
        """So many bytes of standard input at most."""
        return self.stdin.buffer.read(most)

    @property
    def stdout_bytes(self) -> BinaryIO:
        """Standard output for frames; a text-only stream is a programming error."""
        if not isinstance(self.stdout, io.TextIOWrapper):
            raise TypeError("standard output has no binary side")
        return self.stdout.buffer
