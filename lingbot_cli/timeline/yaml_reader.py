"""Safe YAML reader: nodes with locations; no aliases, tags or duplicate keys, bounded in depth and size."""

import re
from typing import Any

import yaml

from lingbot_cli.timeline.diagnostics import KeyPath, Problems, SourceLocation

MAX_DEPTH = 12
MAX_NODES = 200_000

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NUMBER = re.compile(r"[-+]?(?:\d+|(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?)", re.ASCII)
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}


def is_plain_text(plain: str) -> bool:
    """Return whether an unquoted scalar is read as text, not as a number or a word such as true."""
    return plain not in _WORDS and not _NUMBER.fullmatch(plain)


INVALID = object()
"""Placeholder of a value whose problem is reported."""


class YamlNode:
    """A plain value, its location and its parts.

    `children` are the nodes of a list, or the (key, value) nodes of a mapping by name.
    """

    __slots__ = ("_mark", "children", "invalid", "value")

    def __init__(self, value: Any, event: Any) -> None:
        self.value = value
        self.children: Any = {} if type(value) is dict else [] if type(value) is list else ()
        self.invalid = value is INVALID
        self._mark = event.start_mark, event.end_mark

    def locate(self, path: KeyPath = (), *, key: bool = False) -> SourceLocation:
        node = label = self
        for step in path:
            if type(node.children) is dict and step in node.children:
                label, node = node.children[step]
            elif type(node.children) is list and isinstance(step, int) and step < len(node.children):
                label = node = node.children[step]
            else:
                break
        start, end = (label if key else node)._mark
        width = end.column - start.column if end.line == start.line else 1
        return SourceLocation(start.line + 1, start.column + 1, max(1, width))


class YamlReader:
    """One pass over the parser's events: `root` is the tree of valid nodes, `problems` gets the rest."""

    def __init__(self, text: str, problems: Problems) -> None:
        self._problems = problems
        self.root: YamlNode | None = None
        self._open: list[YamlNode] = []
        self._keys: list[YamlNode | None] = []  # of each open mapping, the key without a value yet
        self._count = 0
        try:
            self._read(_Loader(text))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            location = _location_in(text, mark.line, mark.column) if mark else SourceLocation()
            self._keep_complete_events()
            self._problems.add(
                location,
                f"not YAML: {error.problem or error.context}; expected {_syntax_hint(text, location)}",
            )
        except yaml.reader.ReaderError as error:
            code = error.character if isinstance(error.character, int) else ord(error.character)
            before = text[: error.position]
            location = SourceLocation(before.count("\n") + 1, len(before) - before.rfind("\n"))
            self._problems.add(
                location, f"the character U+{code:04X} is not allowed; expected printable text"
            )

    def _read(self, loader: Any) -> None:
        while True:
            event = loader.get_event()
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self._add(event, YamlNode(self._scalar(event), event))
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                node = YamlNode({} if kind is yaml.MappingStartEvent else [], event)
                self._add(event, node)
                self._open.append(node)
                self._keys.append(None)
                if len(self._open) > MAX_DEPTH:
                    self._problems.add(
                        node.locate(), f"nested too deeply; expected at most {MAX_DEPTH} levels"
                    )
                    return
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                node = self._open.pop()
                self._keys.pop()
                if node.invalid and self._open:
                    self._open[-1].invalid = True
            elif kind is yaml.AliasEvent:
                node = YamlNode(INVALID, event)
                self._problems.add(node.locate(), "aliases are not allowed; expected the value written out")
                self._add(event, node)
            elif kind is yaml.DocumentStartEvent and self.root is not None:
                self._problems.add(
                    YamlNode(None, event).locate(), "a second document; expected one timeline a file"
                )
                return
            elif kind is yaml.StreamEndEvent:
                return
            if self._count > MAX_NODES:
                self._problems.add(
                    YamlNode(None, event).locate(), f"too many values; expected at most {MAX_NODES}"
                )
                return

    def _add(self, event: Any, node: YamlNode) -> None:
        """Add a node as the root, in a list, as a key, or as the value of the last key."""
        self._count += 1
        if not node.invalid and (event.anchor or event.tag):
            if event.anchor:
                self._problems.add(node.locate(), "anchors are not allowed; expected the value alone")
            if event.tag:
                message = f"the tag {event.tag[:40]} is not allowed; expected the value alone"
                self._problems.add(node.locate(), message)
        if not self._open:
            self.root = node
            return
        parent, key = self._open[-1], self._keys[-1]
        if type(parent.value) is list:
            parent.value.append(node.value)
            parent.children.append(node)
        elif key is None:
            self._keys[-1] = node
        else:
            self._keys[-1] = None
            self._pair(parent, key, node)
        if node.invalid:
            parent.invalid = True

    def _pair(self, parent: YamlNode, key: YamlNode, node: YamlNode) -> None:
        name = key.value
        if type(name) not in (str, int, float, bool, type(None)):
            self._problems.add(key.locate(), "not a valid key; expected a key such as keys or for")
            return
        name = str(name)
        if name in parent.children:
            self._problems.add(key.locate(), f"duplicate key '{name[:40]}'; expected it once")
            return
        parent.children[name] = (key, node)
        parent.value[name] = node.value

    def _scalar(self, event: Any) -> Any:
        text = event.value
        if event.style or event.tag is not None:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if not _NUMBER.fullmatch(text):
            return text
        if len(text) > 30:
            self._problems.add(
                YamlNode(None, event).locate(), "the number is too long; expected at most 30 digits"
            )
            return INVALID
        return int(text) if text.lstrip("+-").isdigit() else float(text)

    def _keep_complete_events(self) -> None:
        """After a syntax error, drop the incomplete event and keep the others."""
        for parent in self._open[1:2]:
            if len(self._open) > 2 and type(parent.value) is list and parent.value:
                parent.value.pop()
                parent.children.pop()
        for parent in self._open:
            parent.invalid = False


def _location_in(text: str, line: int, column: int) -> SourceLocation:
    """Return the parser's line and column, counted from 0, as a location; its end is the last line's end."""
    lines = text.rstrip().split("\n")
    return (
        SourceLocation(line + 1, column + 1)
        if line < len(lines)
        else SourceLocation(len(lines), len(lines[-1]) + 1)
    )


def _syntax_hint(text: str, location: SourceLocation) -> str:
    line = text.split("\n")[location.line - 1] if location.line <= text.count("\n") + 1 else ""
    if "\t" in line[: location.column]:
        return "spaces, not tabs, before a key"
    return "`key: value`, one indentation for one event"
