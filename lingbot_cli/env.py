"""Streams, environment and clock of one run, in one object, so tests need no patching."""

import io
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, TextIO

from lingbot_cli.console import make_console


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
        self.out = make_console(self.stdout, "standard output", error=False)
        self.err = make_console(self.stderr, "standard error", error=True)

    def print(self, *lines: str) -> None:
        """Print lines as they are to standard output, neither coloured nor folded."""
        for line in lines:
            self.out.print(line, markup=False, soft_wrap=True)

    def note(self, *lines: str) -> None:
        """Print lines as they are to standard error."""
        for line in lines:
            self.err.print(line, markup=False, soft_wrap=True)

    def read_stdin(self, most: int) -> bytes:
        """Return standard input, at most so many bytes."""
        return self.stdin.buffer.read(most)

    @property
    def stdout_bytes(self) -> BinaryIO:
        """Standard output for frames. Errors: TypeError for a text-only stream."""
        if not isinstance(self.stdout, io.TextIOWrapper):
            raise TypeError("standard output has no binary side")
        return self.stdout.buffer
