"""Terminal screen for frames: switched to raw keys and the alternate screen, restored on every exit."""

import contextlib
import os
import re
import select
from collections.abc import Iterator
from functools import partial
from types import TracebackType
from typing import Any

from lingbot_cli import operating_system
from lingbot_cli.console import printable
from lingbot_cli.ui.progress import fit_line
from lingbot_cli.ui.signals import on_forced_exit

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"  # alternate screen, no cursor
_LEAVE = "\x1b\\\x1b_Ga=d,d=A,q=2\x1b\\\x1b[0m\x1b[?25h\x1b[?1049l"
# A query with a one-pixel kitty image, then one that every terminal answers (device attributes).
_QUERY = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c"
_ANSWER = re.compile(r"\x1b\[\?([0-9;]*)c")
ANSWER_TIMEOUT_S = 0.5  # long enough over ssh


class Screen:
    """Context manager: keys are unbuffered and not echoed, the last line is the status line.

    `input_fd` and `output_fd` are the terminal's file descriptors.
    """

    def __init__(self, input_fd: int, output_fd: int) -> None:
        self._in = input_fd
        self._out = output_fd
        self._cleanup = contextlib.ExitStack()
        self._size = os.get_terminal_size(output_fd)

    def __enter__(self) -> "Screen":
        before = operating_system.terminal_mode(self._in)
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(self._restore, before)
            cleanup.enter_context(on_forced_exit(partial(self._restore, before)))
            operating_system.read_single_keys(self._in)
            self.write(_ENTER)
            self._cleanup = cleanup.pop_all()
        return self

    @contextlib.contextmanager
    def without_echo(self) -> Iterator[None]:
        """Discard the keys typed while the block runs instead of echoing them."""
        before = operating_system.terminal_mode(self._in)
        restore = partial(operating_system.restore_terminal, self._in, before)
        with on_forced_exit(restore):
            operating_system.read_single_keys(self._in)
            try:
                yield
            finally:
                restore()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def _restore(self, before: list[Any]) -> None:
        # Settings first: they matter most, and writing to a closed terminal fails.
        with contextlib.suppress(OSError):
            operating_system.restore_terminal(self._in, before)
            self.write(_LEAVE)

    def write(self, text: str) -> None:
        """Write text, unbuffered."""
        rest = memoryview(text.encode())
        while rest:
            rest = rest[os.write(self._out, rest) :]

    def read(self, timeout_s: float) -> str:
        """Return the input typed so far, after at most `timeout_s` seconds of waiting."""
        ready, _, _ = select.select([self._in], [], [], max(0.0, timeout_s))
        return os.read(self._in, 4096).decode(errors="replace") if ready else ""

    def cells(self) -> tuple[int, int]:
        """Return the columns and rows for a frame; clear the screen after a resize."""
        size = os.get_terminal_size(self._out)
        if size != self._size:
            self._size = size
            self.write("\x1b[2J")
        return size.columns, max(1, size.lines - 1)

    def show_status(self, line: str) -> None:
        """Write the status line; the last parts are left out where it is narrow."""
        columns, rows = self.cells()
        text = fit_line(printable(line), columns - 1)
        self.write(f"\x1b[{rows + 1};1H\x1b[0m{text}\x1b[K")

    def graphics(self) -> str:
        """Query the terminal for its best graphics: kitty, sixel or blocks."""
        self.write(_QUERY)
        received = ""
        while not (answer := _ANSWER.search(received)):
            piece = self.read(ANSWER_TIMEOUT_S)
            if not piece:
                return "blocks"
            received += piece
        if "\x1b_Gi=31;OK" in received:
            return "kitty"
        return "sixel" if "4" in answer[1].split(";")[1:] else "blocks"
