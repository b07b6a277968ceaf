"""The terminal while a world is shown: taken over on the way in, given back on every way out."""

import os
import re
import select
import termios
import tty
from types import TracebackType
from typing import Any, TextIO

from lingbot_cli.errors import UsageError

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"  # the other screen, no cursor
_LEAVE = "\x1b_Ga=d,d=A,q=2\x1b\\\x1b[0m\x1b[?25h\x1b[?1049l"
# A one-pixel kitty picture as a question, then the question every terminal answers.
_ASK = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c"
_ANSWER = re.compile(r"\x1b\[\?([0-9;]*)c")
_PATIENCE = 0.5  # seconds an answer may take, over ssh too


class Screen:
    """Keys come unbuffered and unechoed, the first line is the picture's, the last one ours."""

    def __init__(self, stdin: TextIO, stdout: TextIO) -> None:
        if not (stdin.isatty() and stdout.isatty()):
            raise UsageError("--in terminal needs a terminal", hint="leave it out to play in a browser")
        self._in = stdin.fileno()
        self._out = stdout
        self._before: list[Any] = []
        self._size = os.get_terminal_size(stdout.fileno())

    def __enter__(self) -> "Screen":
        self._before = termios.tcgetattr(self._in)
        try:
            tty.setcbreak(self._in)
            mode = termios.tcgetattr(self._in)
            mode[6][termios.VSUSP] = b"\0"  # Ctrl-Z would leave the terminal as it is now
            termios.tcsetattr(self._in, termios.TCSANOW, mode)
            self.write(_ENTER)
        except BaseException:
            self._give_back()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()

    def _give_back(self) -> None:
        # Settings first: they matter most, and a terminal that is gone takes no text.
        try:
            termios.tcsetattr(self._in, termios.TCSAFLUSH, self._before)
            self.write(_LEAVE)
        except (OSError, termios.error):
            return

    def write(self, text: str) -> None:
        """Show text at once."""
        self._out.write(text)
        self._out.flush()

    def read(self, patience: float) -> str:
        """What was typed, after waiting for at most so many seconds."""
        ready, _, _ = select.select([self._in], [], [], max(0.0, patience))
        return os.read(self._in, 4096).decode(errors="replace") if ready else ""

    def cells(self) -> tuple[int, int]:
        """Columns and rows for the picture; a changed size clears the screen."""
        size = os.get_terminal_size(self._out.fileno())
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
        self.write(_ASK)
        heard = ""
        while not (answer := _ANSWER.search(heard)):
            piece = self.read(_PATIENCE)
            if not piece:
                return "blocks"
            heard += piece
        if "\x1b_Gi=31;OK" in heard:
            return "kitty"
        return "sixel" if "4" in answer[1].split(";")[1:] else "blocks"
