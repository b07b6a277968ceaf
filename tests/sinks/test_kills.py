"""SIGKILL of the renderer or of ffmpeg at random moments: the partial file plays, the final name never exists."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import pytest

from lingbot_cli.sinks.base import VideoInfo
from lingbot_cli.sinks.factory import OutputOptions, choose_sink
from lingbot_cli.sinks.ffmpeg_sink import ENCODER_DELAY_FRAMES
from tests.support.processes import has_exited, never_created, wait_until
from tests.support.sink_feeder import CHUNK, frames

FPS = 16
CHUNKS = 16


def kill_once(folder: Path, seed: int, name: str, who: str) -> tuple[int, Path]:
    """Kill at a random moment; return the number of frames written a chunk before, and the partial file."""
    moment = random.Random(seed)
    folder.mkdir()
    target = folder / name
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.support.sink_feeder", str(target), "160", "96", str(CHUNKS)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    encoder = int(child.stdout.readline())
    fed = []
    reader = threading.Thread(target=lambda: fed.extend(int(line) for line in child.stdout if line[0] != "c"))
    reader.start()
    wanted = moment.randrange(2, CHUNKS - 2) * CHUNK
    wait_until(lambda: fed and fed[-1] >= wanted)
    time.sleep(moment.random() * 0.2)
    written = fed[-1]
    os.kill(encoder if who == "ffmpeg" else child.pid, signal.SIGKILL)
    wait_until(lambda: has_exited(encoder))
    child.wait(60)
    reader.join(60)
    child.stdout.close()
    assert child.returncode != 0
    return written, target.with_name(f"{target.stem}.partial{target.suffix}")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="asks /proc who is alive")
@pytest.mark.parametrize(
    ("name", "who", "moments"),
    [
        *[("film.mp4", who, 17) for who in ("ffmpeg", "renderer")],
        *[(name, who, 4) for name in ("film.mkv", "film.webm", "film.ts") for who in ("ffmpeg", "renderer")],
    ],
)
def test_a_kill_costs_less_than_a_second_and_leaves_no_final_name(tmp_path, decode, name, who, moments):
    def once(seed):
        with never_created(tmp_path / str(seed) / name):
            written, partial = kill_once(tmp_path / str(seed), seed, name, who)
        return written, len(decode(partial, 96, 160))

    with ThreadPoolExecutor(3) as pool:
        for written, decoded in pool.map(once, range(moments)):
            assert decoded >= written - FPS


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv"])
def test_a_stopped_encoder_is_waited_for(tmp_path, decode, name):
    sink = choose_sink(str(tmp_path / name), OutputOptions(), os.environ)
    sink.open(VideoInfo(16, 32, Fraction(FPS)))
    sink.write(frames(0, 36, 16, 32))  # few bytes, which fit the pipe unread
    child = sink.encoder._child
    os.kill(child.pid, signal.SIGSTOP)
    threading.Timer(0.7, os.kill, (child.pid, signal.SIGCONT)).start()
    sink.write(frames(36, 2 * CHUNK, 16, 32))
    os.kill(child.pid, signal.SIGKILL)
    child.wait(60)
    sink.abort()
    assert len(decode(tmp_path / name.replace(".", ".partial."), 16, 32)) >= 36 + 2 * CHUNK - FPS


@pytest.mark.parametrize("codec", ["x264", "x264rgb", "x265", "av1", "ffv1"])
def test_no_encoder_delays_more_frames_than_expected(tmp_path, codec):
    sink = choose_sink(str(tmp_path / "film.mkv"), OutputOptions(codec=codec), os.environ)
    sink.open(VideoInfo(96, 160, Fraction(FPS)))
    sink.write(frames(0, 48, 96, 160))
    wait_until(lambda: sink.encoder.encoded >= 48 - ENCODER_DELAY_FRAMES)
    sink.close()


def test_a_dead_encoder_is_not_waited_for(tmp_path):
    sink = choose_sink(str(tmp_path / "film.mkv"), OutputOptions(), os.environ)
    sink.open(VideoInfo(96, 160, Fraction(FPS)))
    os.kill(sink.encoder._child.pid, signal.SIGSTOP)  # else it would be found idle
    waiting = threading.Thread(target=sink.encoder.wait_encoded, args=(1, 60), daemon=True)
    waiting.start()
    os.kill(sink.encoder._child.pid, signal.SIGKILL)
    waiting.join(20)
    assert not waiting.is_alive()
    sink.abort()
