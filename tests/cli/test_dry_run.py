"""`render --dry-run` and `--save-poses`: the plan of a video, and its camera."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lingbot_cli.sinks.ffmpeg_binary import find_ffmpeg
from tests.support.command import lingbot

ROOT = Path(__file__).parents[2]
IMAGE, WALK = str(ROOT / "samples" / "courtyard-day.png"), str(ROOT / "recipes" / "first-walk.yaml")
SHORT = ("render", IMAGE, "--moves", "w-5,wl-4", "--size", "64x48", "--device", "cpu", "--prompt", "dusk")


def test_a_dry_run_says_everything_and_writes_nothing(tmp_path):
    output = tmp_path / "walk.mp4"
    done = lingbot("render", IMAGE, "-t", WALK, "-o", str(output), "--dry-run", "--device", "cpu")
    assert done.code == 0
    for said in (
        "72 frames, 4.5 s at 16 fps",
        "7 chunks",
        "seed 42",
        "built-in",
        "memory on cpu",
        "transformer",
    ):
        assert said in done.stdout
    assert done.stdout.rstrip().endswith(f"will write {output}")
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_as_json(tmp_path):
    film, camera = str(tmp_path / "a.mp4"), tmp_path / "camera"
    done = lingbot(*SHORT, "-o", film, "--save-poses", str(camera), "--dry-run", "--json")
    facts = json.loads(done.stdout)
    assert (facts["frames"], facts["height"], facts["width"], len(facts["chunks"])) == (9, 48, 64, 1)
    assert facts["memory"]["peak"] > facts["memory"]["transformer"] > 0
    assert facts["writes"] == [film, f"{camera}/"]
    assert not camera.exists()


def user(*argv: str) -> tuple[int, list[str]]:
    """A person's own call: its exit code, and the errors and hints it ends with."""
    command = [sys.executable, "-m", "lingbot_cli", *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.returncode, last_words(done.stderr)


def last_words(stderr: str) -> list[str]:
    stderr = re.sub(r"free: [0-9.]+ GB", "free: some", stderr)  # other programs come and go meanwhile
    return [line for line in stderr.splitlines() if line.startswith(("error: ", "hint: "))]


ENDS = {
    "model not here": (3, ("-o", "{}/a.mp4", "--model", "lingbot-world-fast"), "is not on this machine"),
    "no ffmpeg": (3, ("-o", "{}/a.mp4"), "ffmpeg does not run"),
    "no encoder": (3, ("-o", "{}/a.mkv", "--codec", "ffv1"), "cannot encode with ffv1: Unknown encoder"),
    "no such device": (3, ("-o", "null:", "--device", "cuda:97"), "--device cuda:97: "),
    "no such reader of prompts": (3, ("-o", "null:", "--text-on", "cuda:97"), "--device cuda:97: "),
    "no such kernel": (3, ("-o", "null:", "--kernel", "best"), "--kernel best: does not run on cpu"),
    "no folder": (4, ("-o", "{}/none/a.mp4"), "does not exist"),
    "a file for a folder": (4, ("-o", "{}/ffmpeg/a.mp4"), "is a file, not a folder"),
    "no memory": (6, ("-o", "{}/a.mp4", "--size", "8192x8192"), "at 8192x8192 needs"),
    "taken": (2, ("-o", "{}/taken.mp4"), "taken.mp4 exists already"),
}
"""What a person may say, what the run ends with before it begins, and how it says so."""


@pytest.mark.parametrize("case", ENDS)
def test_a_dry_run_ends_as_the_run_would(tmp_path, monkeypatch, case):
    code, argv, sentence = ENDS[case]
    ffmpeg = tmp_path / "ffmpeg"
    lacking = f'#!/bin/sh\nexec {find_ffmpeg({})} $(echo " $*" | sed "s/ -c:v ffv1/ -c:v lost/")\n'
    ffmpeg.write_text(lacking if case == "no encoder" else "#!/bin/sh\nexit 1\n")
    ffmpeg.chmod(0o755)
    (tmp_path / "taken.mp4").touch()
    monkeypatch.setenv("LINGBOT_CACHE_DIR", str(tmp_path / "cache"))
    if case in ("no ffmpeg", "no encoder"):
        monkeypatch.setenv("LINGBOT_FFMPEG", str(ffmpeg))
    call = ["render", IMAGE, "--moves", "w-5", "--size", "64x48", "--device", "cpu", *argv]
    call = [word.format(tmp_path) for word in call]
    dry = user(*call, "--dry-run")
    assert dry[0] == code, dry[1]
    assert sentence in dry[1][0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ffmpeg", "taken.mp4"]
    done = lingbot(*call)
    assert (done.code, last_words(done.stderr)) == dry
    assert {path.name for path in tmp_path.iterdir()} <= {"ffmpeg", "taken.mp4", "cache"}


def test_a_dry_run_never_imports_torch(tmp_path):
    code = "import sys; from lingbot_cli.cli import run; print(run(sys.argv[1:]), 'torch' in sys.modules)"
    argv = [*SHORT, "-o", str(tmp_path / "a.mp4"), "--dry-run"]
    done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "0 False"


@pytest.mark.parametrize("moves", ["w-5,wl-4", "w-7", "l-12"])
def test_the_saved_camera_renders_the_same_film(tmp_path, moves):
    camera, first, again = tmp_path / "camera", tmp_path / "first.y4m", tmp_path / "again.y4m"
    by_moves = [moves if part == "w-5,wl-4" else part for part in SHORT]
    done = lingbot(*by_moves, "-o", str(first), "--save-poses", str(camera))
    assert done.code == 0, done.stderr
    assert np.load(camera / "poses.npy").shape[1:] == (4, 4)
    by_poses = [str(camera) if part == moves else part.replace("--moves", "--poses") for part in by_moves]
    assert lingbot(*by_poses, "-o", str(again)).code == 0
    assert again.read_bytes() == first.read_bytes()


def test_no_camera_is_saved_of_a_video_that_is_refused(tmp_path):
    (tmp_path / "a.mp4").touch()
    done = lingbot(*SHORT, "-o", str(tmp_path / "a.mp4"), "--save-poses", str(tmp_path / "camera"))
    assert done.code == 2
    assert "a.mp4 exists already" in done.stderr
    assert not (tmp_path / "camera").exists()


def test_a_camera_that_was_saved_before_is_not_written_over_unasked(tmp_path):
    (tmp_path / "poses.npy").write_bytes(b"mine")
    done = lingbot(*SHORT, "-o", "null:", "--save-poses", str(tmp_path))
    assert done.code == 2
    assert "poses.npy exists already" in done.stderr
    assert (tmp_path / "poses.npy").read_bytes() == b"mine"
