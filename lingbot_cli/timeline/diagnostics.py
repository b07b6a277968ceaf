"""Where something stands in a timeline, and how it is shown when it is wrong."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from lingbot_cli.errors import UsageError


class SourceLocation(NamedTuple):
    """A line and a column, both from 1, and how many characters to underline."""

    line: int = 1
    column: int = 1
    width: int = 1


KeyPath = tuple[str | int, ...]


class SourceItem(Protocol):
    """One header or event as it was written."""

    def locate(self, path: KeyPath = (), *, key: bool = False) -> SourceLocation:
        """Where the value at `path` stands, or its key; the nearest thing around it when it is missing."""


@dataclass(frozen=True)
class FixedItem:
    """An item known only as one place."""

    location: SourceLocation

    def locate(self, path: KeyPath = (), *, key: bool = False) -> SourceLocation:  # noqa: ARG002 - one place serves all
        return self.location


UNLOCATED = FixedItem(SourceLocation())


@dataclass(frozen=True)
class SourceText:
    """A text and its name; files it names are looked for from `folder`."""

    name: str
    text: str
    folder: Path = field(default_factory=Path)


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong: `message` says what, then after a semicolon what was expected."""

    location: SourceLocation
    message: str

    def render(self, source: SourceText, lines: list[str]) -> str:
        """`file:line:col: what; what was expected`, the line and a caret under it."""
        line, column, width = self.location
        head = f"{source.name}:{line}:{column}: {self.message}"
        if line > len(lines):
            return head
        text = lines[line - 1]
        # A very long line is shown around the place.
        start = max(0, column - 60) if len(text) > 110 else 0
        shown = "".join(c if c.isprintable() else " " for c in text[start : start + 110]).rstrip()
        width = max(1, min(width, len(shown) - (column - 1 - start)))
        margin = " " * len(str(line))
        return f"{head}\n  {line} | {shown}\n  {margin} | {' ' * (column - 1 - start)}{'^' * width}"

    def as_dict(self, source: SourceText) -> dict[str, str | int]:
        """For `--json`."""
        line, column, _ = self.location
        return {"file": source.name, "line": line, "column": column, "message": self.message}


class TooManyProblems(Exception):
    """So much is wrong that more would not help."""


class Problems(list[Problem]):
    """What is wrong so far; raises Enough rather than holding more than `LIMIT`."""

    LIMIT = 1000

    def append(self, problem: Problem) -> None:
        """Add one, if there is room."""
        if len(self) >= self.LIMIT:
            raise TooManyProblems
        super().append(problem)


class TimelineError(UsageError):
    """A timeline with everything that is wrong with it."""

    def __init__(self, source: SourceText, problems: list[Problem]) -> None:
        self.source = source
        self.problems = sorted(set(problems))
        lines = source.text.split("\n")
        self.rendered = [problem.render(source, lines) for problem in self.problems]
        many = len(self.problems)
        count = (
            f"{many} error{'s' if many != 1 else ''}{' or more' * (many >= Problems.LIMIT)} in {source.name}"
        )
        super().__init__("\n".join([count, *self.rendered]))
