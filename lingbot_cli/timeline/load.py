"""A file becomes a Timeline, or every error in it at once with its place."""

import gc
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lingbot_cli.errors import UsageError
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


@dataclass(frozen=True)
class ParsedEvent:
    """An event and where it was written."""

    event: TimelineEvent
    item: SourceItem


@dataclass(frozen=True)
class Timeline:
    """What was written: the header, the events in their order, and the text they came from.

    `problems` is what was wrong with how it is written; `schedule` adds the rest and raises them all.
    """

    header: TimelineHeader
    events: tuple[ParsedEvent, ...]
    source: SourceText
    header_item: SourceItem = UNLOCATED
    problems: tuple[Problem, ...] = ()


def read_source(path: str, stdin: Callable[[int], bytes] | None = None) -> SourceText:
    """The text of a timeline file or, for `-`, of standard input, read by a count of bytes at most.

    Errors: UsageError when it cannot be read or is too large.
    """
    if path == "-" and stdin is not None:
        name, folder, data = "<stdin>", Path.cwd(), stdin(MAX_BYTES + 1)
    else:
        name, folder = path, Path(path).parent
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
        place = SourceLocation(before.count("\n") + 1, len(before) - before.rfind("\n"))
        shown = SourceText(name, data.decode("utf-8", "replace"), folder)
        message = f"the byte 0x{data[error.start]:02x} is not UTF-8; expected UTF-8 text"
        raise TimelineError(shown, [Problem(place, message)]) from None


def load_timeline(path: str, stdin: Callable[[int], bytes] | None = None) -> Timeline:
    """The timeline in a `.yaml`, `.yml` or `.jsonl` file or, as JSONL, on standard input (`-`)."""
    return parse_timeline(read_source(path, stdin))


def parse_timeline(source: SourceText) -> Timeline:
    """What is sound in a source, and every problem in how it is written."""
    suffix = Path(source.name).suffix.lower()
    if suffix in (".yaml", ".yml"):
        form = _read_yaml
    elif suffix == ".jsonl" or source.name == "<stdin>":
        form = _read_jsonl
    else:
        raise UsageError(
            f"{source.name}: unknown kind of timeline '{suffix}'",
            hint="use .yaml, .yml, .jsonl, or - for standard input",
        )
    problems = Problems()
    try:
        with _paused_gc():
            return form(source, problems)
    except TooManyProblems:
        return Timeline(TimelineHeader(), (), source, problems=tuple(problems))


@contextmanager
def _paused_gc() -> Iterator[None]:
    """Nothing made while reading is garbage, and looking for it again and again takes half the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _read_yaml(source: SourceText, problems: Problems) -> Timeline:
    root = YamlReader(source.text, problems).root
    broken = bool(problems)
    top = root or UNLOCATED
    header, events = TimelineHeader(), root
    if root is not None and isinstance(root.value, dict):
        events = root.children.pop("events", (None, None))[1]
        root.value.pop("events", None)
        if not any(node.invalid for _, node in root.children.values()):
            header = parse_header(root.value, root, problems)
    if events is None or not isinstance(events.value, list):
        if not broken:
            where = (events or top).locate()
            problems.append(
                Problem(where, "no list of events; expected `events:` and lines beginning with `- `")
            )
        return Timeline(header, (), source, top, tuple(problems))
    sound = (node for node in events.children if not node.invalid)
    said = [ParsedEvent(event, node) for node in sound if (event := parse_event(node.value, node, problems))]
    return Timeline(header, tuple(said), source, top, tuple(problems))


def _read_jsonl(source: SourceText, problems: Problems) -> Timeline:
    header, said = TimelineHeader(), []
    top: SourceItem = UNLOCATED
    lines = ((number, text) for number, text in enumerate(source.text.split("\n"), 1) if text.strip())
    for count, (number, text) in enumerate(lines):
        line = JsonLine(number, text)
        value, wrong = parse_json_line(number, text)
        for problem in wrong:
            problems.append(problem)
        if wrong and not re.search(r"^\s*[{\[]", source.text, re.M):
            place, message = problems[-1].location, problems.pop().message
            problems.append(Problem(place, f"{message}; `lingbot timeline convert` makes JSON lines of YAML"))
            break  # another format: every line of it would be wrong in the same way
        if isinstance(value, dict) and "timeline" in value:
            if count == 0:
                header, top = parse_header(value, line, problems), line
            else:
                where = line.locate(("timeline",), key=True)
                problems.append(Problem(where, "a header in the middle; expected it on the first line"))
        elif not wrong and (event := parse_event(value, line, problems)):
            said.append(ParsedEvent(event, line))
        if count > MAX_LINES:
            problems.append(Problem(line.locate(), f"too much; expected at most {MAX_LINES} lines"))
            break
    return Timeline(header, tuple(said), source, top, tuple(problems))
