"""The camera estimated from frames of the ray-cast courtyard agrees with the known one, and finds a wrong one."""

import json
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from lingbot_cli.camera.pose import CameraPose
from lingbot_cli.diagnostics.camera_check import Limits, RecordedCamera, check_camera
from lingbot_cli.diagnostics.recorded_camera import interpolated
from lingbot_cli.errors import UsageError
from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.sinks.factory import OutputOptions, choose_sink
from lingbot_cli.sinks.rescale import Rescale
from lingbot_cli.videos.read import read_frames
from tests.support.command import lingbot
from training.place.render import render
from training.place.walk import walk_of_keys

FPS = 16
LENS = np.array([500.0, 500.0, 416.0, 240.0])
SPEC = Limits(rotation=0.5, heading=5.0, speed=0.25)


def draw(height, width, fps=FPS):
    """Return frames [F, H, W, 3] and the recorded camera of a curve, a second long, one unit over the ground."""
    poses = walk_of_keys([("wl", 0.6 * FPS / fps)] * fps, CameraPose(-2.0, -1.0, -3.6, yaw=-30.0)).actual
    lenses = torch.from_numpy(LENS).expand(len(poses), -1)
    mood = torch.eye(4)[[0]].expand(len(poses), -1)
    frames = render(torch.from_numpy(poses), lenses, mood, height=height, width=width).numpy()
    return frames, RecordedCamera(poses, np.tile(LENS, (len(poses), 1)), fps, 0.2, height=1.0)


def encode(frames, path, ffmpeg, **options):
    sink = choose_sink(str(path), OutputOptions(**options), {"LINGBOT_FFMPEG": ffmpeg})
    sink.open(VideoInfo(*frames.shape[1:3], Fraction(FPS), len(frames)))
    sink.write(frames)
    sink.close()
    return path


@pytest.fixture(scope="module")
def large_curve():
    return draw(480, 832, fps=8)


@pytest.fixture(scope="module")
def curve(tmp_path_factory, ffmpeg):
    """The curve as the built-in model's videos are written: 112x64, H.264."""
    frames, recorded = draw(64, 112)
    video = encode(frames, tmp_path_factory.mktemp("curve") / "curve.mp4", ffmpeg)
    return video, np.stack(list(read_frames(ffmpeg, video))), recorded


def twice_as_far(recorded):
    poses = recorded.poses.copy()
    poses[:, :3, 3] = poses[0, :3, 3] + 2 * (poses[:, :3, 3] - poses[0, :3, 3])
    return replace(recorded, poses=poses)


def test_a_curve_is_measured_within_half_a_degree_and_five_degrees(large_curve):
    check = check_camera(*large_curve, SPEC)
    [second] = check.seconds
    assert second.rotation_error < 0.5
    assert second.heading_error < 5
    assert second.speed == pytest.approx(1, abs=0.1)
    assert check.within
    assert not check.blind_spots()


def test_a_turn_shows_no_travel_and_a_frozen_video_is_found(large_curve):
    frames, recorded = large_curve
    first = cv2.resize(frames[0], (416, 240), interpolation=cv2.INTER_AREA)
    poses = walk_of_keys([("l", 2.0)] * 8, CameraPose()).actual
    lens = np.array([[250.0, 0, 207.5], [0, 250, 119.5], [0, 0, 1]])
    # A camera that turns sees its first image through a homography.
    turned = [lens @ pose[:3, :3].T @ np.linalg.inv(lens) for pose in poses]
    seen = np.stack([cv2.warpPerspective(first, each, (416, 240)) for each in turned])
    turn = check_camera(seen, replace(recorded, poses=poses), SPEC)
    assert turn.seconds[0].turned == pytest.approx(32, abs=0.3)
    assert not turn.problems
    walk = walk_of_keys([("w", 2.0)] * 8, CameraPose(0.0, -1.0, -3.6)).actual
    frozen = check_camera(np.repeat(first[None], 9, axis=0), replace(recorded, poses=walk), SPEC)
    assert "no travel is seen" in frozen.seconds[0].problem
    assert "mirrored" in frozen.blind_spots()[-1]


def test_a_small_curve_is_measured_and_its_doubt_is_known(curve):
    _, frames, recorded = curve
    [second] = check_camera(frames, recorded, Limits()).seconds
    assert second.rotation_error < 0.5
    assert second.heading_error < 5 < second.doubt
    assert second.speed == pytest.approx(1, abs=0.1)
    assert not second.problem
    large = [cv2.resize(frame, (448, 256), interpolation=cv2.INTER_CUBIC) for frame in frames]
    [again] = check_camera(large, replace(recorded, width=112), Limits()).seconds
    assert again.rotation_error < 0.5
    assert again.heading_error < 5


def test_a_small_mirrored_camera_is_found(curve):
    _, frames, recorded = curve
    check = check_camera(frames[:, :, ::-1], recorded, Limits())
    assert check.within is False
    assert check.seconds[0].rotation_error == pytest.approx(2 * check.seconds[0].recorded_turn, abs=1)


def test_half_the_travel_is_found_by_the_height_of_the_camera(curve):
    _, frames, recorded = curve
    check = check_camera(frames, twice_as_far(recorded), Limits())
    assert check.seconds[0].speed == pytest.approx(0.5, abs=0.1)
    assert check.seconds[0].problem.endswith("times the recorded speed")
    unknown = check_camera(frames, replace(twice_as_far(recorded), height=None), Limits())
    assert not unknown.problems
    assert "no scale" in unknown.blind_spots()[0]


def test_a_small_frozen_video_is_found(curve):
    _, frames, recorded = curve
    frozen = check_camera(np.repeat(frames[:1], FPS + 1, axis=0), recorded, Limits())
    assert "no travel is seen" in frozen.seconds[0].problem
    assert frozen.seconds[0].rotation_error == pytest.approx(frozen.seconds[0].recorded_turn, abs=0.1)


def test_a_small_turn_is_measured_in_every_mood(tmp_path, ffmpeg):
    poses = walk_of_keys([("l", 2.0)] * 8, CameraPose(1.0, -1.0, -1.0)).actual
    lenses = np.tile(LENS, (len(poses), 1))
    for mood in range(4):
        moods = torch.eye(4)[[mood]].expand(len(poses), -1)
        frames = render(torch.from_numpy(poses), torch.from_numpy(lenses), moods).numpy()
        video = encode(frames, tmp_path / f"{mood}.mp4", ffmpeg)
        check = check_camera(read_frames(ffmpeg, video), RecordedCamera(poses, lenses, 8, 0.2), SPEC)
        assert check.within
        assert check.seconds[0].rotation_error < 0.2


def test_the_command_reads_a_video_and_its_cameras(curve, tmp_path):
    video, _, recorded = curve
    np.save(tmp_path / "poses.npy", recorded.poses)
    np.save(tmp_path / "intrinsics.npy", LENS)
    done = lingbot("camera-check", str(video), "--camera", str(tmp_path), "--camera-height", "1", "--json",
                   "--max-error", "3", "--max-heading-error", "30", "--plot", str(tmp_path / "plot.png"))  # fmt: skip
    assert done.code == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["within"] is True
    assert result["seconds"][0]["rotation_error"] < 0.5
    assert Image.open(tmp_path / "plot.png").size == (900, 460)
    missing = lingbot("camera-check", str(video))
    assert missing.code == 2
    assert "--camera" in missing.stderr


def test_interpolated_frames_show_the_interpolated_camera(curve, tmp_path, ffmpeg):
    _, frames, recorded = curve
    video = encode(
        frames, tmp_path / "curve.mkv", ffmpeg, quality="master", rescale=Rescale(fps=Fraction(30))
    )
    camera = interpolated(recorded, Fraction(30))
    shown = list(read_frames(ffmpeg, video))
    assert len(shown) == len(camera.poses)
    [second] = check_camera(shown, camera, SPEC).seconds
    assert second.rotation_error < 0.5
    assert second.heading_error < 5
    assert second.speed == pytest.approx(1, abs=0.1)


def test_more_frames_than_poses_are_refused(tmp_path, ffmpeg):
    done = lingbot("camera-check", *_grey_video(tmp_path, ffmpeg, 8), "--camera", "w-4")
    assert done.code == 2
    assert "more frames than its camera" in done.stderr


def test_a_plain_video_is_unknown_and_no_success(tmp_path, ffmpeg):
    plot = tmp_path / "plot.png"
    video = _grey_video(tmp_path, ffmpeg, 16)
    done = lingbot("camera-check", *video, "--camera", "w-16", "--max-error", "0", "--plot", str(plot))
    assert done.code == 1, done.stderr
    assert plot.exists()
    assert "too few points" in done.stdout
    assert "unknown" in done.stdout.splitlines()[-1]
    command = ("camera-check", *video, "--camera", "w-16", "--plot", str(plot))
    assert lingbot(*command).code == 2
    limits = ("--max-heading-error", "3", "--max-speed-error", "0.5")
    again = json.loads(lingbot(*command, "--overwrite", "--fps", "8", *limits, "--json").stdout)
    assert again["limits"] == {"rotation": 1, "heading": 3, "speed": 0.5}
    assert [second["start"] for second in again["seconds"]] == [0, 8]


def _grey_video(folder, ffmpeg, frames):
    sink = choose_sink(str(folder / "grey.mp4"), OutputOptions(), {"LINGBOT_FFMPEG": ffmpeg})
    sink.open(VideoInfo(64, 112, Fraction(FPS), frames))
    sink.write(np.full((frames, 64, 112, 3), 127, np.uint8))
    sink.close()
    return [str(folder / "grey.mp4")]


@pytest.mark.parametrize(("width", "rendered"), [(96, None), (448, 96)])
def test_frames_that_are_too_small_are_refused(width, rendered):
    frames = np.zeros((20, width // 2, width, 3), np.uint8)
    camera = RecordedCamera(
        np.tile(np.eye(4), (20, 1, 1)), np.tile(LENS, (20, 1)), 16.0, 0.05, width=rendered
    )
    with pytest.raises(UsageError, match="frames of 96 pixels are too small"):
        check_camera(frames, camera, Limits())
