"""A live timeline on standard input, line by line, as it comes."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

from lingbot_cli.timeline.diagnostics import Problem, SourceText, TimelineError
from lingbot_cli.timeline.jsonl_reader import MAX_LINE_LENGTH, JsonLine, parse_json_line
from lingbot_cli.timeline.live import LiveTimeline

STDIN_NAME = "<stdin>"


class EventReader:
    """Lines of JSONL; one that is no JSON is told and skipped, however long it is.

    `read` waits for the next bytes, of any length, and says with none that there are no more.
    """

    def __init__(self, read: Callable[[], bytes], refused: Callable[[int, str], None]) -> None:
        self._read_bytes = read
        self._refused = refused
        self._number = 0
        self._first: tuple[int, str, Any] | None = None
        self._lines = self._read()

    def header(self) -> dict[str, Any]:
        """Wait for the first line: the header if it is one, else nothing and the line is kept."""
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
                self._refused(self._number, f"{STDIN_NAME}:{self._number}: the line is too long")
                continue
            text = data.decode("utf-8", "replace").rstrip("\r\n")
            if not text.strip():
                continue
            value, wrong = parse_json_line(self._number, text)
            if wrong:
                self.refuse(self._number, text, wrong)
            else:
                yield self._number, text, value

    def _split(self) -> Iterator[bytes]:
        """Lines as they come; of one that is too long only so much that this is seen."""
        rest = b""
        while piece := self._read_bytes():
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines
            rest = rest[: MAX_LINE_LENGTH + 1]
        if rest:
            yield rest

    def refuse(self, number: int, text: str, problems: list[Problem]) -> None:
        """Say what is wrong with a line."""
        shown = SourceText(STDIN_NAME, "\n" * (number - 1) + text)
        for problem in problems:
            self._refused(number, problem.render(shown, shown.text.split("\n")))


def apply_events(
    lines: EventReader,
    live: LiveTimeline,
    said: Callable[[int, int, float], None],
    clock: Callable[[], float],
) -> None:
    """Say every line to `live`, in a thread of its own, until the input ends and with it the film."""

    def work() -> None:
        for number, text, value in lines:
            when = clock()
            try:
                said(live.apply_raw(value, JsonLine(number, text)), number, when)
            except TimelineError as error:
                lines.refuse(number, text, error.problems)
        live.close_input()

    threading.Thread(target=work, name="standard input", daemon=True).start()
