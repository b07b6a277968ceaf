"""Send queues: bounded, counted, and beginning with a keyframe for a new connection."""

from fractions import Fraction

import numpy as np
import pytest

from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.sinks.live import targets
from lingbot_cli.sinks.live.reconnecting_output import retry_delay
from lingbot_cli.sinks.live.rtmp_protocol import AUDIO, DATA, VIDEO, FlvTag
from lingbot_cli.sinks.live.send_queue import FrameQueue, TagQueue

KEY, PICTURE, SOUND = (VIDEO, b"\x17\x01"), (VIDEO, b"\x27\x01"), (AUDIO, b"\xaf\x01")


def tag(what, time=0):
    return FlvTag(what[0], time, what[1] + b"...")


def waiting(queue):
    queue.close()
    left = []
    while (item := queue.get()) is not None:
        left.append(item)
    return left


def test_frames_wait_while_there_is_room_and_a_connection():
    frames = [np.full((1, 1, 3), index, np.uint8) for index in range(6)]
    queue = FrameQueue(2)
    queue.put(frames[0], connected=False)
    for frame in frames[1:4]:
        queue.put(frame, connected=True)
    assert queue.lost == 2
    assert queue.get() is frames[1]
    queue.put(frames[4], connected=True)
    queue.rewind()
    assert queue.lost == 4
    queue.put(frames[5], connected=True)
    assert [frame[0, 0, 0] for frame in waiting(queue)] == [5]


def test_frames_that_were_taken_are_not_lost_with_the_connection():
    queue = FrameQueue(4)
    for _ in range(3):
        queue.put(np.zeros((1, 1, 3), np.uint8), connected=True)
    queue.get()
    queue.rewind()
    assert queue.lost == 2
    queue.rewind()
    assert queue.lost == 2
    assert waiting(queue) == []


def test_tags_before_the_first_keyframe_are_sent():
    queue = TagQueue(100)
    for time in range(2):
        queue.put(tag(SOUND, time), connected=True)
    assert [each.time for each in waiting(queue)] == [0, 1]


@pytest.mark.parametrize(("fps", "frames"), [(16, 64), (Fraction(1, 5), 2)])
def test_four_seconds_of_frames_wait_and_two_frames_at_least(fps, frames):
    queue = targets._frame_queue(VideoInfo(1, 1, Fraction(fps)))
    for _ in range(frames + 3):
        queue.put(np.zeros((1, 1, 3), np.uint8), connected=True)
    assert (queue.lost, len(waiting(queue))) == (3, frames)


def test_a_new_connection_begins_at_the_last_keyframe_even_if_that_was_sent():
    queue = TagQueue(100)
    sent = [tag(KEY, 0), tag(PICTURE, 1), tag(KEY, 2), tag(SOUND, 3), tag(PICTURE, 4), tag(PICTURE, 5)]
    for each in sent:
        queue.put(each, connected=True)
    assert [queue.get() for _ in range(5)] == sent[:5]
    queue.rewind()
    assert queue.lost == 0
    assert waiting(queue) == sent[2:]


def test_without_a_connection_only_the_newest_keyframe_waits():
    queue = TagQueue(100)
    for time in range(0, 9, 3):
        for offset, what in enumerate((KEY, PICTURE, SOUND)):
            queue.put(tag(what, time + offset), connected=False)
    assert queue.lost == 4
    assert [each.time for each in waiting(queue)] == [6, 7, 8]


def test_a_slow_connection_loses_whole_groups_of_frames():
    queue = TagQueue(3)
    for time, what in enumerate((KEY, PICTURE, PICTURE, PICTURE, KEY, PICTURE)):
        queue.put(tag(what, time), connected=True)
    assert queue.lost == 4
    assert [each.time for each in waiting(queue)] == [4, 5]


def test_as_much_as_the_capacity_waits():
    queue = TagQueue(3)
    for time in (0, 3):
        queue.put(tag(KEY, time), connected=True)
    assert queue.lost == 0
    queue.put(tag(KEY, 4), connected=True)
    assert queue.lost == 2
    assert [each.time for each in waiting(queue)] == [4]


def test_codec_headers_are_sent_on_every_connection():
    queue = TagQueue(3)
    settings = [
        FlvTag(DATA, 0, b"\x02about"),
        FlvTag(VIDEO, 0, b"\x17\x00avcC"),
        FlvTag(AUDIO, 0, b"\xaf\x00aac"),
    ]
    for each in settings:
        queue.put(each, connected=False)
    assert queue.headers() == settings
    assert waiting(queue) == []


def test_the_retry_delay_grows_with_the_outage():
    assert [retry_delay(away) for away in (0, 1, 5, 60, 3600)] == [0.25, 0.25, 0.5, 6, 10]
