"""A real Ray on this machine: a lost worker's film is made elsewhere, films come back, all equal the local ones."""

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
    """What every process of this test's cluster can be told by."""
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


def run(child, on_progress, after=1, hands=1):
    """What became of the films; `on_progress` is called at the `after`-th progress, once so many hands work."""
    films, told, busy = {}, 0, set()
    with child:
        for line in child.stdout:
            said = json.loads(line)
            if said["event"] == "progress":
                told += 1
                busy.add(said["worker"])
                if told >= after and len(busy) >= hands:
                    on_progress()
                    after = float("inf")
            if said["event"] == "video":
                films[said["video"]] = said
    return child.wait(60), films


def test_a_killed_worker_s_film_is_made_elsewhere_bit_equal(shop, mark):
    jobs = shop.jobs({"seeds": "1..4"}, moves="w-165")
    killed = []

    def kill_one():
        killed.extend(actors(mark)[:1])
        os.kill(killed[0], signal.SIGKILL)

    code, films = run(shop.start(jobs, "--on", "ray", "--jobs", "2"), kill_one, hands=2)  # either has a film
    assert code == 0
    assert len(killed) == 1
    assert [film["status"] for film in films.values()] == ["rendered"] * 4
    assert sum(film["tries"] for film in films.values()) == 5
    _, local = shop.batch(jobs, out="local")
    assert {name: film["latents"] for name, film in films.items()} == {
        name: film["latents"] for name, film in local.items()
    }
    assert not actors(mark)


def test_a_hand_without_a_film_keeps_nobody_from_waiting(tmp_path, mark):
    crew = RayWorkerPool(tmp_path, films=2, address=None, count=2)
    try:
        for hand in crew.workers:
            wait_until(hand.ready)
        assert [hand.pending_refs() for hand in crew.workers] == [[], []]
    finally:
        crew.close()
    wait_until(lambda: not actors(mark))


def test_a_signal_stops_the_render_keeps_its_partial_and_it_goes_on(shop, mark, decode):
    jobs = shop.jobs({"seed": 1}, moves="w-4000")
    child = shop.start(jobs, "--on", "ray", "--jobs", "1")
    code, films = run(child, lambda: os.kill(child.pid, signal.SIGINT), after=4)
    assert code == 130
    assert [film["status"] for film in films.values()] == ["stopped"]
    assert not actors(mark)
    out = shop.folder / "out"
    chunks = len(list((out / "a-1.mp4.resume").glob("*.safetensors")))
    assert chunks >= 1
    assert len(decode(out / "a-1.partial.mp4", 32, 32)) >= 1
    assert not (out / "a-1.mp4").exists()
    _, films = shop.batch(shop.jobs({"seed": 1}, moves="w-57"))
    assert films["a-1.mp4"]["status"] == "rendered"
    assert len(decode(out / "a-1.mp4", 32, 32)) == 57


def test_films_come_back_from_nodes_that_share_no_folder(shop, mark):
    jobs = shop.jobs({"seed": 1}, {"image": "b.png", "output": "deep/%03d.png"}, moves="w-5")
    code, films = run(shop.start(jobs, "--on", "ray", "--jobs", "1", "--bring"), lambda: None)
    assert code == 0, films
    out = shop.folder / "out"
    assert (out / "a-1.mp4").stat().st_size > 500
    assert len(list((out / "deep").glob("*.png"))) == 5
    _, again = shop.batch(jobs)
    assert [film["status"] for film in again.values()] == ["skipped", "skipped"]
    assert not actors(mark)


def test_a_place_that_is_none_is_refused(shop):
    done = lingbot("batch", shop.jobs({"seed": 1}), "--on", "slurm")
    assert done.code == 2
    assert "ray://HOST:PORT" in done.stderr
