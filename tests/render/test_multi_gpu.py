"""Several processes make one film: the same film, one exit code, and no one left behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lingbot_cli.errors import SetupError
from lingbot_cli.render.launcher import _watch
from tests.support.command import lingbot
from tests.support.processes import children, has_exited, wait_until
from tests.support.rtmp_server import free_port

LINGBOT = [sys.executable, "-m", "lingbot_cli"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "lingbot_cli"]


@pytest.fixture
def image(tmp_path):
    Image.fromarray(np.mgrid[0:64, 0:96, 0:3].sum(0).astype(np.uint8)).save(tmp_path / "image.png")
    return tmp_path / "image.png"


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def frames(path) -> np.ndarray:
    import imageio_ffmpeg

    reader = imageio_ffmpeg.read_frames(str(path), pix_fmt="rgb24")
    next(reader)
    return np.stack([np.frombuffer(frame, np.uint8) for frame in reader]).astype(int)


@pytest.mark.parametrize("start", [[*LINGBOT], TORCHRUN], ids=["--gpus", "torchrun"])
def test_two_processes_make_the_film_of_one(tmp_path, image, start):
    film = ["render", str(image), "--moves", "w-10,wl-15", "--quality", "master", "--size", "96x64"]
    assert lingbot(*film, "-o", str(tmp_path / "one.mkv")).code == 0
    more = ["--gpus", "2"] if start == LINGBOT else []
    done = subprocess.run(
        [*start, *film, *more, "-o", str(tmp_path / "two.mkv")],
        capture_output=True,
        text=True,
        timeout=180,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    assert "two.mkv: 25 frames" in done.stderr
    assert abs(frames(tmp_path / "one.mkv") - frames(tmp_path / "two.mkv")).max() <= 1


def test_a_dry_run_is_planned_by_the_leader_and_waits_for_nobody(image, monkeypatch):
    plan = ["render", str(image), "--moves", "w-10", "--size", "96x64", "--dry-run"]
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    follower = subprocess.run(
        [*LINGBOT, *plan],
        capture_output=True,
        text=True,
        timeout=60,
        env={**environment(), **group, "RANK": "1", "LOCAL_RANK": "1"},
    )
    assert (follower.returncode, follower.stdout) == (0, ""), follower.stderr
    for name, value in group.items():
        monkeypatch.setenv(name, value)
    leader = lingbot(*plan)
    assert leader.code == 0
    assert "10 frames" in leader.stdout
    monkeypatch.setenv("WORLD_SIZE", "4")
    refused = lingbot(*plan)
    assert refused.code == 2
    assert "6 attention heads cannot be shared among 4 devices" in refused.stderr


@pytest.fixture
def endless(tmp_path, image):
    film = [*LINGBOT, "render", str(image), "--moves", "w-4000", "--size", "96x64", "--gpus", "2"]
    with subprocess.Popen(
        [*film, "-o", str(tmp_path / "film.mp4")], stderr=subprocess.PIPE, text=True, env=environment()
    ) as launcher:
        for line in launcher.stderr:
            if line.startswith("chunk 2/"):
                break
        yield launcher
        launcher.kill()


def rank(pid):
    """Return the rank of a process of a group."""
    environ = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return int(next(entry for entry in environ if entry.startswith("RANK=")).removeprefix("RANK="))


def test_a_dead_follower_ends_the_job_with_a_sentence(endless, tmp_path):
    leader, follower = sorted(children(endless.pid), key=rank)
    os.kill(follower, signal.SIGKILL)
    _, said = endless.communicate(timeout=180)
    assert endless.returncode == 3, said
    assert "process 1 of 2 (device 1) died: signal 9" in said
    wait_until(lambda: has_exited(leader))
    assert not (tmp_path / "film.mp4").exists()
    assert list(tmp_path.glob("film.partial*"))


@pytest.mark.parametrize(
    ("leader", "follower", "reason"),
    [
        ("exit 3", "kill -9 $$", "died: signal 9"),  # it lost the follower, and was faster than the launcher
        ("exit 3", "exit 1", "died: exit code 1"),
        ("exit 3", "exit 3", None),  # both lack something, or the follower lost the leader
        ("exit 4", "kill -9 $$", None),
        ("exit 0", "exit 0", None),
    ],
)
def test_the_first_reason_is_named_in_whatever_order_processes_are_seen(leader, follower, reason):
    processes = [subprocess.Popen(["sh", "-c", command]) for command in (leader, follower)]
    for process in processes:
        process.wait(60)
    if reason is None:
        assert _watch(processes, [].append) == int(leader.split()[1])
    else:
        with pytest.raises(SetupError, match=reason):
            _watch(processes, [].append)


def test_a_signal_ends_all_after_the_same_chunk(endless, tmp_path):
    family = children(endless.pid)
    endless.send_signal(signal.SIGTERM)
    _, said = endless.communicate(timeout=180)
    assert endless.returncode == 143, said
    wait_until(lambda: all(has_exited(pid) for pid in family))
    assert list(tmp_path.glob("film.partial*"))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--moves", "w-8", "--gpus", "4"], "6 attention heads cannot be shared among 4 devices"),
        (["--timeline", "-", "--gpus", "2"], "standard input"),
        (["--moves", "w-8", "--gpus", "2", "--resume"], "--resume runs on one device"),
    ],
)
def test_what_cannot_be_shared_is_refused(tmp_path, image, more, said):
    done = lingbot("render", str(image), *more, "-o", str(tmp_path / "film.mp4"))
    assert done.code == 2
    assert said in done.stderr
