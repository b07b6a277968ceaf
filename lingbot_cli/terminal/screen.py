"""The terminal while a world is shown: taken over on the way in, given back on every way out."""

import contextlib
import os
import re
import select
import termios
import tty
from functools import partial
from types import TracebackType
from typing import Any

from lingbot_cli.ui.signals import on_forced_exit

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"  # the other screen, no cursor
_LEAVE = "\x1b\\\x1b_Ga=d,d=A,q=2\x1b\\\x1b[0m\x1b[?25h\x1b[?1049l"
# A one-pixel kitty picture as a question, then the question every terminal answers.
_QUERY = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c"
_ANSWER = re.compile(r"\x1b\[\?([0-9;]*)c")
ANSWER_TIMEOUT_S = 0.5  # seconds an answer may take, over ssh too


class Screen:
    """Keys come unbuffered and unechoed, the first line is the picture's, the last one ours.

    `source` and `target` are the terminal's file descriptors, to read from and to write to.
    """

    def __init__(self, source: int, target: int) -> None:
        self._in = source
        self._out = target
        self._ends = contextlib.ExitStack()
        self._size = os.get_terminal_size(target)

    def __enter__(self) -> "Screen":
        before = termios.tcgetattr(self._in)
        with contextlib.ExitStack() as ends:
            ends.callback(self._give_back, before)
            ends.enter_context(on_forced_exit(partial(self._give_back, before)))
            tty.setcbreak(self._in)
            mode = termios.tcgetattr(self._in)
            mode[0] &= ~termios.IXON  # Ctrl-S would stop the picture and whoever draws it
            mode[6][termios.VSUSP] = b"\0"  # Ctrl-Z would leave the terminal as it is now
            termios.tcsetattr(self._in, termios.TCSANOW, mode)
            self.write(_ENTER)
            self._ends = ends.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    def _give_back(self, before: list[Any]) -> None:
        # Settings first: they matter most, and a terminal that is gone takes no text.
        with contextlib.suppress(OSError, termios.error):
            termios.tcflush(self._in, termios.TCIFLUSH)
            termios.tcsetattr(self._in, termios.TCSANOW, before)
            self.write(_LEAVE)

    def write(self, text: str) -> None:
        """Show text at once."""
        rest = memoryview(text.encode())
        while rest:
            rest = rest[os.write(self._out, rest) :]

    def read(self, patience: float) -> str:
        """What was typed, after waiting for at most so many seconds."""
        ready, _, _ = select.select([self._in], [], [], max(0.0, patience))
        return os.read(self._in, 4096).decode(errors="replace") if ready else ""

    def cells(self) -> tuple[int, int]:
        """Columns and rows for the picture; a changed size clears the screen."""
        size = os.get_terminal_size(self._out)
        if size != self._size:
            self._size = size
            self.write("\x1b[2J")
        return size.columns, max(1, size.lines - 1)

    def line(self, text: str) -> None:
        """Write the last line."""
        columns, rows = self.cells()
        self.write(f"\x1b[{rows + 1};1H\x1b[0m{text[: columns - 1]}\x1b[K")

    def graphics(self) -> str:
        """The best way to show pictures that the terminal says it has: kitty, sixel or blocks."""
        self.write(_QUERY)
        heard = ""
        while not (answer := _ANSWER.search(heard)):
            piece = self.read(ANSWER_TIMEOUT_S)
            if not piece:
                return "blocks"
            heard += piece
        if "\x1b_Gi=31;OK" in heard:
            return "kitty"
        return "sixel" if "4" in answer[1].split(";")[1:] else "blocks"
