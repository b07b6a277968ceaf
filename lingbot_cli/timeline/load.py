"""A file becomes a Timeline, or every error in it at once with its place."""

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lingbot_cli.errors import UsageError
from lingbot_cli.timeline.events import Event, Header
from lingbot_cli.timeline.lines import Line, read_line
from lingbot_cli.timeline.nodes import Node, Reader
from lingbot_cli.timeline.source import NOWHERE, Item, Place, Problem, Source, TimelineError
from lingbot_cli.timeline.validate import read_event, read_header

MAX_BYTES = 4 * 1024 * 1024


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


def read_source(path: str, stdin: Callable[[], bytes] | None = None) -> Source:
    """The text of a timeline file, or of standard input for `-`; UsageError when it cannot be read."""
    if path == "-" and stdin is not None:
        return _decode("<stdin>", stdin(), Path.cwd())
    file = Path(path)
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"{path}: cannot be read: {reason}", hint="name a .yaml or .jsonl file") from None
    if len(data) > MAX_BYTES:
        message = f"the file is too large; expected at most {MAX_BYTES // 2**20} MiB"
        raise TimelineError(Source(path, ""), [Problem(Place(), message)])
    return _decode(path, data, file.parent)


def _decode(name: str, data: bytes, folder: Path) -> Source:
    try:
        return Source(name, data.decode("utf-8-sig").replace("\r\n", "\n"), folder)
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        place = Place(before.count("\n") + 1, len(before) - before.rfind("\n"))
        shown = Source(name, data.decode("utf-8", "replace"), folder)
        message = f"the byte 0x{data[error.start]:02x} is not UTF-8; expected UTF-8 text"
        raise TimelineError(shown, [Problem(place, message)]) from None


def load(path: str, stdin: Callable[[], bytes] | None = None) -> Timeline:
    """The timeline in a `.yaml`, `.yml` or `.jsonl` file or, as JSONL, on standard input (`-`)."""
    return read(read_source(path, stdin))


def read(source: Source) -> Timeline:
    """What is sound in a source, and every problem in how it is written."""
    suffix = Path(source.name).suffix.lower()
    with _no_collection():
        if suffix in (".yaml", ".yml"):
            return _read_yaml(source)
        if suffix == ".jsonl" or source.name == "<stdin>":
            return _read_jsonl(source)
    raise UsageError(
        f"{source.name}: unknown kind of timeline '{suffix}'",
        hint="use .yaml, .yml, .jsonl, or - for standard input",
    )


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


def _read_yaml(source: Source) -> Timeline:
    reader = Reader(source.text)
    problems, root = reader.problems, reader.root
    broken = bool(problems)
    top = root or NOWHERE
    header, events = Header(), root
    if root is not None and isinstance(root.value, dict):
        events = root.value.pop("events", (None, None))[1]
        header = _header(root, problems)
    if events is None or not isinstance(events.value, list):
        if not broken:
            where = (events or top).place()
            problems.append(
                Problem(where, "no list of events; expected `events:` and lines beginning with `- `")
            )
        return Timeline(header, (), source, top, tuple(problems))
    sound = ((node.plain(), node) for node in events.value if not node.broken())
    said = tuple(_events(sound, problems))
    return Timeline(header, said, source, top, tuple(problems))


def _header(node: Node, problems: list[Problem]) -> Header:
    if node.broken():
        return Header()
    return read_header(node.plain(), node, problems)


def _read_jsonl(source: Source) -> Timeline:
    problems: list[Problem] = []
    header, items = Header(), []
    top: Item = NOWHERE
    first = True
    for number, text in enumerate(source.text.split("\n"), 1):
        if not text.strip():
            continue
        value, wrong = read_line(number, text)
        problems.extend(wrong)
        line = Line(number, text)
        if isinstance(value, dict) and "timeline" in value:
            if first:
                header, top = read_header(value, line, problems), line
            else:
                where = line.place(("timeline",), key=True)
                problems.append(Problem(where, "a header in the middle; expected it on the first line"))
        elif not wrong:
            items.append((value, line))
        first = False
    said = tuple(_events(items, problems))
    return Timeline(header, said, source, top, tuple(problems))


def _events(items: Iterable[tuple[Any, Item]], problems: list[Problem]) -> Iterable[Said]:
    for raw, item in items:
        if event := read_event(raw, item, problems):
            yield Said(event, item)
