"""YAML read safely into nodes that know their places: no aliases, tags or duplicate keys, bounded."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from lingbot_cli.timeline.source import Place, Problem, Steps

MAX_DEPTH = 12
MAX_NODES = 200_000

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NUMBER = re.compile(r"[-+]?(?:\d+|(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?)", re.ASCII)
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}


class _Broken:
    """Stands where a value was already reported as wrong."""


BROKEN = _Broken()


@dataclass(slots=True)
class Node:
    """A scalar, a list of nodes, or a mapping from keys to (key node, value node)."""

    value: Any
    line: int
    column: int
    width: int = 1

    def plain(self) -> Any:
        """The value without places."""
        if type(self.value) is dict:
            return {name: node.plain() for name, (_, node) in self.value.items()}
        if type(self.value) is list:
            return [node.plain() for node in self.value]
        return self.value

    def broken(self) -> bool:
        """Whether something inside was already reported."""
        if type(self.value) is dict:
            return any(node.broken() for _, node in self.value.values())
        if type(self.value) is list:
            return any(node.broken() for node in self.value)
        return self.value is BROKEN

    def place(self, path: Steps = (), *, key: bool = False) -> Place:
        """Where the value at `path` stands, or its key; the nearest node around it when it is missing."""
        node, label = self, self
        for step in path:
            if type(node.value) is dict and step in node.value:
                label, node = node.value[step]
            elif type(node.value) is list and isinstance(step, int) and step < len(node.value):
                label = node = node.value[step]
            else:
                break
        shown = label if key else node
        return Place(shown.line, shown.column, shown.width)


class Reader:
    """One pass over the parser's events; `problems` gathers what is wrong, the tree is what was sound."""

    def __init__(self, text: str) -> None:
        self.problems: list[Problem] = []
        self.root: Node | None = None
        self._open: list[
            tuple[Node, list[Node | None]]
        ] = []  # containers and the key that waits for its value
        self._count = 0
        try:
            self._read(yaml.parse(text, Loader=_Loader))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = _inside(text, mark.line, mark.column) if mark else Place()
            self._salvage()
            self._wrong(
                place, f"not YAML: {error.problem or error.context}; expected {_expected(text, place)}"
            )
        except yaml.reader.ReaderError as error:
            before = text[: error.position]
            place = Place(before.count("\n") + 1, len(before) - before.rfind("\n"))
            self._wrong(place, f"the character U+{_code(error):04X} is not allowed; expected printable text")

    def _read(self, events: Iterator[yaml.Event]) -> None:
        for event in events:
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self._add(event, self._scalar(event))
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                node = self._node(event, {} if kind is yaml.MappingStartEvent else [])
                self._add(event, node)
                self._open.append((node, [None]))
                if len(self._open) > MAX_DEPTH:
                    self._wrong(self._at(event), f"nested too deeply; expected at most {MAX_DEPTH} levels")
                    return
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                self._open.pop()
            elif kind is yaml.AliasEvent:
                self._wrong(self._at(event), "aliases are not allowed; expected the value written out")
                self._add(event, self._node(event, BROKEN))
            elif kind is yaml.DocumentStartEvent and self.root is not None:
                self._wrong(self._at(event), "a second document; expected one timeline a file")
                return
            if self._count > MAX_NODES:
                self._wrong(self._at(event), f"too much; expected at most {MAX_NODES} values")
                return

    def _add(self, event: Any, node: Node) -> None:
        """Put a node where it belongs: at the root, in a list, as a key, or under the key that waits."""
        self._count += 1
        if node.value is not BROKEN and (event.anchor or event.tag):
            if event.anchor:
                self._wrong(self._at(event), "anchors are not allowed; expected the value alone")
            if event.tag:
                tag = event.tag[:40]
                self._wrong(self._at(event), f"the tag {tag} is not allowed; expected the value alone")
        if not self._open:
            self.root = node
            return
        parent, waiting = self._open[-1]
        if type(parent.value) is list:
            parent.value.append(node)
        elif waiting[0] is None:
            waiting[0] = node
        else:
            key, waiting[0] = waiting[0], None
            self._pair(parent, key, node)

    def _pair(self, parent: Node, key: Node, node: Node) -> None:
        place = Place(key.line, key.column, key.width)
        if type(key.value) not in (str, int, float, bool, type(None)):
            self._wrong(place, "a key that is not a word; expected a key such as keys or for")
        elif str(key.value) in parent.value:
            self._wrong(place, f"the key '{key.value}' stands twice; expected it once")
        else:
            parent.value[str(key.value)] = (key, node)

    def _scalar(self, event: Any) -> Node:
        if event.style or event.tag is not None:
            return self._node(event, event.value)
        text = event.value
        if text in _WORDS:
            return self._node(event, _WORDS[text])
        if not _NUMBER.fullmatch(text):
            return self._node(event, text)
        if len(text) > 30:
            self._wrong(self._at(event), "the number is too long; expected at most 30 digits")
            return self._node(event, BROKEN)
        whole = text.lstrip("+-").isdigit()
        return self._node(event, int(text) if whole else float(text))

    def _node(self, event: Any, value: Any) -> Node:
        start, end = event.start_mark, event.end_mark
        line, column = start.line, start.column
        width = end.column - column if end.line == line else 1
        return Node(value, line + 1, column + 1, width if width > 0 else 1)

    def _at(self, event: Any) -> Place:
        return self._node(event, None).place()

    def _wrong(self, place: Place, message: str) -> None:
        self.problems.append(Problem(place, message))

    def _salvage(self) -> None:
        """After a syntax error, drop what was being written and keep what was whole."""
        if len(self._open) > 2:
            parent, _ = self._open[1]
            if type(parent.value) is list and parent.value:
                parent.value.pop()


def _inside(text: str, line: int, column: int) -> Place:
    """A place the parser names, counted from 0; its end of the text is the end of the last line."""
    lines = text.rstrip().split("\n")
    return Place(line + 1, column + 1) if line < len(lines) else Place(len(lines), len(lines[-1]) + 1)


def _expected(text: str, place: Place) -> str:
    line = text.split("\n")[place.line - 1] if place.line <= text.count("\n") + 1 else ""
    if "\t" in line[: place.column]:
        return "spaces, not tabs, before a key"
    return "`key: value`, one indentation for one event"


def _code(error: yaml.reader.ReaderError) -> int:
    return error.character if isinstance(error.character, int) else ord(error.character)
