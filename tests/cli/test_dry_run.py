"""`render --dry-run` and `--save-poses`: what a film will be, and where its camera was."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.command import lingbot

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


def test_a_camera_that_was_saved_before_is_not_written_over_unasked(tmp_path):
    (tmp_path / "poses.npy").write_bytes(b"mine")
    done = lingbot(*SHORT, "-o", "null:", "--save-poses", str(tmp_path))
    assert done.code == 2
    assert "poses.npy exists already" in done.stderr
    assert (tmp_path / "poses.npy").read_bytes() == b"mine"
