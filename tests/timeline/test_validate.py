"""Messages on plain values: what is wrong, what is expected, and where."""

import pytest

from lingbot_cli.timeline.diagnostics import FixedItem, Problems, SourceLocation
from lingbot_cli.timeline.schema import TimelineHeader
from lingbot_cli.timeline.validate import parse_event, parse_header
from tests.support.timelines import find_problems

ITEM = FixedItem(SourceLocation(3, 4, 5))


def messages(parse, raw, **options):
    problems = Problems()
    found = parse(raw, ITEM, problems, **options)
    assert all(problem.location == ITEM.location for problem in problems)
    assert (found is None) == bool(problems) or isinstance(found, TimelineHeader)
    return [problem.message for problem in problems]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"prompt": 12}, "`prompt` is not text; expected text, in quotes if it looks like a number"),
        ({"prompt": " "}, "`prompt` is empty; expected some text"),
        ({"prompt": "x" * 10_001}, "`prompt` is too long; expected at most 10000 characters"),
        ({"prompt": "x", "recache": 1}, "`recache` is neither true nor false; expected one of them"),
        ({"pan": "x", "for": 1}, "`pan` is not a number; expected a number"),
        ({"pan": 1e9, "for": 1}, "`pan` is too large; expected at most 100000.0"),
        ({"pan": -1e9, "for": 1}, "`pan` is too small; expected at least -100000.0"),
        ({"pan": float("nan"), "for": 1}, "`pan` is not a finite number; expected a number"),
        ({"pan": 1, "for": 1, "ease": "x"}, "`ease` is unknown; expected 'linear', 'in', 'out' or 'in-out'"),
        ({"orbit": {}, "for": 1}, "`orbit.angle` is missing; expected it"),
        ({"orbit": 3, "for": 1}, "`orbit` is not a mapping; expected angle, radius, up"),
        (
            {"orbit": {"angle": 1, "radius": 0}, "for": 1},
            "`orbit.radius` is too small; expected more than 0.0",
        ),
        ({"follow": 3, "for": 1}, "`follow` is not a list; expected a list of key poses"),
        ({"follow": [], "for": 1}, "`follow` has 0 values; expected at least 1"),
        ({"follow": [{"yaw": 1}] * 1001, "for": 1}, "`follow` has 1001 values; expected at most 1000"),
        ({"follow": [{"yaw": "x"}], "for": 1}, "`follow.0.yaw` is not a number; expected a number"),
        ({"follow": [{"yow": 1}], "for": 1}, "unknown key 'yow'; expected 'yaw'"),
        (
            {"follow": [{"q": 1}], "for": 1},
            "unknown key 'q'; expected one of forward, right, up, yaw, pitch, roll",
        ),
        ({"keys": "w", "for": "x"}, "`for`: 'x' is not a time"),
        ({"keys": "w"}, "no span; expected `for: 2s` or `until: 4s`"),
        ({"marker": "x", "for": 1}, "`for` does not go with `marker`; expected at, note, marker"),
        ({"keys": "w", "jump": "x", "for": 1}, "unknown key 'jump'; expected one of at, note, for, until"),
        ({"keys": "w", "for": 1, "x" * 50: 1}, f"unknown key '{'x' * 40}'; expected one of at"),
        ({"x" * 50: 1}, f"unknown key '{'x' * 40}'; expected one of "),
        ({"at": 1, "note": "x"}, "no kind of event; expected one of keys, move, turn"),
        (
            {"keys": "w", "turn": {}, "pan": 1},
            "two kinds in one event: keys and turn and pan; expected one each",
        ),
        (3, "not an event; expected a mapping such as {keys: w, for: 2s}"),
        (dict.fromkeys(map(str, range(41)), 1), "41 keys; expected at most 40"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_wrong_events(raw, message):
    (found,) = messages(parse_event, raw)
    assert found.startswith(message)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"seed": 1.5}, "`seed` is not a whole number; expected one"),
        ({"seed": "x"}, "`seed` is not a whole number; expected one"),
        ({"seed": 2**63}, "`seed` is too large; expected less than 9223372036854775808"),
        ({"timeline": 2}, "`timeline` is unknown; expected 1"),
        ({"camera": 3}, "`camera` is not a mapping; expected fov, intrinsics, speed, turn_rate"),
        ({"camera": {"fvo": 60}}, "unknown key 'fvo'; expected 'fov'"),
        ({"camera": {"intrinsics": 3}}, "`camera.intrinsics` is not a list; expected a list of four numbers"),
        ({"camera": {"intrinsics": [1]}}, "`camera.intrinsics` has 1 values; expected 4"),
        ({"camera": {"intrinsics": [1, 1, 1, "x"]}}, "`camera.intrinsics.3` is not a number"),
        ({"camera": {"fov": 60, "intrinsics": [1, 1, 1, 1]}}, "`intrinsics`: both `fov` and `intrinsics`"),
        (dict.fromkeys(map(str, range(41)), 1), "41 keys; expected at most 40"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_wrong_headers(raw, message):
    (found,) = messages(parse_header, raw)
    assert found.startswith(message)


def test_forty_keys_are_checked_one_by_one():
    keys = dict.fromkeys(map(str, range(40)), 1)
    assert len(messages(parse_event, keys)) == len(messages(parse_header, keys)) == 40


def test_a_live_event_needs_no_span():
    problems = Problems()
    assert parse_event({"keys": "w"}, ITEM, problems, live=True).keys == "w"
    assert parse_event("wait", ITEM, problems, live=True).wait is None
    assert problems == []
    assert messages(parse_event, "wait")[0].startswith("no span")


def test_the_second_kind_and_the_unknown_key_are_located():
    assert [tuple(p.location) for p in find_problems("events: [{keys: w, pan: 1, for: 1s}]")] == [(1, 20, 3)]
    assert [tuple(p.location) for p in find_problems("events: [{keys: w, pon: 1, for: 1s}]")] == [(1, 20, 3)]
    assert [tuple(p.location) for p in find_problems("events: [{kyes: w}]")] == [(1, 11, 4)]
