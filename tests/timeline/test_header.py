"""Limits of a header's values, and its lens."""

import pytest

from lingbot_cli.timeline.schema import CameraSettings, TimelineHeader
from tests.support.timelines import find_problems, parse_valid


@pytest.mark.parametrize(
    ("header", "smallest", "below"),
    [
        ("seed: {}", "0", "-1"),
        ("camera: {{fov: {}}}", "5", "4.9"),
        ("camera: {{speed: {}}}", "0.001", "0"),
        ("camera: {{turn_rate: {}}}", "0.001", "0"),
        ("camera: {{intrinsics: [{}, 1, 1, 1]}}", "0.5", "0"),
        ("size: {}", "16x16", "0x16"),
    ],
)
def test_the_smallest_value_is_accepted_and_one_below_is_not(header, smallest, below):
    check_limit(header, smallest, below)


@pytest.mark.parametrize(
    ("header", "largest", "beyond"),
    [
        ("seed: {}", str(2**63 - 1), str(2**63)),
        ("prompt: {}", "x" * 10_000, "x" * 10_001),
        ("camera: {{fov: {}}}", "150", "150.5"),
        ("camera: {{speed: {}}}", "100", "100.5"),
        ("camera: {{turn_rate: {}}}", "180", "180.5"),
        ("camera: {{intrinsics: [1, 1, 1, {}]}}", "100000", "100000.5"),
        ("camera: {{intrinsics: [1, 1, 1{}]}}", ", 1", ", 1, 1"),
        ("size: {}", "9984x16", "10000x16"),
        ("size: {}", "16x9984", "16x10000"),
    ],
)
def test_the_largest_value_is_accepted_and_one_beyond_is_not(header, largest, beyond):
    check_limit(header, largest, beyond)


def check_limit(header, inside, outside):
    def problems(value):
        return find_problems(f"{header.format(value)}\nevents: [{{wait: 1s}}]")

    assert problems(inside) == []
    (problem,) = problems(outside)
    assert problem.location.line == 1


@pytest.mark.parametrize(
    ("event", "inside", "outside"),
    [
        ("{{orbit: {{angle: 1, radius: {}}}, for: 1s}}", "100000", "100000.5"),
        ("{{orbit: {{angle: 1, radius: {}}}, for: 1s}}", "0.001", "0"),
        ("{{look_at: {{forward: 1}}, ease: {}, for: 1s}}", "in-out", "fast"),
        ("{{follow: [{}], for: 1s}}", "{yaw: 1}", ""),
    ],
)
def test_limits_of_named_moves(event, inside, outside):
    assert find_problems(f"events: [{event.format(inside)}]") == []
    assert len(find_problems(f"events: [{event.format(outside)}]")) == 1


def test_the_rate_of_a_camera_file_has_limits(tmp_path):
    def messages(rate):
        found = find_problems(f"events: [{{poses: gone.npy, fps: {rate}}}]", folder=tmp_path)
        return [each.message for each in found if "fps" in each.message]

    assert [messages(rate) for rate in (0.5, 1000)] == [[], []]
    assert messages(0) == ["`fps` is too small; expected more than 0.0"]
    assert messages(1000.5) == ["`fps` is too large; expected at most 1000.0"]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("camera: {fov: 60, intrinsics: [1, 1, 1, 1]}", "both `fov` and `intrinsics`"),
        ("timeline: 2", "`timeline` is unknown"),
        ("size: wide", "wide"),
    ],
)
def test_wrong_headers(header, message):
    (problem,) = find_problems(f"{header}\nevents: [{{wait: 1s}}]")
    assert message in problem.message


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("{poses: a.npy, fps: 24, for: 1s}", "both `fps` and a span"),
        ("{poses: a.npy, fps: 24, until: 1s}", "both `fps` and a span"),
        ("{keys: xz, for: 1s}", "unknown key letters 'x', 'z'"),
        ("{keys: x, for: 1s}", "unknown key letter 'x'"),
        ("{wait: 1s, for: 1s}", "two spans"),
    ],
)
def test_wrong_events(event, message, tmp_path):
    assert any(message in each.message for each in find_problems(f"events: [{event}]", folder=tmp_path))


def test_a_lens_is_fitted_to_the_frames_unless_it_is_given():
    given = CameraSettings(intrinsics=[1.0, 2.0, 3.0, 4.0], speed=0.5)
    assert given.fitted(480, 480) is given
    assert given.pixel_intrinsics == (1.0, 2.0, 3.0, 4.0)
    # Square pixels: on square frames a pixel of 832×480 is wider than it is high.
    header = TimelineHeader(camera=CameraSettings(fov=90, speed=0.5, turn_rate=3)).fitted(480, 480)
    assert header.camera.pixel_intrinsics == pytest.approx((416, 240, 416, 240))
    assert (header.camera.speed, header.camera.turn_rate) == (0.5, 3)
    assert parse_valid("events: [{wait: 1s}]").header.camera.pixel_intrinsics == (500, 500, 416, 240)
