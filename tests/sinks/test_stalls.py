"""Encoders that hang, and readers that only pause."""

import os
import signal
import subprocess
import threading

import pytest

from lingbot_cli.errors import OutputError, RunInterrupted
from lingbot_cli.sinks import ffmpeg_process
from lingbot_cli.sinks.factory import OutputOptions, choose_sinks
from lingbot_cli.ui.signals import StopRequest
from tests.support.encoding_sink import VIDEO, open_sink, write_often
from tests.support.processes import has_exited, wait_until


@pytest.fixture
def short_stalls(monkeypatch):
    monkeypatch.setattr(ffmpeg_process, "STALL_TIMEOUT_S", 0.6)
    monkeypatch.setattr("lingbot_cli.sinks.ffmpeg_sink._ENCODE_TIMEOUT_S", 0.1)


def suspend(sink):
    """Suspend a sink's encoder as SIGSTOP or a mount that hangs does; return its process id."""
    pid = sink.encoder._child.pid
    os.kill(pid, signal.SIGSTOP)
    return pid


@pytest.mark.usefixtures("short_stalls")
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_hanging_encoder_is_an_error_and_the_video_is_playable_so_far(tmp_path, bars, decode, name):
    sink = open_sink(tmp_path / name)
    sink.write(bars(40))
    wait_until(lambda: sink.encoder.encoded >= 31)
    pid = suspend(sink)
    with pytest.raises(OutputError, match=rf"{name}: ffmpeg stalled: it accepted and encoded nothing"):
        write_often(sink, bars(40))
    assert sink.abort() == str(tmp_path / name.replace(".", ".partial."))
    assert has_exited(pid)
    assert len(decode(tmp_path / name.replace(".", ".partial."), 96, 128)) >= 24


@pytest.mark.usefixtures("short_stalls")
def test_an_encoder_that_hangs_at_the_end_is_an_error(tmp_path, bars):
    sink = open_sink(tmp_path / "a.mp4")
    sink.write(bars(2))
    pid = suspend(sink)
    with pytest.raises(OutputError, match="stalled"):
        sink.close()
    sink.abort()
    assert has_exited(pid)
    assert not (tmp_path / "a.mp4").exists()


@pytest.mark.usefixtures("short_stalls")
def test_a_slow_encoder_is_no_hanging_one(tmp_path, bars, monkeypatch):
    work = iter(range(10**6))
    monkeypatch.setattr(ffmpeg_process, "_state", lambda _: ("R", next(work)))
    sink = open_sink(tmp_path / "a.mp4")
    pid = suspend(sink)
    threading.Timer(1.5, os.kill, (pid, signal.SIGCONT)).start()
    for _ in range(5):
        sink.write(bars(40))
    sink.close()
    assert (tmp_path / "a.mp4").exists()


@pytest.mark.usefixtures("short_stalls")
def test_a_reader_that_pauses_is_waited_for(tmp_path, bars):
    pipe = tmp_path / "a.y4m"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["sh", "-c", f"sleep 2; cat < {pipe} | wc -c"], stdout=subprocess.PIPE)
    holder = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # a reader that does not read yet
    sink = open_sink(pipe)
    for _ in range(5):
        sink.write(bars(40))
    sink.close()
    os.close(holder)
    assert int(reader.communicate(timeout=60)[0]) > 200 * 96 * 128 * 1.5


def test_a_signal_ends_a_wait_for_a_hanging_encoder_or_reader(tmp_path, bars):
    os.mkfifo(tmp_path / "a.y4m")
    holder = os.open(tmp_path / "a.y4m", os.O_RDONLY | os.O_NONBLOCK)
    for name in ("a.mp4", "a.y4m"):
        sink = open_sink(tmp_path / name)
        pid = suspend(sink) if name == "a.mp4" else sink.encoder._child.pid
        with StopRequest(lambda _: None).handling() as stop:
            stop.graceful = True
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
            with pytest.raises(RunInterrupted):
                write_often(sink, bars(40))
            sink.abort()
        assert has_exited(pid)
    os.close(holder)


def test_a_signal_ends_the_wait_for_the_reader_of_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "a.y4m")
    with StopRequest(lambda _: None).handling() as stop:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(RunInterrupted), stop.deferring():
            open_sink(tmp_path / "a.y4m")


def test_several_hanging_encoders_are_ended_together(tmp_path, bars):
    sinks = choose_sinks([str(tmp_path / f"{n}.mkv") for n in range(4)], OutputOptions(), os.environ)
    sinks.open(VIDEO)
    sinks.write(bars(2))
    pids = [suspend(sink) for sink in sinks.sinks]
    sinks.abort()
    assert all(map(has_exited, pids))


def test_a_forced_exit_leaves_no_suspended_encoder(tmp_path):
    sink = open_sink(tmp_path / "a.mp4")
    running = open_sink(tmp_path / "b.mp4")
    pid = suspend(sink)
    wait_until(lambda: ffmpeg_process._state(pid)[0] == "T")
    ffmpeg_process._kill_suspended()
    wait_until(lambda: has_exited(pid))
    assert not has_exited(running.encoder._child.pid)
    sink.abort()
    running.abort()
