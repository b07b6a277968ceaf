"""Choice of the camera's source, the flags that go with each, and the frame rate and length of camera files."""

import numpy as np
import pytest

from lingbot_cli.errors import UsageError
from lingbot_cli.timeline.input_files import PathOptions
from lingbot_cli.timeline.poses_dir import write_poses_dir
from lingbot_cli.timeline.resolve import TimelineOverrides, resolve_timeline
from lingbot_cli.timeline.times import parse_time
from lingbot_cli.video_size import MAX_FRAMES
from tests.support.timelines import compile_text


def refusal(**options):
    with pytest.raises(UsageError) as refused:
        resolve_timeline(3, **options)
    return str(refused.value), refused.value.hint


@pytest.fixture
def path(tmp_path):
    """Nine rows of a walk ahead, in a file and in a published folder."""
    poses = np.tile(np.eye(4), (9, 1, 1))
    poses[:, 2, 3] = np.arange(9) / 10
    np.save(tmp_path / "walk.npy", poses)
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "folder" / "poses.npy", poses)
    np.save(tmp_path / "folder" / "action.npy", np.zeros((9, 4)))
    return tmp_path


def test_exactly_one_source():
    assert refusal() == ("no camera given", "give one of --timeline, --moves or --poses")
    assert refusal(moves="w-1", poses="a")[0] == "--moves and --poses exclude each other"
    assert refusal(timeline="a", moves="w-1", poses="a")[0].startswith("--timeline and --moves and --poses")


def test_outside_files_are_those_of_a_timeline():
    outside = TimelineOverrides(allow_outside=True)
    for source in ({"moves": "w-1"}, {"poses": "a.npy"}):
        (flag,) = source
        message = f"--allow-outside has no effect on --{flag}"
        assert refusal(**source, overrides=outside) == (message, "leave it out")


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        ({"intrinsics": "a.npy"}, "--intrinsics"),
        ({"intrinsics_size": "16x16"}, "--intrinsics-size"),
        ({"convention": "opengl"}, "--convention"),
        ({"matrix": "w2c"}, "--matrix"),
        ({"fps": 24}, "--poses-fps"),
    ],
)
def test_flags_of_camera_files(tmp_path, options, flag):
    overrides = TimelineOverrides(path=PathOptions(**options))
    assert refusal(moves="w-1", overrides=overrides) == (f"{flag} needs --poses", "leave it out")
    (tmp_path / "t.yaml").write_text("events: [{wait: 1s}]")
    hint = "give it as a key of the `poses` event"
    timeline = str(tmp_path / "t.yaml")
    assert refusal(timeline=timeline, overrides=overrides) == (f"{flag} needs --poses", hint)


def test_a_timeline_has_the_lines_of_its_warnings(tmp_path):
    (tmp_path / "t.yaml").write_text("events:\n- {keys: w, for: 9f}\n- {prompt: late}\n")
    found = resolve_timeline(3, timeline=str(tmp_path / "t.yaml"), overrides=TimelineOverrides(prompt="day"))
    (warning,) = found.warnings
    assert warning.startswith(f"{tmp_path}/t.yaml:3: takes effect at a chunk's start")
    assert found.compiled.prompt_at(0) == "day"
    assert found.timeline is not None
    assert resolve_timeline(3, moves="w-9").header.camera.intrinsics is None
    fitted = resolve_timeline(3, moves="w-9", size=lambda _: (480, 832))
    assert fitted.header.camera.intrinsics == [500, 500, 416, 240]


@pytest.mark.parametrize(
    ("options", "fps", "frames"),
    [
        ({}, 16, 9),
        ({"fps": 24}, 24, 9),
        ({"path": PathOptions(fps=8)}, 16, 16),
        ({"path": PathOptions(fps=8), "fps": 32}, 32, 32),
        ({"duration": parse_time("5f")}, 16, 5),
        ({"duration": parse_time("1s")}, 16, 16),
        ({"duration": parse_time("1f")}, 16, 1),
    ],
)
@pytest.mark.parametrize("name", ["walk.npy", "folder"])
def test_the_rate_and_length_of_camera_files(path, name, options, fps, frames):
    found = resolve_timeline(3, poses=str(path / name), overrides=TimelineOverrides(**options))
    assert (found.compiled.grid.fps, found.compiled.frames) == (fps, frames)
    assert found.timeline is None
    rate = options.get("path", PathOptions()).fps
    left_out = name == "folder" and rate is not None
    assert any("action.npy is left out" in note for note in found.warnings) is left_out


@pytest.mark.parametrize("name", ["walk.npy", "folder"])
@pytest.mark.parametrize("frames", [0, MAX_FRAMES + 1])
def test_a_duration_out_of_range(path, name, frames):
    overrides = TimelineOverrides(duration=parse_time(f"{frames}f"))
    message, _ = refusal(poses=str(path / name), overrides=overrides)
    assert message.startswith(f"--duration {frames}f is ")
    assert message.endswith(f" frames; expected 1 to {MAX_FRAMES}")


def test_a_rate_that_makes_a_path_too_long(path):
    overrides = TimelineOverrides(path=PathOptions(fps=1e-4))
    message, _ = refusal(poses=str(path / "walk.npy"), overrides=overrides)
    assert message == f"{path}/walk.npy is 1280000 frames; expected 1 to {MAX_FRAMES}"


def test_a_prompt_for_camera_files(path):
    for name in ("walk.npy", "folder"):
        poses = str(path / name)
        assert resolve_timeline(3, poses=poses).compiled.prompts == ()
        asked = resolve_timeline(3, poses=poses, overrides=TimelineOverrides(prompt="day"))
        assert asked.compiled.prompt_at(0) == "day"


def test_one_row_is_a_video_of_one_frame(tmp_path):
    np.save(tmp_path / "one.npy", np.eye(4)[None])
    assert resolve_timeline(3, poses=str(tmp_path / "one.npy")).compiled.frames == 1


def test_an_export_keeps_its_rate(tmp_path):
    write_poses_dir(compile_text("fps: 24\nevents: [{keys: w, for: 9f}]"), tmp_path, "nerfstudio")
    assert resolve_timeline(3, poses=str(tmp_path)).compiled.grid.fps == 24
    faster = resolve_timeline(3, poses=str(tmp_path), overrides=TimelineOverrides(fps=30))
    assert faster.compiled.grid.fps == 30
