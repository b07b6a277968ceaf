"""Lines of JSON Lines: the location of every part, and problems of the syntax."""

import pytest

from lingbot_cli.timeline.jsonl_reader import MAX_LINE_LENGTH, JsonLine, parse_json_line

LINE = '  {"keys": "w", "turn" : {"yaw": 90, "x": [1, 22]}, "for": 2}  '


@pytest.mark.parametrize(
    ("path", "key", "text"),
    [
        ((), False, LINE.strip()),
        ((), True, LINE.strip()),
        (("keys",), False, '"w"'),
        (("keys",), True, '"keys"'),
        (("turn",), True, '"turn"'),
        (("turn", "yaw"), False, "90"),
        (("turn", "yaw"), True, '"yaw"'),
        (("turn", "x"), False, "[1, 22]"),
        (("turn", "x", 1), False, "22"),
        (("turn", "x", 1), True, "22"),
        (("turn", "x", 7), False, "[1, 22]"),
        (("turn", "pitch"), False, '{"yaw": 90, "x": [1, 22]}'),
        (("turn", "pitch"), True, '"turn"'),
        (("for",), False, "2"),
        (("keys", "w"), False, '"w"'),
    ],
)
def test_parts_are_located(path, key, text):
    line, column, width = JsonLine(3, LINE).locate(path, key=key)
    assert (line, LINE[column - 1 : column - 1 + width]) == (3, text)


def test_an_empty_line_has_the_width_of_a_character():
    assert tuple(JsonLine(1, "").locate()) == (1, 1, 1)
    assert tuple(JsonLine(1, "   ").locate()) == (1, 4, 1)


def problems(text):
    value, found = parse_json_line(5, text)
    return value, [(each.location.column, each.message.partition(";")[0]) for each in found]


def test_values_and_problems():
    assert problems('{"a": 1, "b": 2}') == ({"a": 1, "b": 2}, [])
    value, found = problems(' {"a": 1, "b": 2, "a": 3, "b": 4, "c": 5}')
    assert value == {"a": 3, "b": 4, "c": 5}
    assert found == [(2, "duplicate key 'a'"), (2, "duplicate key 'b'")]
    assert problems('{"a": }') == (None, [(7, "not JSON: Expecting value")])
    assert problems("1" * 5000) == (None, [(1, "a number is too long")])
    (found,) = problems("[" * 60_000)[1]
    assert found in [
        (1, "nested too deeply"),
        (60_001, "not JSON: Expecting value"),
    ]  # the latter from Python 3.14 on


def test_lines_have_a_largest_length():
    padding = " " * (MAX_LINE_LENGTH - 2)
    assert problems("{" + padding + "}") == ({}, [])
    assert problems("{" + padding + " }") == (None, [(1, "the line is too long")])
