"""A render whose encoder hangs: continued from its saved chunks where nothing is lost, else ended in order."""

import json
import os
import signal
import subprocess
import threading

import numpy as np
import pytest
from PIL import Image

from lingbot_cli import durable_writes
from lingbot_cli.sinks import concat, ffmpeg_process
from lingbot_cli.sinks.ffmpeg_sink import FfmpegSink
from tests.support.command import lingbot
from tests.support.processes import has_exited, wait_until
from tests.support.reference import sample_image


@pytest.fixture
def render(tmp_path, monkeypatch):
    """Return a function that renders with encoders that hang at their fourth chunk, as often as is asked for."""
    Image.fromarray(sample_image(40, 48)).save(tmp_path / "first.png")
    monkeypatch.setattr(ffmpeg_process, "STALL_TIMEOUT_S", 0.6)
    monkeypatch.setattr("lingbot_cli.sinks.ffmpeg_sink._ENCODE_TIMEOUT_S", 0.2)
    write, state = FfmpegSink.write, {"stalls": 0, "chunks": 0, "encoders": []}

    def write_and_hang(sink, frames):
        pid = sink.encoder._child.pid if hasattr(sink.encoder, "_child") else sink.encoder._encode._child.pid
        if pid not in state["encoders"]:
            state["encoders"].append(pid)
            state["chunks"] = 0
        state["chunks"] += 1
        if state["chunks"] == 4 and len(state["encoders"]) <= state["stalls"]:
            os.kill(pid, signal.SIGSTOP)
            frames = np.tile(frames, (40, 1, 1, 1))  # more than the pipe takes
        write(sink, frames)

    monkeypatch.setattr(FfmpegSink, "write", write_and_hang)

    def run(name, stalls, *more):
        state.update(stalls=stalls, chunks=0, encoders=[])
        arguments = (
            "--moves",
            "w-93",
            "--size",
            "64x64",
            "--quality",
            "master",
            "--json",
            "-o",
            str(tmp_path / name),
        )
        done = lingbot("render", str(tmp_path / "first.png"), *arguments, *more)
        return done, [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_an_encoder_that_hangs_once_is_started_again_without_a_loss(render, tmp_path, decode, name):
    whole, _ = render(f"whole-{name}", 0)
    done, lines = render(name, 1)
    assert (whole.code, done.code) == (0, 0), done.stderr
    warning = next(each["message"] for each in lines if "stalled" in each.get("message", ""))
    assert warning.endswith("; it is started again after the last saved chunk")
    assert lines[-1]["frames"] == 93
    assert lines[-1]["latents"] == json.loads(whole.stdout.splitlines()[-1])["latents"]
    assert np.array_equal(decode(tmp_path / name, 64, 64), decode(tmp_path / f"whole-{name}", 64, 64))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "first.png", f"whole-{name}"])


def test_an_encoder_that_hangs_again_ends_the_run_with_what_can_be_resumed(render, tmp_path):
    done, lines = render("a.mkv", 9)
    assert done.code == 4
    assert lines[-1]["exit_code"] == 4
    assert sum("stalled" in each.get("message", "") for each in lines) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mkv.resume", "a.partial.mkv", "first.png"]
    again, lines = render("a.mkv", 0, "--resume")
    assert again.code == 0, again.stderr
    assert lines[-1]["resumed_frames"] > 0


def test_a_pipe_that_has_taken_frames_is_not_begun_again(render, tmp_path):
    with (tmp_path / "b.mkv").open("wb") as file:
        done, lines = render("a.mkv", 2, "-o", f"/dev/fd/{file.fileno()}", "--format", "mkv")
    assert done.code == 4
    assert sum("stalled" in each.get("message", "") for each in lines) == 1


def test_a_preview_is_not_begun_again(render):
    done, lines = render("a.mkv", 1, "--preview")
    assert done.code == 4
    assert lines[-1]["message"].endswith("it accepted and encoded nothing for 0.6 s")
    assert lines[-1]["hint"] == "continue after the last saved chunk with --resume"


@pytest.fixture
def stuck_disk(tmp_path, monkeypatch):
    """Return a disk of its own whose `freeze` lets every write wait, until the test is over or 30 s have passed."""
    disk, image = tmp_path / "disk", tmp_path / "image"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)

    def command(*args):
        return subprocess.run([str(arg) for arg in args], capture_output=True, timeout=30).returncode == 0

    if not (command("mkfs.ext4", "-q", "-F", image) and command("mount", "-o", "loop", image, disk)):
        pytest.skip("a disk that hangs needs root, a loop device and ext4")
    thaw = threading.Timer(30, command, ("fsfreeze", "-u", disk))
    thaw.start()
    monkeypatch.setattr(durable_writes, "_WRITE_TIMEOUT_S", 0.6)
    yield disk, lambda: command("fsfreeze", "-f", disk)
    thaw.cancel()
    command("fsfreeze", "-u", disk)
    wait_until(lambda: command("umount", disk))


@pytest.mark.parametrize("chunk", [0, 3])
def test_a_disk_that_hangs_ends_the_run_with_what_is_on_it(render, stuck_disk, monkeypatch, decode, chunk):
    disk, freeze = stuck_disk
    write, encoders = durable_writes.DurableWriter.write, []
    start = ffmpeg_process.FfmpegProcess.__init__

    def write_and_freeze(writer, path, data):
        if path.name == f"{chunk:06d}.safetensors":
            assert freeze()
        write(writer, path, data)

    def remember(process, *args, **options):
        start(process, *args, **options)
        encoders.append(process._child.pid)

    monkeypatch.setattr(durable_writes.DurableWriter, "write", write_and_freeze)
    monkeypatch.setattr(ffmpeg_process.FfmpegProcess, "__init__", remember)
    done, lines = render("disk/a.mkv", 0)
    assert done.code == 4
    assert "the disk has not answered for 0.6 s" in lines[-1]["message"]
    assert lines[-1]["hint"] == "continue with --resume once the disk answers again"
    subprocess.run(["fsfreeze", "-u", str(disk)], check=True)
    wait_until(lambda: all(map(has_exited, encoders)))
    if chunk:
        monkeypatch.setattr(durable_writes.DurableWriter, "write", write)
        assert len(decode(disk / "a.partial.mkv", 64, 64)) >= 12 * chunk - 9
        again, _ = render("disk/a.mkv", 0, "--resume")
        assert again.code == 0, again.stderr
        assert sorted(path.name for path in disk.iterdir()) == ["a.mkv", "lost+found"]


def test_a_disk_that_hangs_at_the_end_ends_the_run(render, stuck_disk, monkeypatch, decode):
    disk, freeze = stuck_disk
    args = concat.remux_args

    def freeze_first(*arguments):
        assert freeze()
        return args(*arguments)

    monkeypatch.setattr(concat, "remux_args", freeze_first)
    monkeypatch.setattr(concat, "STALL_TIMEOUT_S", 0.6)
    done, lines = render("disk/a.mp4", 0)
    assert done.code == 4
    assert lines[-1]["message"].endswith(f"{disk}: the disk has not answered for 0.6 s")
    subprocess.run(["fsfreeze", "-u", str(disk)], check=True)
    assert len(decode(disk / "a.partial.mp4", 64, 64)) == 93
