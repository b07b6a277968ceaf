"""A file becomes a Timeline, or every error in it at once with its place."""

import gc
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lingbot_cli.errors import UsageError
from lingbot_cli.timeline.diagnostics import (
    NOWHERE,
    Enough,
    Item,
    Place,
    Problem,
    Problems,
    Source,
    TimelineError,
)
from lingbot_cli.timeline.jsonl_reader import Line, read_line
from lingbot_cli.timeline.schema import Event, Header
from lingbot_cli.timeline.validate import read_event, read_header
from lingbot_cli.timeline.yaml_reader import Reader

MAX_BYTES = 4 * 1024 * 1024
MAX_LINES = 50_000


@dataclass(frozen=True)
class Said:
    """An event and where it was written."""

    event: Event
    item: Item


@dataclass(frozen=True)
class Timeline:
    """What was written: the header, the events in their order, and the text they came from.

    `problems` is what was wrong with how it is written; `schedule` adds the rest and raises them all.
    """

    header: Header
    said: tuple[Said, ...]
    source: Source
    top: Item = NOWHERE
    problems: tuple[Problem, ...] = ()


def read_source(path: str, stdin: Callable[[int], bytes] | None = None) -> Source:
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
        raise TimelineError(Source(name, ""), [Problem(Place(), message)])
    return _decode(name, data, folder)


def _decode(name: str, data: bytes, folder: Path) -> Source:
    try:
        return Source(name, data.decode("utf-8-sig").replace("\r\n", "\n"), folder)
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        place = Place(before.count("\n") + 1, len(before) - before.rfind("\n"))
        shown = Source(name, data.decode("utf-8", "replace"), folder)
        message = f"the byte 0x{data[error.start]:02x} is not UTF-8; expected UTF-8 text"
        raise TimelineError(shown, [Problem(place, message)]) from None


def load(path: str, stdin: Callable[[int], bytes] | None = None) -> Timeline:
    """The timeline in a `.yaml`, `.yml` or `.jsonl` file or, as JSONL, on standard input (`-`)."""
    return read(read_source(path, stdin))


def read(source: Source) -> Timeline:
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
        with _no_collection():
            return form(source, problems)
    except Enough:
        return Timeline(Header(), (), source, problems=tuple(problems))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Nothing made while reading is garbage, and looking for it again and again takes half the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _read_yaml(source: Source, problems: Problems) -> Timeline:
    root = Reader(source.text, problems).root
    broken = bool(problems)
    top = root or NOWHERE
    header, events = Header(), root
    if root is not None and isinstance(root.value, dict):
        events = root.parts.pop("events", (None, None))[1]
        root.value.pop("events", None)
        if not any(node.broken for _, node in root.parts.values()):
            header = read_header(root.value, root, problems)
    if events is None or not isinstance(events.value, list):
        if not broken:
            where = (events or top).place()
            problems.append(
                Problem(where, "no list of events; expected `events:` and lines beginning with `- `")
            )
        return Timeline(header, (), source, top, tuple(problems))
    sound = (node for node in events.parts if not node.broken)
    said = [Said(event, node) for node in sound if (event := read_event(node.value, node, problems))]
    return Timeline(header, tuple(said), source, top, tuple(problems))


def _read_jsonl(source: Source, problems: Problems) -> Timeline:
    header, said = Header(), []
    top: Item = NOWHERE
    lines = ((number, text) for number, text in enumerate(source.text.split("\n"), 1) if text.strip())
    for count, (number, text) in enumerate(lines):
        line = Line(number, text)
        value, wrong = read_line(number, text)
        for problem in wrong:
            problems.append(problem)
        if wrong and not re.search(r"^\s*[{\[]", source.text, re.M):
            place, message = problems[-1].place, problems.pop().message
            problems.append(Problem(place, f"{message}; `lingbot timeline convert` makes JSON lines of YAML"))
            break  # another format: every line of it would be wrong in the same way
        if isinstance(value, dict) and "timeline" in value:
            if count == 0:
                header, top = read_header(value, line, problems), line
            else:
                where = line.place(("timeline",), key=True)
                problems.append(Problem(where, "a header in the middle; expected it on the first line"))
        elif not wrong and (event := read_event(value, line, problems)):
            said.append(Said(event, line))
        if count > MAX_LINES:
            problems.append(Problem(line.place(), f"too much; expected at most {MAX_LINES} lines"))
            break
    return Timeline(header, tuple(said), source, top, tuple(problems))
