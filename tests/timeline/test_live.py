"""Live timelines: the frame of each event, and records with the same Controls."""

import dataclasses
import json
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingbot_cli.camera.pose import CameraPose
from lingbot_cli.timeline.compile import compile_timeline, iter_controls
from lingbot_cli.timeline.diagnostics import SourceText, TimelineError
from lingbot_cli.timeline.live import Effect, LiveTimeline, loop_timeline
from lingbot_cli.timeline.load import parse_timeline
from lingbot_cli.timeline.schedule import schedule_timeline
from lingbot_cli.timeline.times import parse_time
from tests.support.timelines import schedule_text


def from_record(live, folder, chunk=4):
    """Return the Controls of the record, read as a file."""
    text = "".join(json.dumps(line) + "\n" for line in live.record())
    return list(
        iter_controls(
            compile_timeline(
                schedule_timeline(parse_timeline(SourceText("record.jsonl", text, folder)), chunk)
            )
        )
    )


def same(a, b):
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        for field in dataclasses.fields(one):
            left, right = getattr(one, field.name), getattr(other, field.name)
            if isinstance(left, np.ndarray):
                np.testing.assert_array_equal(left, right)
            else:
                assert left == right, field.name


def play(live, script, chunks):
    """Take a number of Controls, applying the script's events before each."""
    taken = []
    for index in range(chunks):
        for raw in script.get(index, []):
            live.apply_raw(raw)
        if (control := live.next_control()) is not None:
            taken.append(control)
    return taken


@pytest.fixture
def folder(tmp_path):
    from PIL import Image

    from tests.support.camera_reference import recorded

    Image.new("RGB", (16, 16)).save(tmp_path / "b.png")
    np.save(tmp_path / "path.npy", recorded()["traj_03_source_c2w"][:30])
    np.save(tmp_path / "lens.npy", np.linspace([800, 800, 416, 240], [400, 400, 416, 240], 30))
    return tmp_path


def test_every_event_is_recorded_as_it_acted(folder):
    live = LiveTimeline(4, {"prompt": "a gate", "camera": {"speed": 0.1}}, folder=folder)
    script = {
        0: [{"keys": "w"}, {"at": "20f", "turn": {"yaw": 33, "roll": 1}, "for": "1.1s", "ease": "in-out"}],
        1: [{"prompt": "it rains", "recache": True}, {"move": {"right": 1.3, "up": -0.2}}],
        2: [{"keys": "sl", "for": "7f"}, {"action": "a bell rings"}, {"marker": "here"}],
        3: [{"poses": "path.npy", "intrinsics": "lens.npy"}, {"action": "a door opens", "for": "5f"}],
        5: [{"cut": "b.png"}, {"keys": "i"}, {"turn": {"pitch": 70}, "ease": "out"}],
        6: [{"keys": ""}, {"wait": "1s"}, {"keys": "e", "until": "150f"}],
        8: [{"turn": {"yaw": 90}, "for": "40f", "ease": "in"}, {"poses": "path.npy", "for": "3c"}],
    }
    taken = play(live, script, 10)
    assert [c.cut is not None for c in taken].index(True) == 5
    assert [c.prompt for c in taken[:4]] == [
        *("a gate", "it rains", "it rains. a bell rings", "it rains. a door opens"),
    ]
    same(taken, from_record(live, folder))


keys, frames = st.text("wasdijklqe", max_size=3), st.integers(1, 40)
events = st.one_of(
    st.builds(lambda k: {"keys": k}, keys),
    st.builds(lambda k, n: {"keys": k, "for": f"{n}f", "ease": "in"}, keys, frames),
    st.builds(lambda k, n, a: {"keys": k, "for": f"{n}f", "at": f"{a}f"}, keys, frames, st.integers(0, 90)),
    st.builds(lambda k, a: {"keys": k, "at": f"{a}f"}, keys, st.integers(0, 90)),
    st.builds(lambda y, p: {"turn": {"yaw": y, "pitch": p}, "ease": "out"}, frames, frames),
    st.builds(lambda y, n: {"move": {"forward": y}, "for": f"{n}f"}, frames, frames),
    st.builds(lambda n: {"prompt": f"text {n}"}, frames),
    st.builds(lambda n: {"action": f"act {n}"}, frames),
    st.builds(lambda n: {"action": f"act {n}", "for": f"{n}f"}, frames),
    st.just("wait"),
)


@settings(max_examples=80, deadline=None)
@given(
    st.dictionaries(st.integers(0, 6), st.lists(events, max_size=4)),
    st.sampled_from([3, 4]),
    st.integers(1, 200),
)
def test_the_record_has_the_same_controls(tmp_path_factory, script, chunk, length):
    live = LiveTimeline(chunk, duration=parse_time(f"{length}f"))
    taken = play(live, script, 7)
    same(taken, from_record(live, tmp_path_factory.getbasetemp(), chunk))


def test_keys_hold_until_they_change():
    live = LiveTimeline(4)
    taken = play(live, {1: [{"keys": "w"}], 3: [{"keys": ""}]}, 6)
    z = [control.poses[:, 2, 3] for control in taken]
    assert z[0].max() == 0
    assert z[1][0] == pytest.approx(3 * 0.05, rel=1e-4)  # frames 13, 14 and 15 walk, 16 is the first latent
    assert z[2][-1] == pytest.approx(31 * 0.05, rel=1e-4)
    assert z[3][0] == z[5][-1] == pytest.approx(32 * 0.05, rel=1e-4)


def test_a_tap_between_two_chunks_is_one_latent_frame():
    live = LiveTimeline(4)
    (_, told) = play(live, {1: [{"keys": "w"}, {"keys": ""}, {"keys": "l"}, {"keys": ""}]}, 2)
    assert told.poses[-1, 2, 3] == pytest.approx(4 * 0.05, rel=1e-4)
    assert np.degrees(np.arctan2(told.poses[-1, 0, 2], told.poses[-1, 2, 2])) == pytest.approx(8)


def test_without_a_span_moves_and_turns_go_at_their_own_pace():
    live = LiveTimeline(4)
    taken = play(live, {0: [{"turn": {"yaw": -20}}, {"at": "13f", "move": {"forward": 2}}]}, 4)
    yaw = [np.degrees(np.arctan2(c.poses[-1, 0, 2], c.poses[-1, 2, 2])) for c in taken]
    assert yaw == pytest.approx([-20] * 4)
    gone = [np.linalg.norm(c.poses[-1, :3, 3]) for c in taken]
    assert gone == pytest.approx([0, 15 * 0.05, 31 * 0.05, 32 * 0.05], rel=1e-3)


def test_events_are_numbered_from_one():
    live = LiveTimeline(4)
    assert [live.apply_raw({"keys": keys}) for keys in "wad"] == [1, 2, 3]


@pytest.mark.parametrize(
    "event", [{"orbit": {"angle": 9}}, {"look_at": {"forward": 1}}, {"follow": [{"forward": 1}]}], ids=str
)
def test_moves_with_a_path_of_their_own_need_a_span(event):
    live = LiveTimeline(4)
    with pytest.raises(TimelineError, match="no span; expected"):
        live.apply_raw(event)
    assert live.apply_raw({**event, "for": "1s"}) == 1


def test_the_frame_of_each_effect_is_reported():
    live = LiveTimeline(4)
    first = live.apply_raw({"keys": "w"})
    second = live.apply_raw({"at": "20f", "keys": "d", "for": "4f"})
    third = live.apply_raw({"at": "20f", "prompt": "snow"})
    live.next_control()
    assert live.take_effects() == [Effect(first, 0, 0)]
    live.next_control()
    live.next_control()
    assert live.take_effects() == [Effect(second, 1, 20), Effect(third, 2, 29)]
    fourth = live.apply_raw({"at": 0, "marker": "late"})
    live.next_control()
    assert live.take_effects() == [Effect(fourth, 3, 45)]


def test_the_end():
    live = LiveTimeline(4)
    live.apply_raw({"keys": "w"})
    live.apply_raw({"end": True, "at": "20f"})
    assert [control.frames for control in live] == [13, 7]
    now = LiveTimeline(4)
    now.next_control()
    now.apply_raw({"end": True})
    assert now.next_control() is None
    spans = LiveTimeline(4)
    spans.apply_raw({"keys": "w"})
    spans.apply_raw({"turn": {"yaw": 10}, "for": "20f"})
    end = spans.apply_raw({"end": True})
    assert [control.frames for control in spans] == [13, 7]
    assert Effect(end, 1, 20) in spans.take_effects()
    assert spans.record()[-1] == {"end": True, "at": "20f"}
    closed = LiveTimeline(4)
    closed.apply_raw({"keys": "w"})
    closed.apply_raw({"turn": {"yaw": 10}, "for": "20f"})
    closed.close_input()
    assert [control.frames for control in closed] == [13, 7]
    assert [c.frames for c in LiveTimeline(4, {"duration": "14f"})] == [13, 1]
    assert [c.frames for c in LiveTimeline(4, {"duration": "14f"}, duration=parse_time("5f"))] == [5]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"keys": "x"}, "unknown key letter"),
        ({"keys": "w", "ease": "in"}, "an ease without a span"),
        ({"keys": "w", "at": "3f", "until": "3f"}, "lasts 0 frames from frame 3 on"),
        ({"poses": "none.npy"}, "does not exist"),
        ({"cut": "../b.png"}, "outside the timeline's folder"),
        (["w"], "not an event"),
    ],
)
def test_an_invalid_event_changes_nothing(folder, raw, said):
    (folder / "in").mkdir()
    live = LiveTimeline(4, folder=folder / "in")
    with pytest.raises(TimelineError, match=said):
        live.apply_raw(raw)
    live.next_control()
    assert live.record()[1:] == [{"end": True, "at": "13f"}]


def test_an_invalid_header():
    with pytest.raises(TimelineError, match="unknown key 'promt'"):
        LiveTimeline(4, {"promt": "x"})


def test_a_stream_of_weeks_stays_small():
    live = LiveTimeline(4, keep_history=False)
    for index in range(300):
        live.apply_raw({"keys": "wa"[index % 2]})
        live.apply_raw({"prompt": f"text {index}"})
        live.apply_raw({"turn": {"yaw": 3}})
        live.next_control()
        live.take_effects()
    assert len(live._active) <= 4
    assert len(live._prompts) <= 2
    assert live._history == live._waiting == []


TURN = "prompt: a gate\nevents: [{turn: {yaw: 90}, for: 20f}, {prompt: rain}, {keys: w, for: 10f}]"


def test_each_round_continues_from_the_cameras_pose():
    told = list(islice(loop_timeline(schedule_text(TURN)), 12))
    assert [control.frames for control in told] == [13, *[16] * 11]
    poses = np.concatenate([control.poses for control in told])
    yaw = [CameraPose.from_matrix(pose).yaw % 360 for pose in poses]
    assert yaw[8] == pytest.approx(99)  # frame 32: two into the second round
    assert yaw[15] == pytest.approx(180)
    assert np.linalg.norm(poses[15, :3, 3]) == pytest.approx(
        10 * 0.05 * 2**0.5, rel=1e-3
    )  # two sides of a square
    assert [control.prompt for control in told[:5]] == ["a gate", "a gate", "rain", "a gate", "a gate"]


def test_a_short_timeline_loops_within_a_chunk_and_a_duration_ends_it():
    told = list(
        loop_timeline(schedule_text("events: [{keys: w, for: 2f}, {wait: 1f}]"), duration=parse_time("40f"))
    )
    assert sum(control.frames for control in told) == 40
    assert told[-1].poses[0, 2, 3] == pytest.approx(22 * 0.05, rel=1e-4)  # of 32 frames


def test_an_end_in_the_timeline_is_only_its_length():
    told = list(islice(loop_timeline(schedule_text("events: [{keys: w, for: 9f}, {end: true, at: 3f}]")), 4))
    assert len(told) == 4
