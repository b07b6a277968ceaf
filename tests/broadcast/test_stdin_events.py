"""Live events on standard input, however their bytes arrive."""

import itertools

import pytest

from lingbot_cli.broadcast.stats import EventLatency, LatencyTracker
from lingbot_cli.broadcast.stdin_events import EventReader, apply_events
from lingbot_cli.timeline.live import LiveTimeline
from tests.support.rtmp_server import until


def lines_of(*pieces):
    refused = []
    rest = iter(pieces)
    return EventReader(lambda: next(rest, b""), lambda number, text: refused.append((number, text))), refused


def test_lines_come_whole_however_they_are_cut():
    text = '{"timeline": 1, "prompt": "a"}\n\n{"keys": "w"}\r\n{"prompt": "größer"}\n{"keys": ""}'.encode()
    for size in (1, 2, 7, 1000):
        lines, refused = lines_of(*(text[at : at + size] for at in range(0, len(text), size)))
        assert lines.header() == {"timeline": 1, "prompt": "a"}
        told = [(number, value) for number, _, value in lines]
        assert told == [(3, {"keys": "w"}), (4, {"prompt": "größer"}), (5, {"keys": ""})]
        assert refused == []


def test_a_mark_of_the_byte_order_is_no_part_of_the_header():
    lines, refused = lines_of(b'\xef\xbb\xbf{"timeline": 1, "prompt": "a"}\n{"keys": "w"}\n')
    assert lines.header() == {"timeline": 1, "prompt": "a"}
    assert ([value for _, _, value in lines], refused) == ([{"keys": "w"}], [])


def test_a_first_line_that_is_no_header_is_an_event():
    lines, _ = lines_of(b'{"keys": "w"}\n{"keys": ""}\n')
    assert lines.header() == {}
    assert [value for _, _, value in lines] == [{"keys": "w"}, {"keys": ""}]
    assert lines_of()[0].header() == {}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"nonsense", "<stdin>:1:1: not JSON"),
        (b'{"keys": "w", "keys": "s"}', "<stdin>:1:1: duplicate key 'keys'"),
        (b'{"keys": "w", "prompt": "gr\xf6\xdfer"}', "<stdin>:1: byte 28 is not UTF-8"),
        (b"[" * 60_000, "<stdin>:1:1: nested too deeply"),
        (b"x" * 10_000_000, "<stdin>:1: line too long"),
    ],
)
def test_a_bad_line_is_told_and_skipped(line, said):
    pieces = [line[at : at + 65536] for at in range(0, len(line), 65536)]
    lines, refused = lines_of(*pieces, b'\n{"keys": "w"}\n')
    assert [number for number, _, _ in lines] == [2]
    ((number, text),) = refused
    assert number == 1
    assert text.startswith(said)


def test_what_is_said_acts_and_is_followed_to_its_frame():
    clock = itertools.count(100.0)
    live = LiveTimeline(4)
    tracker = LatencyTracker(live, lambda: 0.0)
    lines, refused = lines_of(
        b'{"keys": "w"}\n{"fly": 1}\n{"prompt": "snow", "for": "1s"}\n{"prompt": "x"}\n'
    )
    ended = []
    live_end = live.close_input
    live.close_input = lambda: (live_end(), ended.append(1))
    apply_events(lines, live, tracker.received, lambda: next(clock))
    until(lambda: ended)
    assert [number for number, _ in refused] == [2, 3]
    assert refused[0][1].splitlines()[1:] == ['  2 | {"fly": 1}', "    |  ^^^^^"]
    assert tracker.take() == []
    live.apply_raw({"at": "14f", "marker": "later"})
    live.next_control()
    tracker.timings.start(103.0)
    tracker.timings.arrived(104.0)
    tracker.frame_sent(0, 105.5)
    assert tracker.take() == [EventLatency(1, 0, 0, 3.0, 1.0, 1.5), EventLatency(4, 0, 0, 0.0, 1.0, 1.5)]
    assert tracker.take() == []
