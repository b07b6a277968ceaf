"""Moves, the short form: their columns in problems, their limits, and timelines that they cannot hold."""

import pytest

from lingbot_cli.timeline.diagnostics import TimelineError
from lingbot_cli.timeline.moves import format_moves, parse_moves
from lingbot_cli.video_size import MAX_FRAMES
from tests.support.timelines import parse_valid


def test_moves_are_keys_for_frames():
    timeline = parse_moves(" w-10, none-3,iw-1")
    assert [each.event.keys for each in timeline.events] == ["w", "", "iw"]
    assert [str(each.event.span) for each in timeline.events] == ["10f", "3f", "1f"]
    assert [tuple(each.item.locate()) for each in timeline.events] == [(1, 2, 4), (1, 8, 6), (1, 15, 4)]
    assert format_moves(timeline) == "w-10,none-3,iw-1"


@pytest.mark.parametrize(
    ("text", "location", "message"),
    [
        ("w-1,  w", (1, 7, 1), "'w' is not a move"),
        ("w-1,,w-1", (1, 5, 1), "'' is not a move"),
        ("-1", (1, 1, 2), "'-1' is not a move"),
        ("w-", (1, 1, 2), "'w-' is not a move"),
        ("w-1.5", (1, 1, 5), "'w-1.5' is not a move"),
        ("w-²", (1, 1, 3), "'w-²' is not a move"),
        ("w" * 50, (1, 1, 50), f"'{'w' * 40}' is not a move"),
        ("zwx-1", (1, 1, 5), "unknown key letter 'x', 'z'"),
        ("w-0", (1, 1, 3), f"0 frames; expected 1 to {MAX_FRAMES}"),
        (f"w-{MAX_FRAMES + 1}", (1, 1, 2 + len(str(MAX_FRAMES + 1))), f"{MAX_FRAMES + 1} frames"),
        ("w-" + "9" * 30, (1, 1, 32), f"{'9' * 20} frames"),
        ("w-0" + "0" * 7 + "12345678", (1, 1, 18), f"{'0' * 8}12345678 frames"),
    ],
)
def test_problems_have_columns(text, location, message):
    with pytest.raises(TimelineError) as refused:
        parse_moves(text)
    (problem,) = refused.value.problems
    assert tuple(problem.location) == location
    assert problem.message.startswith(message)


def test_zeros_before_a_number():
    one, twelve, last = parse_moves(f"w-000000001,w-000000012,w-{'0' * 5000}3").events
    assert [str(each.event.span) for each in (one, twelve, last)] == ["1f", "12f", "3f"]


def test_the_longest_move():
    (parsed,) = parse_moves(f"w-{MAX_FRAMES}").events
    assert parsed.event.span.amount == MAX_FRAMES


@pytest.mark.parametrize(
    ("events", "moves"),
    [
        ("{keys: w, for: 1.5s}, {keys: '', for: 3f}", "w-24,none-3"),
        ("{keys: w, for: 20ms}", None),
        ("{keys: w, for: 1c}", None),
        ("{keys: w, for: 1s, ease: in}", None),
        ("{keys: w, at: 1s, for: 1s}", None),
        ("{keys: w, until: 1s}", None),
        ("{keys: w, for: 1s}, {prompt: x}", None),
    ],
)
def test_what_moves_can_hold(events, moves):
    assert format_moves(parse_valid(f"events: [{events}]")) == moves


def test_seconds_are_frames_at_the_headers_rate():
    assert format_moves(parse_valid("fps: 24\nevents: [{keys: w, for: 1.5s}]")) == "w-36"
