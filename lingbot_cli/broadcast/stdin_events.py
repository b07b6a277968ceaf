"""Live events on standard input, one JSON line each."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

from lingbot_cli.timeline.diagnostics import Problem, SourceText, TimelineError
from lingbot_cli.timeline.jsonl_reader import MAX_LINE_LENGTH, JsonLine, parse_json_line
from lingbot_cli.timeline.live import LiveTimeline

STDIN_NAME = "<stdin>"


class EventReader:
    """Reader of JSON lines; invalid ones, of any length, are reported to `refused` and skipped.

    `read` blocks until the next bytes, of any number, and returns none at the end.
    """

    def __init__(self, read: Callable[[], bytes], refused: Callable[[int, str], None]) -> None:
        self._read_bytes = read
        self._refused = refused
        self._number = 0
        self._first: tuple[int, str, Any] | None = None
        self._lines = self._read()

    def header(self) -> dict[str, Any]:
        """Wait for the first line and return it if it is a header; else it is read as an event."""
        self._first = next(self._lines, None)
        if self._first is None or not (isinstance(self._first[2], dict) and "timeline" in self._first[2]):
            return {}
        header, self._first = self._first[2], None
        return dict(header)

    def __iter__(self) -> Iterator[tuple[int, str, Any]]:
        if self._first is not None:
            yield self._first
        yield from self._lines

    def _read(self) -> Iterator[tuple[int, str, Any]]:
        for data in self._split():
            self._number += 1
            if len(data) > MAX_LINE_LENGTH:
                self._refused(self._number, f"{STDIN_NAME}:{self._number}: line too long")
                continue
            try:
                text = data.decode("utf-8-sig" if self._number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as wrong:
                place = f"{STDIN_NAME}:{self._number}"
                self._refused(self._number, f"{place}: byte {wrong.start + 1} is not UTF-8")
                continue
            if not text.strip():
                continue
            value, problems = parse_json_line(self._number, text)
            if problems:
                self.refuse(self._number, text, problems)
            else:
                yield self._number, text, value

    def _split(self) -> Iterator[bytes]:
        """Yield lines as they arrive; too long ones are cut just above the limit."""
        rest = b""
        while piece := self._read_bytes():
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines
            rest = rest[: MAX_LINE_LENGTH + 1]
        if rest:
            yield rest

    def refuse(self, number: int, text: str, problems: list[Problem]) -> None:
        """Report the problems of a line."""
        shown = SourceText(STDIN_NAME, "\n" * (number - 1) + text)
        for problem in problems:
            self._refused(number, problem.render(shown, shown.text.split("\n")))


def apply_events(
    lines: EventReader,
    live: LiveTimeline,
    received: Callable[[int, int, float], None],
    clock: Callable[[], float],
) -> None:
    """Start a thread that applies every line to `live`, and ends the video at the end of the input."""

    def work() -> None:
        for number, text, value in lines:
            when = clock()
            try:
                received(live.apply_raw(value, JsonLine(number, text)), number, when)
            except TimelineError as error:
                lines.refuse(number, text, error.problems)
        live.close_input()

    threading.Thread(target=work, name="standard input", daemon=True).start()
