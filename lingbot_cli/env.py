"""Everything a command touches outside the program, in one object, so tests need no patching."""

import io
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, TextIO

from rich.console import Console

from lingbot_cli.errors import OutputError


class Printer(Console):
    """A console that says so, with an OutputError, when nobody reads any more what it prints."""

    def on_broken_pipe(self) -> None:
        # A thread would die of it unheard; the next to print is the main one.
        if threading.current_thread() is not threading.main_thread():
            return
        # What is still held back would be tried once more when the program leaves.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)
        name = "error" if self.stderr else "output"
        raise OutputError(f"nobody reads standard {name} any more")


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
    settled: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.out = self._console(self.stdout, error=False)
        self.err = self._console(self.stderr, error=True)

    def _console(self, stream: TextIO, *, error: bool) -> Printer:
        """Colours and live displays on a terminal, plain unwrapped lines elsewhere."""
        return Printer(file=stream, stderr=error, highlight=False, soft_wrap=not stream.isatty())

    def read_stdin(self, most: int) -> bytes:
        """So many bytes of standard input at most."""
        return self.stdin.buffer.read(most)

    @property
    def stdout_bytes(self) -> BinaryIO:
        """Standard output for frames; a text-only stream is a programming error."""
        if not isinstance(self.stdout, io.TextIOWrapper):
            raise TypeError("standard output has no binary side")
        return self.stdout.buffer
