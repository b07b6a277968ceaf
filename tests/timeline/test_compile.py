"""Compiled timelines: motion, overlaps, prefixes and the published paths."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lingbot_cli.camera.pose import CameraPose
from lingbot_cli.timeline.compile import compile_timeline, iter_controls
from lingbot_cli.timeline.moves import format_moves, parse_moves
from lingbot_cli.timeline.schedule import schedule_timeline
from tests.support.camera_reference import KEYS, TRAJECTORIES, recorded
from tests.support.timelines import compile_text

EASES = ("linear", "in", "out", "in-out")


@pytest.mark.parametrize("case", KEYS, ids=lambda c: c["id"])
@pytest.mark.parametrize("chunk", [3, 4])
def test_published_moves_follow_the_recorded_paths(case, chunk):
    timeline = parse_moves(case["actions"] + ",none-1")
    made = compile_timeline(schedule_timeline(timeline, chunk))
    assert made.frames == case["frames"] + 1
    np.testing.assert_allclose(made.poses[: made.frames], recorded()[case["id"] + "_c2w"], atol=1e-9)
    assert format_moves(timeline) == case["actions"] + ",none-1"


@pytest.mark.parametrize("ease", EASES)
def test_a_turn_and_a_move_arrive_whatever_their_ease(ease):
    made = compile_text(
        f"events: [{{turn: {{yaw: 90, pitch: 10, roll: 5}}, for: 1.3s, ease: {ease}}}, {{wait: 1f}}]"
    )
    np.testing.assert_allclose(made.poses[21], CameraPose(yaw=90, pitch=10, roll=5).matrix(), atol=1e-9)
    made = compile_text(
        f"events: [{{move: {{forward: 2, right: -1, up: 1}}, for: 1s, ease: {ease}}}, {{wait: 1f}}]"
    )
    np.testing.assert_allclose(made.poses[16, :3, 3], [-0.8, -0.8, 1.6], atol=1e-5)


def test_overlapping_motions_add_up():
    both = compile_text("events: [{keys: w, for: 1s}, {at: 0, turn: {yaw: 32}, for: 1s}]")
    same = compile_text("events: [{keys: wl, for: 1s}]")
    np.testing.assert_allclose(both.poses, same.poses, atol=1e-9)
    assert same.keys[:2] == ("wl", "wl")


def test_speed_and_lens_of_the_header():
    made = compile_text(
        "camera: {speed: 0.1, turn_rate: 1, fov: 53.13010235}\nevents: [{keys: wl, for: 1s}, wait: 1f]"
    )
    assert CameraPose.from_matrix(made.poses[16]).yaw == pytest.approx(16)
    assert np.linalg.norm(made.poses[1, :3, 3]) == pytest.approx(0.1, rel=1e-4)
    np.testing.assert_allclose(made.intrinsics[0], [832, 832, 416, 240], atol=1e-4)


def test_a_path_is_exact_and_later_motion_continues_from_it(tmp_path):
    source = recorded()["traj_03_source_c2w"]
    np.save(tmp_path / "path.npy", source)
    made = compile_text("events: [{poses: path.npy, scale: fixed}, {keys: w, for: 1s}]", folder=tmp_path)
    np.testing.assert_array_equal(made.poses[:57], source)
    # The joint goes on at the speed of the path's last step.
    step = source[-1, :3, 3] - source[-2, :3, 3]
    np.testing.assert_allclose(made.poses[57, :3, 3], source[-1, :3, 3] + step, atol=1e-9)
    assert np.linalg.norm(made.poses[58, :3, 3] - made.poses[57, :3, 3]) == pytest.approx(0.05, rel=1e-3)


def test_a_path_later_on_continues_from_where_the_camera_is(tmp_path):
    source = recorded()[TRAJECTORIES[0] + "_source_c2w"]
    np.save(tmp_path / "path.npy", source)
    made = compile_text(
        "events: [{keys: wl, for: 1s}, {poses: path.npy, for: 2s, scale: fixed}]", folder=tmp_path
    )
    start, end = made.poses[16], made.poses[47]
    np.testing.assert_allclose(np.linalg.inv(start) @ end, np.linalg.inv(source[0]) @ source[-1], atol=1e-9)


def test_motion_over_a_path_adds_to_it(tmp_path):
    np.save(tmp_path / "still.npy", np.stack([CameraPose(yaw=30).matrix()] * 20))
    made = compile_text("events: [{poses: still.npy}, {at: 0, turn: {yaw: 10}, for: 10f}]", folder=tmp_path)
    assert CameraPose.from_matrix(made.poses[15]).yaw == pytest.approx(40)


def test_texts_take_effect_at_the_next_chunk():
    made = compile_text(
        """
prompt: A courtyard at dusk
events:
  - {keys: w, for: 1s}
  - {prompt: It rains., recache: true}
  - {action: the gate opens, for: 100ms}
  - {at: 3s, action: a bell rings, for: 2s}
  - {at: 6s, wait: 1s}
"""
    )
    said = [(c.frames, c.prompt, c.recache) for c in iter_controls(made)]
    assert said == [
        (13, "A courtyard at dusk", False),
        (16, "A courtyard at dusk", False),
        (16, "It rains. the gate opens", True),
        (16, "It rains.", False),
        (16, "It rains. a bell rings", False),
        (16, "It rains. a bell rings", False),
        (16, "It rains.", False),
        (3, "It rains.", False),
    ]


def test_a_cut_begins_a_scene_at_the_next_boundary(tmp_path):
    from PIL import Image

    Image.new("RGB", (16, 16)).save(tmp_path / "b.png")
    made = compile_text("events: [{keys: wl, for: 1s}, {cut: b.png}, {keys: w, for: 3s}]", folder=tmp_path)
    told = list(iter_controls(made))
    assert [c.frames for c in told] == [13, 16, 13, 16, 6]
    assert [c.cut is not None for c in told] == [False, False, True, False, False]
    np.testing.assert_array_equal(told[2].poses[0], np.eye(4))
    np.testing.assert_array_equal(told[2].poses, made.poses[[29, 33, 37, 41]])


def test_the_prompt_flag_wins():
    assert compile_text("prompt: a\nevents: [wait: 1s]", prompt="b").prompt_at(0) == "b"


keys, span, degrees = st.text("wasdijklqe", max_size=4), st.integers(1, 40), st.integers(-80, 80)
ease, number = st.sampled_from(EASES), st.integers(-3, 3)
motions = st.one_of(
    st.builds("{{keys: '{}', for: {}f, ease: {}}}".format, keys, span, ease),
    st.builds("{{turn: {{yaw: {}, pitch: {}}}, for: {}f, ease: {}}}".format, degrees, degrees, span, ease),
    st.builds("{{move: {{forward: {}, up: {}}}, for: {}f}}".format, number, number, span),
    st.builds("{{prompt: text {}}}".format, number),
    st.builds("{{action: act {}, for: {}f}}".format, number, span),
    st.builds("{{wait: {}f}}".format, span),
)


def written(events):
    return "events:\n" + "".join(f"  - {event}\n" for event in events)


@settings(max_examples=60, deadline=None)
@given(st.lists(motions, min_size=1, max_size=6), st.lists(motions, max_size=4), st.sampled_from([3, 4]))
def test_later_events_change_no_earlier_frame(first, later, chunk):
    first = [*first, "{wait: 1f}"]
    short, long = compile_text(written(first), chunk), compile_text(written(first + later), chunk)
    whole = [c for c in short.chunks if c.end <= short.frames]
    for a, b, chunk_ in zip(iter_controls(short), iter_controls(long), whole, strict=False):
        assert (a.prompt, a.frames) == (b.prompt, b.frames) == (b.prompt, chunk_.frames)
        np.testing.assert_array_equal(a.poses, b.poses)


@settings(max_examples=60, deadline=None)
@given(st.lists(motions, min_size=1, max_size=8), st.sampled_from([3, 4]))
def test_the_chunks_frames_add_up_to_the_video(events, chunk):
    made = compile_text(written([*events, "{wait: 1f}"]), chunk)
    told = list(iter_controls(made))
    assert sum(c.frames for c in told) == made.frames
    assert all(c.poses.shape == (chunk, 4, 4) and c.frames > 0 for c in told)
    rows = [f for c in made.chunks for f in c.latent_frames]
    assert rows == list(range(0, 4 * len(rows), 4))


@settings(max_examples=60, deadline=None)
@given(st.lists(motions, min_size=1, max_size=5))
def test_the_order_of_simultaneous_motions_does_not_matter(events):
    at_once = [event.replace("{", "{at: 1s, ", 1) for event in events]
    a, b = (compile_text(written(["{wait: 2s}", *order])) for order in (at_once, at_once[::-1]))
    np.testing.assert_allclose(a.poses, b.poses, atol=1e-9)


def test_a_prompt_on_a_boundary_counts_from_it():
    made = compile_text("prompt: day\nevents: [{keys: w, for: 45f}, {at: 13f, prompt: night, recache: true}]")
    assert (made.prompts[0].start, made.prompts[0].text) == (0, "day")
    assert [(c.prompt, c.recache) for c in iter_controls(made)] == [
        ("day", False),
        ("night", True),
        ("night", False),
    ]


def test_of_several_cuts_before_a_boundary_the_last_is_shown(tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (16, 16)).save(tmp_path / name)
    made = compile_text(
        "events: [{keys: w, for: 45f}, {at: 2f, cut: a.png}, {at: 3f, cut: b.png}]", folder=tmp_path
    )
    assert [chunk.cut for chunk in made.chunks] == [None, 1, None, None]
    assert [c.cut and c.cut.name for c in iter_controls(made)] == [None, "b.png", None, None]
