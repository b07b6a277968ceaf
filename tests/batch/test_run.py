"""Batches: each video rendered once, failures isolated, reports."""

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

VIDEOS = 12


def test_twelve_videos_and_five_kills(batch_folder, decode):
    jobs = batch_folder.jobs({"seeds": "1..12"}, moves="w-21", quality="master")
    _, expected = batch_folder.batch(jobs, "--jobs", "2", out="uninterrupted")
    chance, rendered = random.Random(1), []
    for _ in range(5):
        with batch_folder.start(jobs, "--jobs", "2") as child:
            for line in child.stdout:
                said = json.loads(line)
                rendered += [said["video"]] if said.get("status") == "rendered" else []
                if said["event"] == "progress":  # from now on at a random moment
                    threading.Timer(chance.uniform(0, 0.8), child.kill).start()
                    break
            rendered += [
                each["video"] for each in map(json.loads, child.stdout) if each.get("status") == "rendered"
            ]
    done, videos = batch_folder.batch(jobs, "--jobs", "2")
    assert done.code == 0, done.stdout
    rendered += [name for name, video in videos.items() if video["status"] == "rendered"]
    assert len(rendered) == len(set(rendered)) <= VIDEOS
    assert len(videos) == VIDEOS
    for name, video in videos.items():
        assert video["latents"] == expected[name]["latents"]
        both = [decode(batch_folder.folder / out / name, 32, 32) for out in ("out", "uninterrupted")]
        assert len(both[0]) == 21
        assert np.array_equal(*both)
    assert not list((batch_folder.folder / "out").glob("*.partial*"))
    assert not list((batch_folder.folder / "out").glob("*.resume"))


@pytest.fixture
def full_disk(batch_folder):
    disk = batch_folder.folder / "out" / "disk"
    disk.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.usefixtures("full_disk")
def test_a_broken_image_a_full_disk_and_a_slow_video_leave_the_other_nine(batch_folder):
    (batch_folder.folder / "broken.png").write_bytes(b"\x89PNG and then nothing")
    jobs = batch_folder.jobs(
        {"seed": 1, "image": "broken.png"},
        {"seed": 2, "output": "disk/{seed}.mkv", "quality": "master"},
        {"seed": 3, "moves": "w-40000"},
        {"seeds": "4..12", "moves": "w-9"},
    )
    junit = batch_folder.folder / "ci" / "junit.xml"
    done, videos = batch_folder.batch(
        jobs, "--timeout", "40s", "--junit", str(junit), "--jobs", "2", "--retry", "1"
    )
    assert done.code == 1
    wrong = {name: video for name, video in videos.items() if video["status"] != "rendered"}
    assert {name: video["status"] for name, video in wrong.items()} == {
        "broken-1.mp4": "failed",
        "disk/2.mkv": "failed",
        "a-3.mp4": "timeout",
    }
    assert len(videos) - len(wrong) == 9
    assert [video["exit_code"] for video in wrong.values()] == [2, 4, 1]
    assert [video["tries"] for video in wrong.values()] == [0, 2, 1]
    for text in ("broken.png is not an image", "0.0 MB free", "not finished after 40 s"):
        assert text in done.stderr
    suite = ElementTree.parse(junit).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("12", "3")
    assert len(suite.findall("testcase/failure")) == 3


def test_dry_run_writes_nothing_and_finished_videos_are_skipped(batch_folder):
    jobs = batch_folder.jobs({"seeds": "1..2", "moves": "w-5"}, {"image": "b.png", "moves": "w-20"})
    plan = lingbot("batch", jobs, "-o", str(batch_folder.folder / "out"), "--dry-run")
    assert plan.code == 0
    assert "3 videos, 3 to render · 30 frames" in plan.stdout
    assert not (batch_folder.folder / "out").exists()
    assert batch_folder.batch(jobs, "--shard", "1/2")[0].code == 0
    _, videos = batch_folder.batch(jobs)
    assert {name: video["status"] for name, video in videos.items()} == {
        **{"a-1.mp4": "skipped", "a-2.mp4": "rendered", "b.mp4": "skipped"}
    }
    other = batch_folder.jobs({"seeds": "1..2", "moves": "s-5"}, {"image": "b.png", "moves": "w-20"})
    done, videos = batch_folder.batch(other, "--fail-fast")
    assert (done.code, videos["a-1.mp4"]["status"], videos["b.mp4"]["status"]) == (1, "failed", "skipped")
    assert "exists already" in videos["a-1.mp4"]["message"]
    assert videos["a-2.mp4"]["status"] == "stopped"
    _, videos = batch_folder.batch(other, "--overwrite")
    assert [video["status"] for video in videos.values()] == ["rendered", "rendered", "skipped"]


def test_warnings_of_videos_are_printed_once(batch_folder):
    jobs = batch_folder.jobs({"seeds": "1..2", "output": "{seed}.gif"}, size="80x64", fps=60, moves="w-5")
    said = lingbot("batch", jobs, "--dry-run").stderr
    assert said.count("is stretched by") == 1
    assert [f"{seed}.gif: 50 of 60 frames per second" in said for seed in (1, 2)] == [True, True]


def test_a_signal_ends_the_batch_and_the_videos_can_be_resumed(batch_folder):
    jobs = batch_folder.jobs({"seeds": "1..2"}, moves="w-4000")
    with batch_folder.start(jobs) as child:
        for line in child.stdout:
            if json.loads(line)["event"] == "progress":
                os.kill(child.pid, signal.SIGINT)
                break
        said = [json.loads(line) for line in child.stdout]
    assert child.wait(60) == 130
    ends = [each["status"] for each in said if each["event"] == "video"]
    assert ends == ["stopped", "stopped"]
    assert len(list((batch_folder.folder / "out" / "a-1.mp4.resume").glob("*.safetensors"))) >= 1


def test_the_resume_folder_of_a_finished_video_is_removed_by_the_next_run(batch_folder):
    jobs = batch_folder.jobs({"seeds": "1..2", "moves": "w-9"})
    batch_folder.batch(jobs)
    store = ResumeStore.for_output(str(batch_folder.folder / "out" / "a-1.mp4"))
    with store.locked():  # the state after a kill between the manifest entry and the cleanup
        store.start({"seed": "1"}, 0)
        store.save_chunk(0, np.zeros((16, 3, 4, 4), np.float32), {"prompt": ""})
    _, videos = batch_folder.batch(jobs)
    assert [video["status"] for video in videos.values()] == ["skipped", "skipped"]
    assert not store.folder.exists()


@pytest.mark.parametrize("moment", ["started", "progress"])
def test_ctrl_c_in_the_terminal_stops_the_videos_without_a_traceback(batch_folder, moment):
    jobs = batch_folder.jobs({"seeds": "1..2"}, moves="w-4000")
    with batch_folder.start(jobs, "--jobs", "2", stderr=subprocess.STDOUT, start_new_session=True) as child:
        for line in child.stdout:
            if json.loads(line)["event"] == moment:
                os.killpg(child.pid, signal.SIGINT)
                break
        rest = child.stdout.read()
    assert child.wait(60) == 130
    assert "Traceback" not in rest
    ends = [json.loads(line)["status"] for line in rest.splitlines() if '"event": "video"' in line]
    assert ends == ["stopped", "stopped"]


def test_names_with_percent_signs_are_rendered_once_each(batch_folder):
    names = ["50%.mp4", "50%_%03d.png", "left-%d.png", "100%d%%.png"]
    jobs = batch_folder.jobs(*({"output": name} for name in names), moves="w-5")
    done, videos = batch_folder.batch(jobs)
    assert done.code == 0, done.stderr
    assert {video["status"] for video in videos.values()} == {"rendered"}
    written = set(os.listdir(batch_folder.folder / "out"))
    assert {"50%.mp4", "50%_004.png", "left-4.png", "1004%.png"} <= written
    assert len(written) == 1 + 3 * 5 + 1  # and the manifest
    assert {video["status"] for video in batch_folder.batch(jobs)[1].values()} == {"skipped"}
