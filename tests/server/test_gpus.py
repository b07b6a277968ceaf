"""Serve and play on two processes: the frames of one, and no process left behind."""

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.support.command import lingbot
from tests.support.processes import children, has_exited, wait_until
from tests.support.realtime_client import client, init, png
from tests.support.reference import walk

ROOT = Path(__file__).parents[2]
IMAGE = str(ROOT / "samples" / "courtyard-day.png")
SERVE = ("serve", "--port", "0", "--device", "cpu", "--token", "secret", "--grace", "0")
PLAY = ("play", IMAGE, "--device", "cpu", "--size", "32x32")


@contextmanager
def running(*arguments):
    """Start a server and yield its process, port and token."""
    with subprocess.Popen(
        [sys.executable, "-m", "lingbot_cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        try:
            found = None
            for line in process.stdout:
                if found := re.search(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)", line):
                    break
            assert found, process.stderr.read()
            yield process, int(found[1]), found[2]
        finally:
            process.terminate()
            process.wait(60)


def played(port, token):
    """Play four chunks of given poses, another prompt and another window; return their frames as integers."""
    with client(port, token) as player:
        player.send(**init(controls=True, max_chunks=4, first_frame=png()))
        for index, control in enumerate(walk(4)):
            if index == 2:
                player.event("window", {"frames": 6})
            player.event(
                "control",
                {
                    "poses": control.poses.reshape(-1, 16).tolist(),
                    "intrinsics": control.intrinsics.tolist(),
                    "actions": control.actions.tolist(),
                    "prompt": "a stone courtyard at night" if index else "a stone courtyard",
                },
            )
            player.until("chunk_stats", chunk_index=index)
        frames = [m["payload"] for m in player.messages if m["type"] == "frame_batch"]
    return np.frombuffer(b"".join(frames), np.uint8).astype(int)


@pytest.fixture(scope="module")
def two():
    with running(*SERVE, "--gpus", "2") as found:
        yield found


def test_two_processes_play_the_frames_of_one(two):
    with running(*SERVE) as (_, port, token):
        one = played(port, token)
    process, port, token = two
    with client(port, token) as lost:
        lost.send(**init(camera={}))
        lost.until("frame_batch")
        lost.socket.socket.close()  # vanishes without a word, in the middle of a chunk
    both = played(port, token)
    assert one.shape == both.shape
    assert abs(one - both).max() <= 1
    assert process.poll() is None


def test_a_dead_follower_ends_the_server_and_its_clients(two):
    process, port, token = two
    leader, follower = sorted(children(process.pid))
    with client(port, token) as player:
        player.send(**init(camera={}))
        player.until("frame_batch")
        os.kill(follower, signal.SIGKILL)
        player.close_code()
    assert process.wait(60) == 3
    assert "process 1 of 2 (device 1) died: signal 9" in process.stderr.read()
    wait_until(lambda: has_exited(leader))


@pytest.mark.parametrize(("end", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_every_end_of_play_leaves_no_process_behind(tmp_path, end, code):
    record = tmp_path / "walk.jsonl"
    with running(*PLAY, "--gpus", "2", "--record", str(record)) as (process, port, token):
        family = children(process.pid)
        with client(port, token) as player:
            player.send(**init(camera={}))
            player.until("chunk_stats", chunk_index=1)
            process.send_signal(end)
            player.close_code()
        assert process.wait(60) == code
        wait_until(lambda: all(has_exited(pid) for pid in family))
    assert len(family) == 2
    assert record.exists()


@pytest.mark.parametrize(
    "command", [("serve",), ("play", IMAGE), ("stream", IMAGE, "--moves", "w-8", "--to", "null:")]
)
def test_heads_that_cannot_be_shared_are_refused(command):
    done = lingbot(*command, "--device", "cpu", "--gpus", "4")
    assert done.code == 2
    assert "6 attention heads cannot be shared among 4 devices" in done.stderr


def test_a_server_shares_its_own_gpus():
    done = lingbot(
        "stream", IMAGE, "--moves", "w-8", "--to", "null:", "--engine", "ws://127.0.0.1:9", "--gpus", "2"
    )
    assert done.code == 2
    assert "--engine cannot be used with --gpus" in done.stderr
