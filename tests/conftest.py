"""Colour bars, the real ffmpeg, and readers for what it wrote."""

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from lingbot_cli.sinks.ffmpeg_binary import find_ffmpeg

# What is measured at a start must not decide what a test sees, nor a waiting thread hold a core.
os.environ.setdefault("OMP_NUM_THREADS", str(min(2, os.cpu_count() or 1)))
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test asks a public hub
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

BARS = [(255, 255, 255), (255, 255, 0), (0, 255, 255), (0, 255, 0), (255, 0, 255), (255, 0, 0), (0, 0, 255)]


@pytest.fixture(scope="session")
def ffmpeg():
    return find_ffmpeg(os.environ)


@pytest.fixture(scope="session")
def bars():
    """Make colour bars, uint8 [T, H, W, 3]; a white block counts the frames along the bottom."""

    def make(frames, height=96, width=128):
        columns = np.arange(width) * len(BARS) // width
        film = np.tile(np.array(BARS, np.uint8)[columns], (frames, height, 1, 1))
        film[:, height // 2 : height * 3 // 4] = film[:, :1] // 2
        film[:, height * 3 // 4 :] = 0
        for index in range(frames):
            left = index * 8 % (width - 8)
            film[index, height * 3 // 4 :, left : left + 8] = 255
        return film

    return make


@pytest.fixture(scope="session")
def decode(ffmpeg):
    """Decode a film to the last frame, uint8 [T, H, W, 3]; any complaint fails the test."""

    def read(path, height, width):
        done = subprocess.run(
            [
                *(ffmpeg, "-v", "error", "-i", str(path), "-fps_mode", "passthrough", "-pix_fmt", "rgb24"),
                *("-sws_flags", "accurate_rnd+full_chroma_int", "-f", "rawvideo", "-"),
            ],
            capture_output=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr.decode()
        return np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)

    return read


@pytest.fixture(scope="session")
def read_times():
    """Return a video's start time, the times of its frames and those of its chapters, in seconds."""
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is not installed")

    def read(path):
        command = ["ffprobe", "-v", "error", "-of", "json", "-select_streams", "v:0", "-show_chapters"]
        command += ["-show_format", "-show_entries", "frame=best_effort_timestamp_time", str(path)]
        found = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
        frames = [float(frame["best_effort_timestamp_time"]) for frame in found["frames"]]
        starts = [float(chapter["start_time"]) for chapter in found["chapters"]]
        return float(found["format"]["start_time"]), frames, starts

    return read


@pytest.fixture(scope="session")
def probe():
    """Ask ffprobe, a reader that is not the writer, about the picture of a film."""
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is not installed")

    def ask(path):
        done = subprocess.run(
            [
                *("ffprobe", "-v", "error", "-of", "json", "-count_frames"),
                *("-show_streams", "-show_format", "-show_chapters", str(path)),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        answer = json.loads(done.stdout)
        answer["video"] = next(stream for stream in answer["streams"] if stream["codec_type"] == "video")
        return answer

    return ask


# What a test needs, by what its module imports and by its fixtures; `-m` chooses by these markers.
NEEDS = {
    "model": re.compile(r"\btorch\b|tiny_world|load_model|support\.reference"),
    "browser": re.compile(r"support\.(chromium|firefox)"),
    "video": re.compile(
        r"\bsubprocess\b|find_ffmpeg|OutputOptions|from benchmarks|"
        r"support\.(command|serving|stream_command|encoding_sink|processes|rtmp_server|live_outputs|peak_memory|play_tiny)"
    ),
}
VIDEO_FIXTURES = {"bars", "decode", "probe", "ffmpeg"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        source = _source(item.path)
        for marker, sign in NEEDS.items():
            if sign.search(source):
                item.add_marker(marker)
        if VIDEO_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("video")


@cache
def _source(path: Path) -> str:
    return path.read_text()
