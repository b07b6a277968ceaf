"""YAML reader: plain values, locations of their parts, and limits."""

import pytest

from lingbot_cli.timeline import yaml_reader
from lingbot_cli.timeline.diagnostics import Problems
from lingbot_cli.timeline.yaml_reader import MAX_DEPTH, YamlReader, is_plain_text
from tests.support.timelines import find_problems


def read(text):
    problems = Problems()
    root = YamlReader(text, problems).root
    return root, [(tuple(each.location), each.message.partition(";")[0]) for each in problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-12", -12),
        ("+3", 3),
        ("1.5", 1.5),
        (".5", 0.5),
        ("2.", 2.0),
        ("1e3", 1000.0),
        ("-1.5e-1", -0.15),
        ("~", None),
        ("null", None),
        ("true", True),
        ("false", False),
        ("yes", "yes"),
        ("0x10", "0x10"),
        ("1:30", "1:30"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("9" * 30, int("9" * 30)),
    ],
)
def test_plain_values(text, value):
    root, problems = read(f"a: {text}")
    assert problems == []
    assert root.value == {"a": value}
    assert type(root.value["a"]) is type(value)
    assert is_plain_text(text) is isinstance(value, str)


@pytest.mark.parametrize(
    ("path", "key", "location"),
    [
        ((), False, (1, 1, 1)),
        (("fps",), False, (1, 6, 2)),
        (("fps",), True, (1, 1, 3)),
        (("events",), True, (2, 1, 6)),
        (("events", 0), False, (3, 5, 1)),
        (("events", 0, "turn"), True, (3, 6, 4)),
        (("events", 0, "turn", "yaw"), False, (3, 18, 2)),
        (("events", 0, "turn", "yaw"), True, (3, 13, 3)),
        (("events", 0, "for"), False, (3, 28, 4)),
        (("events", 1), False, (4, 5, 1)),
        (("events", 2), False, (3, 3, 1)),
        (("gone", "x"), False, (1, 1, 1)),
    ],
)
def test_parts_are_located(path, key, location):
    root, problems = read("fps: 16\nevents:\n  - {turn: {yaw: 90}, for: '2s'}\n  - keys: w\n    for: 1s\n")
    assert problems == []
    assert tuple(root.locate(path, key=key)) == location


@pytest.mark.parametrize(
    ("text", "location", "message"),
    [
        ("a: &x 1", (1, 4, 4), "anchors are not allowed"),
        ("a: !!str 1", (1, 4, 7), "the tag tag:yaml.org,2002:str is not allowed"),
        ("a: *x", (1, 4, 2), "aliases are not allowed"),
        ("a: 1\na: 2", (2, 1, 1), "duplicate key 'a'"),
        ("[1]: 2", (1, 1, 1), "not a valid key"),
        ("a: 1\n---\nb: 2", (2, 1, 3), "a second document"),
        ("a: " + "9" * 31, (1, 4, 31), "the number is too long"),
        ("a: 1\nb: \x07", (2, 4, 1), "the character U+0007 is not allowed"),
        ("a: [1", (1, 6, 1), "not YAML: did not find expected ',' or ']'"),
    ],
)
def test_problems_are_located(text, location, message):
    _, problems = read(text)
    ((found, said),) = problems
    assert (found, said.startswith(message)) == (location, True)


def test_the_depth_is_limited():
    assert MAX_DEPTH == 12
    assert read("[" * MAX_DEPTH + "]" * MAX_DEPTH)[1] == []
    _, problems = read("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))
    assert problems == [((1, MAX_DEPTH + 1, 1), "nested too deeply")]


@pytest.mark.parametrize("value", ["{yaw: *x}", "{yaw: [*x]}", "{yaw: " + "9" * 31 + "}"])
def test_an_event_with_an_invalid_part_has_no_other_problem(value):
    (problem,) = find_problems(f"events: [{{turn: {value}, for: 1s}}, {{wait: 1s}}]")
    assert problem.location.line == 1


def test_the_number_of_values_is_limited(monkeypatch):
    monkeypatch.setattr(yaml_reader, "MAX_NODES", 10)
    assert read("[" + "1, " * 9 + "]")[1] == []
    assert [message for _, message in read("[" + "1, " * 10 + "]")[1]] == ["too many values"]


def test_a_tab_is_named():
    problems = Problems()
    YamlReader("a:\n\tb: 1", problems)
    assert problems[0].message.endswith("expected spaces, not tabs, before a key")
    problems.clear()
    YamlReader("a: 1\n b: 2\t", problems)
    assert problems[0].message.endswith("one indentation for one event")
