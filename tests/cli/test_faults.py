"""The whole program, killed, interrupted and starved in the middle of a video."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from tests.support.processes import children, has_exited, never_created, wait_until
from tests.support.reference import sample_image

ENDLESS = ("--moves", "w-4000", "--size", "32x32")


class Running:
    """A `lingbot render` in a process of its own; a watchdog ends it if it never ends."""

    def __init__(self, folder: Path, *argv: str, **streams):
        Image.fromarray(sample_image(40, 48)).save(folder / "first.png")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lingbot_cli", "render", str(folder / "first.png"), *argv],
            stderr=subprocess.PIPE,
            text=True,
            **streams,
        )
        self.said = ""
        self._watchdog = threading.Timer(180, self.process.kill)
        self._watchdog.start()

    def until(self, text: str) -> None:
        """Read what it says up to a line with `text`."""
        for line in self.process.stderr:
            self.said += line
            if text in line:
                return
        raise AssertionError(f"it ended before it said {text!r}: {self.said}")

    def end(self) -> int:
        """Wait for the end and return the exit code."""
        self.said += self.process.stderr.read()
        self._watchdog.cancel()
        self.process.stderr.close()
        return self.process.wait(60)


def find_encoder(run: Running) -> int:
    """Return the process of ffmpeg."""
    pids = children(run.process.pid)
    (encoder,) = [pid for pid in pids if "ffmpeg" in Path(f"/proc/{pid}/cmdline").read_text()]
    return encoder


def left_in(folder: Path) -> list[str]:
    """The films in a folder, not what a resumed run would need."""
    return sorted(path.name for path in folder.glob("a.*") if path.suffix != ".resume")


pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="asks /proc for the encoder")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_the_first_signal_finishes_the_chunk_and_the_partial_film(tmp_path, decode, number, code):
    with never_created(tmp_path / "a.mp4"):
        run = Running(tmp_path, *ENDLESS, "-o", str(tmp_path / "a.mp4"))
        run.until("chunk 2/")
        run.process.send_signal(number)
        assert run.end() == code
    assert f"error: interrupted by {number.name}" in run.said
    assert "a.partial.mp4" in run.said
    assert "Traceback" not in run.said
    assert left_in(tmp_path) == ["a.partial.mp4"]
    frames = len(decode(tmp_path / "a.partial.mp4", 32, 32))
    assert frames >= 21
    assert frames % 12 == 9  # whole chunks: 9 frames, then 12 each


def test_the_second_signal_leaves_at_once(tmp_path, decode):
    run = Running(tmp_path, "--moves", "w-4000", "--size", "160x160", "-o", str(tmp_path / "a.mkv"))
    run.until("chunk 1/")
    run.process.send_signal(signal.SIGINT)
    run.until("once more")
    encoder = find_encoder(run)
    run.process.send_signal(signal.SIGINT)
    assert run.end() == 130
    wait_until(lambda: has_exited(encoder))
    assert left_in(tmp_path) == ["a.partial.mkv"]
    assert len(decode(tmp_path / "a.partial.mkv", 160, 160)) >= 9


def test_a_signal_before_the_first_chunk_leaves_nothing_behind(tmp_path):
    run = Running(tmp_path, *ENDLESS, "-o", str(tmp_path / "a.mp4"))
    run.until("32x32")
    run.process.send_signal(signal.SIGTERM)
    assert run.end() == 143
    assert "interrupted by SIGTERM" in run.said
    assert [path.name for path in tmp_path.iterdir()] == ["first.png"]


def test_a_reader_that_goes_away(tmp_path):
    run = Running(tmp_path, *ENDLESS, "-o", "-", "--format", "rgb", stdout=subprocess.PIPE)
    assert len(run.process.stdout.buffer.read(32 * 32 * 3)) == 32 * 32 * 3
    run.process.stdout.close()
    assert run.end() == 4
    assert run.said.splitlines()[-1] == "error: standard output: the reader closed the pipe"
    assert "Broken pipe" not in run.said
    assert "Traceback" not in run.said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
def test_news_that_cannot_be_written(tmp_path):
    with open("/dev/full", "w") as full:
        run = Running(tmp_path, *ENDLESS, "-o", str(tmp_path / "a.mkv"), "--json", stdout=full)
        assert run.end() == 4
    assert run.said == "error: standard output cannot be written: No space left on device\n"


def test_a_reader_of_the_news_that_goes_away(tmp_path):
    run = Running(tmp_path, *ENDLESS, "-o", str(tmp_path / "a.mkv"), "--json", stdout=subprocess.PIPE)
    assert any('"event": "chunk"' in line for line in run.process.stdout)
    run.process.stdout.close()
    assert run.end() == 4
    assert run.said == "error: standard output was closed by its reader\n"
    assert left_in(tmp_path) == ["a.partial.mkv"]


def test_frames_on_standard_output_are_exactly_the_film(tmp_path):
    run = Running(tmp_path, "--moves", "w-11", "--size", "32x32", "-o", "-", "--format", "rgb", "--json",
                  stdout=subprocess.PIPE)  # fmt: skip
    film = run.process.stdout.buffer.read()
    assert run.end() == 0
    assert len(film) == 11 * 32 * 32 * 3
    assert '"event": "done"' in run.said


def test_an_encoder_that_is_killed_ends_the_run(tmp_path, decode):
    run = Running(tmp_path, *ENDLESS, "-o", str(tmp_path / "a.mp4"))
    run.until("chunk 4/")
    encoder = find_encoder(run)
    os.kill(encoder, signal.SIGKILL)
    assert run.end() == 4
    assert "was killed by signal 9" in run.said
    assert left_in(tmp_path) == ["a.partial.mp4"]
    assert len(decode(tmp_path / "a.partial.mp4", 32, 32)) >= 45 - 16


def test_the_whole_program_is_killed(tmp_path, decode):
    run = Running(tmp_path, *ENDLESS, "-o", str(tmp_path / "a.mp4"))
    run.until("chunk 4/")
    encoder = find_encoder(run)
    run.process.kill()
    assert run.end() == -signal.SIGKILL
    wait_until(lambda: has_exited(encoder))
    assert left_in(tmp_path) == ["a.partial.mp4"]
    assert len(decode(tmp_path / "a.partial.mp4", 32, 32)) >= 45


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of its own on a folder."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up(tmp_path, decode):
    disk = tmp_path / "disk"
    with small_disk(disk, "256k"):
        with never_created(disk / "a.mkv"):
            long = ("--moves", "w-800", "--size", "32x32")
            run = Running(tmp_path, *long, "--quality", "master", "-o", str(disk / "a.mkv"))
            assert run.end() == 4
        assert "No space left on device" in run.said
        assert "Traceback" not in run.said
        assert left_in(disk) == ["a.partial.mkv"]
        assert len(decode(disk / "a.partial.mkv", 32, 32)) >= 9


@pytest.mark.parametrize(
    ("size", "short"), [("64k", "disk space for the video"), ("140k", "the latents saved until")]
)
def test_a_disk_without_room_is_told_before_anything_is_written(tmp_path, size, short):
    disk = tmp_path / "disk"
    long = ("--moves", "w-800", "--size", "32x32", "--device", "cpu", "-o", str(disk / "a.mkv"))
    film = long if size == "140k" else ("--moves", "w-5", *long[2:])
    with small_disk(disk, size):
        for argv in ((*film, "--dry-run"), film):
            run = Running(tmp_path, *argv, stdout=subprocess.DEVNULL)
            assert run.end() == 4
            assert short in run.said
            assert list(disk.iterdir()) == []
