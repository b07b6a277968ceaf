"""Flags of the camera on the command line: each acts, is refused or is reported."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.command import lingbot

IMAGE = str(Path(__file__).parents[2] / "samples" / "courtyard-day.png")


@pytest.fixture
def cameras(tmp_path):
    """A file of nine poses, and a timeline."""
    poses = np.tile(np.eye(4), (9, 1, 1))
    poses[:, 2, 3] = np.arange(9) * 0.05
    np.save(tmp_path / "walk.npy", poses)
    np.save(tmp_path / "lens.npy", np.array([1000.0, 1000, 640, 360]))
    (tmp_path / "walk.yaml").write_text("prompt: a\nevents: [{keys: w, for: 9f}]\n")
    return tmp_path


def plan(*flags):
    done = lingbot("render", IMAGE, *flags, "-o", "null:", "--dry-run", "--json")
    assert done.code == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


SOURCES = {
    "--timeline": "walk.yaml",
    "--moves": None,
    "--poses": "walk.npy",
}
FLAGS = {
    "--convention": "opengl",
    "--matrix": "w2c",
    "--intrinsics": "lens.npy",
    "--intrinsics-size": "1280x720",
    "--poses-fps": "30",
    "--allow-outside": None,
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("flag", FLAGS)
def test_flags_of_camera_files_are_refused_elsewhere(cameras, source, flag):
    name = SOURCES[source]
    words = [source, "w-9" if name is None else str(cameras / name)]
    value = FLAGS[flag]
    words += [flag] if value is None else [flag, str(cameras / value) if value.endswith(".npy") else value]
    if flag == "--intrinsics-size" and source == "--poses":
        words += ["--intrinsics", str(cameras / "lens.npy")]
    done = lingbot("render", IMAGE, *words, "-o", "null:", "--dry-run")
    acts = source == ("--timeline" if flag == "--allow-outside" else "--poses")
    assert done.code == (0 if acts else 2), done.stderr
    if not acts:
        assert flag in done.stderr


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("flag", "key", "value"),
    [
        (("--duration", "5f"), "frames", 5),
        (("--duration", "20f"), "frames", 20),
        (("--fps", "24"), "fps", 24),
        (("--seed", "7"), "seed", 7),
        (("--size", "64x112"), "width", 64),
        (("--scale", "0.4"), "scale_rule", "0.4"),
        (("--scale", "fit:2"), "scale_rule", "fit:2"),
        (("--scale", "clip"), "scale_rule", "clip"),
    ],
)
def test_general_flags_act_on_every_source(cameras, source, flag, key, value):
    name = SOURCES[source]
    found = plan(source, "w-9" if name is None else str(cameras / name), "--prompt", "b", *flag)
    if key == "scale_rule" and source == "--poses":
        assert found["paths"][0]["scale_rule"] == value
    else:
        assert found[key] == value
    assert found["chunks"][0]["prompt"] == "b"


def test_the_plan_names_scale_and_steps(cameras):
    found = plan("--poses", str(cameras / "walk.npy"), "--intrinsics", str(cameras / "lens.npy"))
    assert found["steps"] == {"median": pytest.approx(1), "largest": pytest.approx(1)}
    assert found["paths"][0]["convention"] == "opencv"
    assert "1280x720" in found["notes"][0]
    done = lingbot("render", IMAGE, "--poses", str(cameras / "walk.npy"), "-o", "null:", "--dry-run")
    assert "9 rows, a row a frame, camera-to-world, OpenCV axes (assumed); scale clip = 0.2" in done.stdout


def test_a_wrong_scale_or_size_is_refused(cameras):
    for flag, value in (("--scale", "-1"), ("--scale", "big"), ("--intrinsics-size", "wide")):
        done = lingbot("render", IMAGE, "--poses", str(cameras / "walk.npy"), flag, value, "-o", "null:")
        assert done.code == 2
        assert "expected" in done.stderr


def test_poses_format_needs_a_folder():
    words = ("render", IMAGE, "--moves", "w-9", "-o", "null:", "--poses-format", "colmap", "--dry-run")
    done = lingbot(*words)
    assert done.code == 2
    assert "--poses-format needs --save-poses" in done.stderr


def test_saved_cameras_name_the_frames_of_an_image_sequence(cameras):
    frames, camera = cameras / "frames", cameras / "camera"
    frames.mkdir()
    words = ("render", IMAGE, "--moves", "w-9", "-o", str(frames / "%05d.png"), "--save-poses", str(camera))
    done = lingbot(*words, "--poses-format", "nerfstudio", "--size", "112x64")
    assert done.code == 0, done.stderr
    content = json.loads((camera / "transforms.json").read_text())
    assert len(content["frames"]) == 9
    for frame in content["frames"]:
        assert (camera / frame["file_path"]).is_file()
    assert (content["frames"][0]["w"], content["frames"][0]["h"]) == (112, 64)
