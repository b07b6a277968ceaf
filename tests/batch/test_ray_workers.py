"""A real Ray cluster on this machine: crashed workers, signals, videos sent back; equal to local renders."""

import json
import os
import signal
from pathlib import Path

import pytest

from lingbot_cli.batch.ray_workers import RayWorkerPool
from tests.support.command import lingbot
from tests.support.processes import wait_until

pytest.importorskip("ray")
pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the actors in /proc")


@pytest.fixture
def mark(monkeypatch, tmp_path):
    """Return the environment variable that marks every process of this test's cluster."""
    monkeypatch.setenv("LINGBOT_TEST_CLUSTER", str(tmp_path))
    return f"LINGBOT_TEST_CLUSTER={tmp_path}".encode()


def actors(mark):
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            ours = mark in (process / "environ").read_bytes().split(b"\0")
            if ours and b"ray::RenderActor" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue  # it has just ended, or is another user's
    return found


def run(child, on_progress, after=1, workers=1):
    """Return exit code and results; call `on_progress` at the `after`-th progress once `workers` are busy."""
    videos, count, busy = {}, 0, set()
    with child:
        for line in child.stdout:
            event = json.loads(line)
            if event["event"] == "progress":
                count += 1
                busy.add(event["worker"])
                if count >= after and len(busy) >= workers:
                    on_progress()
                    after = float("inf")
            if event["event"] == "video":
                videos[event["video"]] = event
    return child.wait(60), videos


def test_the_video_of_a_killed_worker_is_rendered_by_another_bit_equal(batch_folder, mark):
    jobs = batch_folder.jobs({"seeds": "1..4"}, moves="w-165")
    killed = []

    def kill_one():
        killed.extend(actors(mark)[:1])
        os.kill(killed[0], signal.SIGKILL)

    code, videos = run(
        batch_folder.start(jobs, "--on", "ray", "--jobs", "2"), kill_one, workers=2
    )  # both have a video
    assert code == 0
    assert len(killed) == 1
    assert [video["status"] for video in videos.values()] == ["rendered"] * 4
    assert sum(video["tries"] for video in videos.values()) == 5
    _, local = batch_folder.batch(jobs, out="local")
    assert {name: video["latents"] for name, video in videos.items()} == {
        name: video["latents"] for name, video in local.items()
    }
    assert not actors(mark)


def test_an_idle_worker_does_not_end_the_wait(tmp_path, mark):
    pool = RayWorkerPool(tmp_path, videos=2, address=None, count=2)
    try:
        for worker in pool.workers:
            wait_until(worker.ready)
        assert [worker.pending_refs() for worker in pool.workers] == [[], []]
    finally:
        pool.close()
    wait_until(lambda: not actors(mark))


def test_a_signal_keeps_the_partial_video_and_it_resumes(batch_folder, mark, decode):
    jobs = batch_folder.jobs({"seed": 1}, moves="w-4000")
    child = batch_folder.start(jobs, "--on", "ray", "--jobs", "1")
    code, videos = run(child, lambda: os.kill(child.pid, signal.SIGINT), after=4)
    assert code == 130
    assert [video["status"] for video in videos.values()] == ["stopped"]
    assert not actors(mark)
    out = batch_folder.folder / "out"
    chunks = len(list((out / "a-1.mp4.resume").glob("*.safetensors")))
    assert chunks >= 1
    assert len(decode(out / "a-1.partial.mp4", 32, 32)) >= 1
    assert not (out / "a-1.mp4").exists()
    _, videos = batch_folder.batch(batch_folder.jobs({"seed": 1}, moves="w-57"))
    assert videos["a-1.mp4"]["status"] == "rendered"
    assert len(decode(out / "a-1.mp4", 32, 32)) == 57


def test_videos_are_returned_from_nodes_without_a_shared_folder(batch_folder, mark):
    jobs = batch_folder.jobs({"seed": 1}, {"image": "b.png", "output": "deep/%03d.png"}, moves="w-5")
    code, videos = run(batch_folder.start(jobs, "--on", "ray", "--jobs", "1", "--bring"), lambda: None)
    assert code == 0, videos
    out = batch_folder.folder / "out"
    assert (out / "a-1.mp4").stat().st_size > 500
    assert len(list((out / "deep").glob("*.png"))) == 5
    _, again = batch_folder.batch(jobs)
    assert [video["status"] for video in again.values()] == ["skipped", "skipped"]
    assert not actors(mark)


def test_an_unknown_cluster_is_refused(batch_folder):
    done = lingbot("batch", batch_folder.jobs({"seed": 1}), "--on", "slurm")
    assert done.code == 2
    assert "ray://HOST:PORT" in done.stderr
