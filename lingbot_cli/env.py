"""Everything a command touches outside the program, in one object, so tests need no patching."""

import io
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, TextIO

from rich.console import Console


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
        self.out = self._console(self.stdout)
        self.err = self._console(self.stderr)

    def _console(self, stream: TextIO) -> Console:
        """Colours and live displays on a terminal, plain unwrapped lines elsewhere."""
        if stream.isatty():
            return Console(file=stream, highlight=False)
        return Console(file=stream, highlight=False, soft_wrap=True)

    @property
    def stdout_bytes(self) -> BinaryIO:
        """Standard output for frames; a text-only stream is a programming error."""
        if not isinstance(self.stdout, io.TextIOWrapper):
            raise TypeError("standard output has no binary side")
        return self.stdout.buffer
