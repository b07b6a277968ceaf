"""JSON Lines reader: one object a line, with the location of each of its parts."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]  # public in practice, missing in the stubs
from typing import Any

from lingbot_cli.timeline.diagnostics import KeyPath, Problem, SourceLocation

MAX_LINE_LENGTH = 64 * 1024
_WHITESPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class JsonLine:
    """A line of JSON Lines; its parts are located only for a problem."""

    number: int
    text: str

    def locate(self, path: KeyPath = (), *, key: bool = False) -> SourceLocation:
        start, end = _skip_whitespace(self.text, 0), len(self.text.rstrip())
        label = start, end
        for step in path:
            part = next((member for member in _members(self.text, start) if member[0] == step), None)
            if part is None:
                break
            _, label, (start, end) = part
        first, last = label if key else (start, end)
        return SourceLocation(self.number, first + 1, max(1, last - first))


def parse_json_line(number: int, text: str) -> tuple[Any, list[Problem]]:
    """Return the value on a line, and the problems of its syntax."""
    if len(text) > MAX_LINE_LENGTH:
        message = f"the line is too long; expected at most {MAX_LINE_LENGTH} characters"
        return None, [Problem(SourceLocation(number), message)]
    duplicates: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        collected = dict(pairs)
        if len(collected) < len(pairs):
            counts = Counter(name for name, _ in pairs)
            duplicates.extend(name for name, count in counts.items() if count > 1)
        return collected

    try:
        value = json.loads(text, object_pairs_hook=collect)
    except json.JSONDecodeError as error:
        location = SourceLocation(number, error.pos + 1)
        return None, [Problem(location, f"not JSON: {error.msg}; expected one object a line")]
    except RecursionError:
        return None, [Problem(SourceLocation(number), "nested too deeply; expected one flat object a line")]
    except ValueError:
        return None, [Problem(SourceLocation(number), "a number is too long; expected at most 30 digits")]
    whole = JsonLine(number, text).locate()
    return value, [Problem(whole, f"duplicate key '{name[:40]}'; expected it once") for name in duplicates]


def _skip_whitespace(text: str, at: int) -> int:
    match = _WHITESPACE.match(text, at)
    return match.end() if match else at


def _members(text: str, at: int) -> Iterator[tuple[str | int, tuple[int, int], tuple[int, int]]]:
    """Yield name or index, extent of the key and extent of the value of each part of the object or list at `at`."""
    if text[at] not in "{[":
        return
    decode = json.JSONDecoder().raw_decode
    named, index = text[at] == "{", 0
    at = _skip_whitespace(text, at + 1)
    while text[at] not in "}]":
        name: str | int = index
        label = label_end = at
        if named:
            name, label_end = scanstring(text, at + 1)
            at = _skip_whitespace(text, _skip_whitespace(text, label_end) + 1)  # over the colon
        _, end = decode(text, at)
        yield name, (label, label_end if named else end), (at, end)
        at = _skip_whitespace(text, end)
        if text[at] == ",":
            at = _skip_whitespace(text, at + 1)
        index += 1
