"""Diagnostics of a timeline: locations in its source, and problems shown with line, column and caret."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from lingbot_cli.errors import UsageError

_MAX_SHOWN = 110  # characters of a source line
_CONTEXT = 60  # characters shown before the place in a longer line


class SourceLocation(NamedTuple):
    """A line and a column, both from 1, and the number of characters to underline."""

    line: int = 1
    column: int = 1
    width: int = 1


KeyPath = tuple[str | int, ...]


class SourceItem(Protocol):
    """A header or an event in its source."""

    def locate(self, path: KeyPath = (), *, key: bool = False) -> SourceLocation:
        """Return the location of the value at `path`, or of its key; of its parent where it is missing."""


@dataclass(frozen=True)
class FixedItem:
    """An item with one location for all of its parts."""

    location: SourceLocation

    def locate(self, path: KeyPath = (), *, key: bool = False) -> SourceLocation:  # noqa: ARG002 - one for all
        return self.location


UNLOCATED = FixedItem(SourceLocation())


@dataclass(frozen=True)
class SourceText:
    """A text and its name; files that it names are relative to `folder`."""

    name: str
    text: str
    folder: Path = field(default_factory=Path)


@dataclass(frozen=True, order=True)
class Problem:
    """A problem and its location; `message` is `problem; expected …`."""

    location: SourceLocation
    message: str

    def render(self, source: SourceText, lines: list[str]) -> str:
        """Return `file:line:column: message`, the line, and a caret under it."""
        line, column, width = self.location
        head = f"{source.name}:{line}:{column}: {self.message}"
        if line > len(lines):
            return head
        text = lines[line - 1]
        start = max(0, column - _CONTEXT) if len(text) > _MAX_SHOWN else 0
        shown = "".join(c if c.isprintable() else " " for c in text[start : start + _MAX_SHOWN]).rstrip()
        width = max(1, min(width, len(shown) - (column - 1 - start)))
        margin = " " * len(str(line))
        return f"{head}\n  {line} | {shown}\n  {margin} | {' ' * (column - 1 - start)}{'^' * width}"

    def as_dict(self, source: SourceText) -> dict[str, str | int]:
        """Return the problem as `--json` prints it."""
        line, column, _ = self.location
        return {"file": source.name, "line": line, "column": column, "message": self.message}


class TooManyProblems(Exception):
    """The limit of problems in one source is reached."""


class Problems(list[Problem]):
    """The problems of one source; TooManyProblems beyond `LIMIT`."""

    LIMIT = 1000

    def add(self, location: SourceLocation, message: str) -> None:
        self.append(Problem(location, message))

    def append(self, problem: Problem) -> None:
        if len(self) >= self.LIMIT:
            raise TooManyProblems
        super().append(problem)


class TimelineError(UsageError):
    """All problems of a timeline, sorted by location."""

    def __init__(self, source: SourceText, problems: list[Problem]) -> None:
        self.source = source
        self.problems = sorted(set(problems))
        lines = source.text.split("\n")
        self.rendered = [problem.render(source, lines) for problem in self.problems]
        count = len(self.problems)
        noun = f"error{'s' if count != 1 else ''}{' or more' * (count >= Problems.LIMIT)}"
        super().__init__("\n".join([f"{count} {noun} in {source.name}", *self.rendered]))
