"""Live events on their frames: default spans, replaced keys and actions, taps, and recorded lines."""

from dataclasses import replace

import pytest

from lingbot_cli.timeline.chunks import FrameGrid, next_chunk
from lingbot_cli.timeline.diagnostics import UNLOCATED, Problems, SourceText
from lingbot_cli.timeline.input_files import TimelineFiles
from lingbot_cli.timeline.live_events import (
    OPEN_END,
    LiveEvent,
    end_replaced_events,
    is_empty,
    prune,
    recorded_line,
    schedule_live_event,
)
from lingbot_cli.timeline.load import ParsedEvent, Timeline
from lingbot_cli.timeline.schema import CameraSettings, TimelineHeader
from lingbot_cli.timeline.validate import parse_event
from lingbot_cli.video_size import MAX_FRAMES

CAMERA = CameraSettings(turn_rate=2)


def schedule(raw, now=0, problems=None):
    """Return an event on its frames, at 16 frames a second and 2 degrees a frame."""
    found = Problems() if problems is None else problems
    event = parse_event(raw, UNLOCATED, found, live=True)
    files = TimelineFiles(Timeline(TimelineHeader(), (), SourceText("t", "")), found, allow_outside=False)
    scheduled = schedule_live_event(
        ParsedEvent(event, UNLOCATED), now, FrameGrid(16, 4), CAMERA, files, found
    )
    assert problems is not None or found == []
    return scheduled


def span(raw, now=0):
    scheduled = schedule(raw, now)
    return scheduled.start, scheduled.end


@pytest.mark.parametrize(
    ("raw", "end"),
    [
        ({"keys": "w"}, OPEN_END),
        ({"action": "x"}, OPEN_END),
        ("wait", OPEN_END),
        ({"keys": "w", "for": "3f"}, 8),
        ({"keys": "w", "until": "30f"}, 30),
        ({"move": {"forward": 3, "up": 4}}, 5 + 80),
        ({"move": {"right": -0.1}}, 5 + 2),
        ({"move": {"up": 0}}, 5 + 1),
        ({"dolly": -2}, 5 + 32),
        ({"crane": 0.5}, 5 + 8),
        ({"pan": -20}, 5 + 10),
        ({"tilt": 21}, 5 + 11),
        ({"turn": {"yaw": -20, "pitch": 8}}, 5 + 10),
        ({"turn": {"roll": -30, "yaw": 4}}, 5 + 15),
        ({"turn": {"pitch": -40}}, 5 + 20),
        ({"prompt": "x"}, 5),
        ({"keys": "w", "for": f"{MAX_FRAMES}f"}, 5 + MAX_FRAMES),
    ],
    ids=str,
)
def test_ends_of_events_that_begin_now(raw, end):
    assert span(raw, 5) == (5, end)


def test_a_start_that_is_past_is_now():
    assert span({"keys": "w", "at": "3f", "for": "2f"}, 5) == (5, 7)
    assert span({"keys": "w", "at": "9f", "for": "2f"}, 5) == (9, 11)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"keys": "w", "until": "5f"}, "lasts 0 frames from frame 5 on; expected 1 to 1000000"),
        ({"keys": "w", "until": "2f"}, "lasts -3 frames from frame 5 on"),
        ({"keys": "w", "for": f"{MAX_FRAMES + 1}f"}, "lasts 1000001 frames from frame 5 on"),
        ({"keys": "w", "ease": "in"}, "an ease without a span; expected `for: 2s` or the like"),
    ],
    ids=str,
)
def test_spans_that_are_refused(raw, message):
    problems = Problems()
    schedule(raw, 5, problems)
    assert [problem.message.startswith(message) for problem in problems] == [True]


def replaced(new, *others):
    """Return the frames of a new event, and of the others after it."""
    scheduled, changed = end_replaced_events(new, others)
    return [(each.start, each.end) for each in (scheduled, *changed)]


def test_keys_end_held_keys_and_actions_held_actions():
    held, action = schedule({"keys": "w"}), schedule({"action": "x"})
    assert replaced(schedule({"keys": "a"}, 9), held, action) == [(9, OPEN_END), (0, 9), (0, OPEN_END)]
    assert replaced(schedule("wait", 9), held, action) == [(9, OPEN_END), (0, 9), (0, OPEN_END)]
    assert replaced(schedule({"action": "y"}, 9), held, action) == [(9, OPEN_END), (0, OPEN_END), (0, 9)]
    assert replaced(schedule({"prompt": "y"}, 9), held, action) == [(9, 9), (0, OPEN_END), (0, OPEN_END)]
    spanned = schedule({"keys": "w", "for": "20f"})
    assert replaced(schedule({"keys": "a"}, 9), spanned) == [(9, OPEN_END), (0, 20)]


def test_a_tap_lasts_one_latent_frame_and_later_keys_wait_for_it():
    tap = schedule({"keys": "w"}, 13)
    assert replaced(schedule({"keys": ""}, 13), tap) == [(17, OPEN_END), (13, 17)]
    assert replaced(schedule({"keys": "a", "for": "2f"}, 13), tap) == [(17, 19), (13, 17)]
    # More keys held in the same moment are no release.
    assert replaced(schedule({"keys": "wa"}, 13), tap) == [(13, OPEN_END), (13, 13)]
    later = replace(schedule({"keys": "d"}, 17), end=21)
    assert replaced(schedule({"keys": "a"}, 13), later) == [(17, OPEN_END), (17, 21)]


def test_keys_hold_until_those_that_are_to_come():
    later = schedule({"keys": "d", "at": "30f"}, 5)
    latest = schedule({"keys": "a", "at": "40f"}, 5)
    assert replaced(schedule({"keys": "w"}, 5), latest, later) == [(5, 30), (40, OPEN_END), (30, OPEN_END)]


def test_an_event_that_was_replaced_at_once_is_empty():
    event = schedule({"keys": "w"}, 5)
    assert not is_empty(event)
    assert is_empty(replace(event, end=5))
    assert not is_empty(replace(event, end=6))
    assert not is_empty(schedule({"prompt": "x"}, 5))


def test_events_that_are_over_are_forgotten():
    chunk = next_chunk(13, 0, 4)
    assert (chunk.start, chunk.end) == (13, 29)
    spans = [(0, 29), (0, 30), (13, 13), (14, 14), (20, OPEN_END)]
    event = schedule({"keys": "w"})
    active = [
        LiveEvent(number, {}, replace(event, start=start, end=end))
        for number, (start, end) in enumerate(spans)
    ]
    assert [live.number for live in prune(active, chunk)] == [1, 3, 4]


def test_events_are_recorded_as_they_acted():
    def line(raw, frame, now=5, **changes):
        return recorded_line(LiveEvent(1, raw, replace(schedule(raw, now), **changes)), frame)

    assert line({"keys": "w", "note": "x"}, 20) == {"keys": "w", "note": "x", "at": "5f", "for": "15f"}
    assert line({"keys": "w", "at": "1f", "until": "9f"}, 20) == {"keys": "w", "at": "5f", "for": "4f"}
    assert line({"prompt": "x"}, 6) == {"prompt": "x", "at": "5f"}
    assert line({"prompt": "x"}, 5) is None
    assert line({"keys": "w"}, 20, end=5) is None
    assert line({"wait": "1s"}, 20) is None
    assert recorded_line(LiveEvent(1, None, schedule({"keys": "w"})), 20) is None
