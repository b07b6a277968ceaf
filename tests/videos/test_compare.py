"""`lingbot diff`: equal, similar and different videos."""

import json
import subprocess

import numpy as np
import pytest

from lingbot_cli.videos.compare import ssim
from tests.support.command import lingbot


@pytest.fixture
def film(tmp_path, ffmpeg, bars):
    """Write a video of colour bars; `change` alters the frames, `recipe` is its metadata."""

    def write(name, frames=6, change=None, recipe=None, codec=("ffv1",), size=(48, 64)):
        pictures = bars(frames, *size).copy()
        if change:
            change(pictures)
        said = ("-metadata", f"lingbot={json.dumps(recipe)}") if recipe else ()
        raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{size[1]}x{size[0]}", "-i", "-")
        out = ("-c:v", *codec, *said, "-y", str(tmp_path / name))
        subprocess.run([ffmpeg, "-v", "error", *raw, *out], input=pictures.tobytes(), check=True, timeout=60)
        return str(tmp_path / name)

    return write


def told(*argv):
    done = lingbot("diff", *argv, "--json")
    return done.code, json.loads(done.stdout)


def test_equal_frames_are_equal_videos(film):
    code, said = told(film("a.mkv"), film("b.mkv"))
    assert code == 0
    assert said == said | {"alike": True, "frames": [6, 6], "first": None, "metadata": {}}
    assert said["psnr"] == {"mean": None, "least": None}


def test_the_first_difference_and_the_missing_frames_are_found(film):
    def spot(frames):
        frames[3:, 0, 0] ^= 8

    code, said = told(film("a.mkv"), film("b.mkv", change=spot))
    assert (code, said["first"]) == (1, 3)
    error = 3 * 64 / (48 * 64 * 3)
    assert said["psnr"]["least"] == pytest.approx(10 * np.log10(255**2 / error), abs=1e-3)
    code, said = told(film("a.mkv"), film("c.mkv", frames=4))
    assert (code, said["first"], said["frames"]) == (1, 4, [6, 4])
    assert told(film("a.mkv"), film("c.mkv", frames=4), "--min-psnr", "1")[0] == 1


def test_a_lossy_video_is_similar_within_limits(film):
    pair = film("a.mkv"), film("b.mp4", codec=("libx264", "-crf", "20", "-pix_fmt", "yuv444p"))
    assert told(*pair)[0] == 1
    code, said = told(*pair, "--min-psnr", "25", "--min-ssim", "0.8")
    assert code == 0
    assert 25 < said["psnr"]["least"] <= said["psnr"]["mean"] < 80
    assert told(*pair, "--min-psnr", "90")[0] == 1


def test_metadata_is_compared(film):
    a = film("a.mkv", recipe={"recipe": 1, "flags": {"seed": 1, "size": "64x48"}})
    b = film("b.mkv", recipe={"recipe": 1, "flags": {"seed": 2, "size": "64x48", "fps": 8}})
    assert told(a, b)[1]["metadata"] == {"flags.seed": [1, 2], "flags.fps": [None, 8]}
    said = lingbot("diff", a, b)
    assert said.code == 0
    assert "flags.seed  1 | 2" in said.stdout


def test_videos_that_cannot_be_compared(film, tmp_path):
    (tmp_path / "text.mp4").write_text("no film")
    for other, said in (
        (film("small.mkv", size=(32, 64)), "is 64x32"),
        (str(tmp_path / "text.mp4"), "text.mp4"),
        (str(tmp_path / "none.mp4"), "no such file"),
    ):
        done = lingbot("diff", film("a.mkv"), other)
        assert done.code == 2
        assert said in done.stderr


def test_ssim_of_noise_is_low_and_of_a_shift_in_light_high(bars):
    frame = bars(1, 48, 64)[0]
    noise = np.random.default_rng(1).integers(0, 256, frame.shape, np.uint8)
    assert ssim(frame, frame) == pytest.approx(1)
    assert ssim(frame, noise) < 0.2
    assert ssim(frame // 2 + 60, frame // 2 + 64) > 0.95
