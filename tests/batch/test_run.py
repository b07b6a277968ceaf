"""Many films: each made once whatever happens, one failure no other's, and reports that say so."""

import json
import os
import random
import signal
import subprocess
import threading
from xml.etree import ElementTree

import numpy as np
import pytest

from lingbot_cli.render.resume_store import ResumeStore
from tests.support.command import lingbot

FILMS = 12


def test_twelve_films_and_five_kills(shop, decode):
    jobs = shop.jobs({"seeds": "1..12"}, moves="w-21", quality="master")
    _, expected = shop.batch(jobs, "--jobs", "2", out="uninterrupted")
    chance, made = random.Random(1), []
    for _ in range(5):
        with shop.start(jobs, "--jobs", "2") as child:
            for line in child.stdout:
                said = json.loads(line)
                made += [said["video"]] * (said.get("status") == "rendered")
                if said["event"] == "progress":  # from now on at a random moment
                    threading.Timer(chance.uniform(0, 0.8), child.kill).start()
                    break
            made += [
                each["video"] for each in map(json.loads, child.stdout) if each.get("status") == "rendered"
            ]
    done, films = shop.batch(jobs, "--jobs", "2")
    assert done.code == 0, done.stdout
    made += [name for name, film in films.items() if film["status"] == "rendered"]
    assert len(made) == len(set(made)) <= FILMS
    assert len(films) == FILMS
    for name, film in films.items():
        assert film["latents"] == expected[name]["latents"]
        both = [decode(shop.folder / out / name, 32, 32) for out in ("out", "uninterrupted")]
        assert len(both[0]) == 21
        assert np.array_equal(*both)
    assert not list((shop.folder / "out").glob("*.partial*"))
    assert not list((shop.folder / "out").glob("*.resume"))


@pytest.fixture
def full_disk(shop):
    disk = shop.folder / "out" / "disk"
    disk.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.usefixtures("full_disk")
def test_a_broken_picture_a_full_disk_and_a_slow_film_leave_the_other_nine(shop):
    (shop.folder / "broken.png").write_bytes(b"\x89PNG and then nothing")
    jobs = shop.jobs(
        {"seed": 1, "image": "broken.png"},
        {"seed": 2, "output": "disk/{seed}.mkv", "quality": "master"},
        {"seed": 3, "moves": "w-40000"},
        {"seeds": "4..12", "moves": "w-9"},
    )
    junit = shop.folder / "ci" / "junit.xml"
    done, films = shop.batch(jobs, "--timeout", "40s", "--junit", str(junit), "--jobs", "2", "--retry", "1")
    assert done.code == 1
    wrong = {name: film for name, film in films.items() if film["status"] != "rendered"}
    assert {name: film["status"] for name, film in wrong.items()} == {
        "broken-1.mp4": "failed",
        "disk/2.mkv": "failed",
        "a-3.mp4": "timeout",
    }
    assert len(films) - len(wrong) == 9
    assert [film["exit_code"] for film in wrong.values()] == [2, 4, 1]
    assert [film["tries"] for film in wrong.values()] == [0, 2, 1]
    for text in ("broken.png is not an image", "0.0 MB free", "not finished after 40 s"):
        assert text in done.stderr
    suite = ElementTree.parse(junit).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("12", "3")
    assert len(suite.findall("testcase/failure")) == 3


def test_dry_run_counts_and_makes_nothing_and_what_is_made_is_there(shop):
    jobs = shop.jobs({"seeds": "1..2", "moves": "w-5"}, {"image": "b.png", "moves": "w-20"})
    plan = lingbot("batch", jobs, "-o", str(shop.folder / "out"), "--dry-run")
    assert plan.code == 0
    assert "3 videos, 3 to render · 30 frames" in plan.stdout
    assert not (shop.folder / "out").exists()
    assert shop.batch(jobs, "--shard", "1/2")[0].code == 0
    _, films = shop.batch(jobs)
    assert {name: film["status"] for name, film in films.items()} == {
        **{"a-1.mp4": "skipped", "a-2.mp4": "rendered", "b.mp4": "skipped"}
    }
    other = shop.jobs({"seeds": "1..2", "moves": "s-5"}, {"image": "b.png", "moves": "w-20"})
    done, films = shop.batch(other, "--fail-fast")
    assert (done.code, films["a-1.mp4"]["status"], films["b.mp4"]["status"]) == (1, "failed", "skipped")
    assert "exists already" in films["a-1.mp4"]["message"]
    assert films["a-2.mp4"]["status"] == "stopped"
    _, films = shop.batch(other, "--overwrite")
    assert [film["status"] for film in films.values()] == ["rendered", "rendered", "skipped"]


def test_a_signal_ends_the_batch_well_and_the_films_can_go_on(shop):
    jobs = shop.jobs({"seeds": "1..2"}, moves="w-4000")
    with shop.start(jobs) as child:
        for line in child.stdout:
            if json.loads(line)["event"] == "progress":
                os.kill(child.pid, signal.SIGINT)
                break
        said = [json.loads(line) for line in child.stdout]
    assert child.wait(60) == 130
    ends = [each["status"] for each in said if each["event"] == "video"]
    assert ends == ["stopped", "stopped"]
    assert len(list((shop.folder / "out" / "a-1.mp4.resume").glob("*.safetensors"))) >= 1


def test_what_was_kept_of_a_finished_film_goes_with_the_next_run(shop):
    jobs = shop.jobs({"seeds": "1..2", "moves": "w-9"})
    shop.batch(jobs)
    trail = ResumeStore.beside(str(shop.folder / "out" / "a-1.mp4"))
    with trail.alone():  # as a run leaves it that was killed when its film had been noted
        trail.begin({"seed": "1"}, 0)
        trail.keep(0, np.zeros((16, 3, 4, 4), np.float32), {"prompt": ""})
    _, films = shop.batch(jobs)
    assert [film["status"] for film in films.values()] == ["skipped", "skipped"]
    assert not trail.folder.exists()


@pytest.mark.parametrize("moment", ["started", "progress"])
def test_a_ctrl_c_to_the_whole_terminal_stops_the_films_without_a_traceback(shop, moment):
    jobs = shop.jobs({"seeds": "1..2"}, moves="w-4000")
    with shop.start(jobs, "--jobs", "2", stderr=subprocess.STDOUT, start_new_session=True) as child:
        for line in child.stdout:
            if json.loads(line)["event"] == moment:
                os.killpg(child.pid, signal.SIGINT)
                break
        rest = child.stdout.read()
    assert child.wait(60) == 130
    assert "Traceback" not in rest
    ends = [json.loads(line)["status"] for line in rest.splitlines() if '"event": "video"' in line]
    assert ends == ["stopped", "stopped"]
