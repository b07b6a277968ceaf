"""Loading of a timeline file (YAML or JSON Lines), with every problem in it and its location."""

import gc
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lingbot_cli.errors import UsageError
from lingbot_cli.files import is_descriptor
from lingbot_cli.timeline.diagnostics import (
    UNLOCATED,
    Problem,
    Problems,
    SourceItem,
    SourceLocation,
    SourceText,
    TimelineError,
    TooManyProblems,
)
from lingbot_cli.timeline.jsonl_reader import JsonLine, parse_json_line
from lingbot_cli.timeline.schema import TimelineEvent, TimelineHeader
from lingbot_cli.timeline.validate import parse_event, parse_header
from lingbot_cli.timeline.yaml_reader import YamlReader

MAX_BYTES = 4 * 1024 * 1024
MAX_LINES = 50_000
_YAML_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class ParsedEvent:
    """An event and its source."""

    event: TimelineEvent
    item: SourceItem


@dataclass(frozen=True)
class Timeline:
    """The header and the events of a source, in their order.

    `problems` are those of its syntax and values; `schedule_timeline` adds the rest and raises them all.
    """

    header: TimelineHeader
    events: tuple[ParsedEvent, ...]
    source: SourceText
    header_item: SourceItem = UNLOCATED
    problems: tuple[Problem, ...] = ()


def read_source(path: str, stdin: Callable[[int], bytes] | None = None) -> SourceText:
    """Read a text file or a pipe, or standard input for `-`; `stdin` returns at most a number of bytes.

    Files that a pipe's text names are relative to the working directory. Errors: UsageError for a file that cannot
    be read or is too large.
    """
    if path == "-" and stdin is not None:
        name, folder, data = "<stdin>", Path.cwd(), stdin(MAX_BYTES + 1)
    else:
        name, folder = path, Path(path).parent if os.path.isfile(path) else Path.cwd()
        try:
            with Path(path).open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            hint = "name a .yaml or .jsonl file"
            raise UsageError(f"{path}: cannot be read: {reason}", hint=hint) from None
    if len(data) > MAX_BYTES:
        message = f"the file is too large; expected at most {MAX_BYTES // 2**20} MiB"
        raise TimelineError(SourceText(name, ""), [Problem(SourceLocation(), message)])
    return _decode_utf8(name, data, folder)


def _decode_utf8(name: str, data: bytes, folder: Path) -> SourceText:
    try:
        return SourceText(name, data.decode("utf-8-sig").replace("\r\n", "\n"), folder)
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        location = SourceLocation(before.count("\n") + 1, len(before) - before.rfind("\n"))
        source = SourceText(name, data.decode("utf-8", "replace"), folder)
        message = f"the byte 0x{data[error.start]:02x} is not UTF-8; expected UTF-8 text"
        raise TimelineError(source, [Problem(location, message)]) from None


def load_timeline(path: str, stdin: Callable[[int], bytes] | None = None) -> Timeline:
    """Load a `.yaml`, `.yml` or `.jsonl` file or, as JSON Lines, standard input (`-`)."""
    return parse_timeline(read_source(path, stdin))


def parse_timeline(source: SourceText) -> Timeline:
    """Parse a source into its valid events and the problems of the others."""
    path = Path(source.name)
    if path.suffix.lower() not in (*_YAML_SUFFIXES, ".jsonl") and path.is_file() and not is_descriptor(path):
        raise UsageError(
            f"{source.name}: unknown kind of timeline '{path.suffix}'",
            hint="use .yaml, .yml, .jsonl, or - for standard input",
        )
    parse = _parse_yaml if is_yaml(source) else _parse_jsonl
    problems = Problems()
    try:
        with _paused_gc():
            return parse(source, problems)
    except TooManyProblems:
        return Timeline(TimelineHeader(), (), source, problems=tuple(problems))


def is_yaml(source: SourceText) -> bool:
    """Return whether a source is YAML, not JSON Lines: by its suffix or, without one, by its first character."""
    suffix = Path(source.name).suffix.lower()
    if suffix in _YAML_SUFFIXES:
        return True
    return suffix != ".jsonl" and source.name != "<stdin>" and not source.text.lstrip().startswith("{")


@contextmanager
def _paused_gc() -> Iterator[None]:
    """Pause garbage collection: parsing makes no garbage, and collecting takes half of its time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _parse_yaml(source: SourceText, problems: Problems) -> Timeline:
    root = YamlReader(source.text, problems).root
    syntax_error = bool(problems)
    item = root or UNLOCATED
    header, events = TimelineHeader(), root
    if root is not None and isinstance(root.value, dict):
        events = root.children.pop("events", (None, None))[1]
        root.value.pop("events", None)
        if not any(node.invalid for _, node in root.children.values()):
            header = parse_header(root.value, root, problems)
    if events is None or not isinstance(events.value, list):
        if not syntax_error:
            message = "no list of events; expected `events:` and lines beginning with `- `"
            problems.add((events or item).locate(), message)
        return Timeline(header, (), source, item, tuple(problems))
    nodes = (node for node in events.children if not node.invalid)
    parsed = [ParsedEvent(event, n) for n in nodes if (event := parse_event(n.value, n, problems))]
    return Timeline(header, tuple(parsed), source, item, tuple(problems))


def _parse_jsonl(source: SourceText, problems: Problems) -> Timeline:
    header, parsed = TimelineHeader(), []
    item: SourceItem = UNLOCATED
    lines = ((number, text) for number, text in enumerate(source.text.split("\n"), 1) if text.strip())
    for count, (number, text) in enumerate(lines, 1):
        line = JsonLine(number, text)
        value, wrong = parse_json_line(number, text)
        for problem in wrong:
            problems.append(problem)
        if wrong and not re.search(r"^\s*[{\[]", source.text, re.M):
            location, message = problems[-1].location, problems.pop().message
            problems.add(location, f"{message}; `lingbot timeline convert` makes JSON lines of YAML")
            break  # another format: every line of it would be wrong in the same way
        if isinstance(value, dict) and "timeline" in value:
            if count == 1:
                header, item = parse_header(value, line, problems), line
            else:
                location = line.locate(("timeline",), key=True)
                problems.add(location, "a header in the middle; expected it on the first line")
        elif not wrong and (event := parse_event(value, line, problems)):
            parsed.append(ParsedEvent(event, line))
        if count > MAX_LINES:
            problems.add(line.locate(), f"too many lines; expected at most {MAX_LINES}")
            break
    return Timeline(header, tuple(parsed), source, item, tuple(problems))
