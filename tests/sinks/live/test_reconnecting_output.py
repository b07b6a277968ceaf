"""End of an output: aborted, failed or slow to finish; every failure is raised."""

import os
import signal
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from lingbot_cli.errors import OutputError, StreamLostError
from lingbot_cli.sinks.live.connections import FfmpegConnection
from lingbot_cli.sinks.live.reconnecting_output import ReconnectingOutput
from lingbot_cli.sinks.live.rtmp_protocol import COMMAND, encode_amf, encode_message
from lingbot_cli.sinks.live.send_queue import FrameQueue
from tests.support.live_outputs import STILL, Feed, start
from tests.support.processes import never_created
from tests.support.rtmp_server import until


def fill(output, frames):
    for _ in range(frames):
        output.put(STILL)
    until(lambda: output.stats.sent >= frames)


def over(output):
    output._thread.join(20)
    assert not output._thread.is_alive()


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_an_aborted_file_keeps_its_partial_name(tmp_path, decode, name):
    partial = tmp_path / name.replace(".", ".partial.")
    with never_created(tmp_path / name):
        output = start(str(tmp_path / name))
        fill(output, 20)
        assert output.abort() == str(partial)
        over(output)
    assert [path.name for path in tmp_path.iterdir()] == [partial.name]
    assert len(decode(partial, 64, 96)) == 20


@pytest.mark.parametrize("frames", [0, 20])
def test_a_file_whose_encoder_is_killed_stays_unless_it_is_empty(tmp_path, frames):
    output = start(str(tmp_path / "a.mkv"))
    fill(output, frames)
    os.kill(output._connection._sink.encoder._child.pid, signal.SIGKILL)
    output._connection._sink.encoder._child.wait(20)
    output.put(STILL)
    over(output)
    with pytest.raises(OutputError, match="killed by signal 9"):
        output.check()
    left = ["a.partial.mkv"] if frames else []
    assert output.abort() == (str(tmp_path / left[0]) if left else None)
    assert [path.name for path in tmp_path.iterdir()] == left


def test_a_disk_may_take_its_time_at_the_end(tmp_path, monkeypatch, decode):
    fsync = os.fsync

    def slow(file):
        time.sleep(4.5)  # longer than the close timeout of a server
        fsync(file)

    output = start(str(tmp_path / "a.mkv"))
    fill(output, 20)
    monkeypatch.setattr(os, "fsync", slow)
    output.close()
    assert len(decode(tmp_path / "a.mkv", 64, 96)) == 20


class FailingConnection:
    """A connection that fails with an unexpected error."""

    sent = 0
    aborted = 0

    def send(self, item):
        raise ZeroDivisionError(f"frames of {item.shape}")

    def close(self):
        pass

    def abort(self):
        self.aborted += 1


def test_an_unexpected_failure_is_raised_by_check():
    connection = FailingConnection()
    output = ReconnectingOutput("odd", lambda: connection, FrameQueue(9), [].append)
    output.wait_started(20)
    output.put(STILL)
    over(output)
    with pytest.raises(ZeroDivisionError, match="frames of"):
        output.check()
    assert output.abort() is None
    assert connection.aborted == 1
    output = ReconnectingOutput("odd", lambda: 1 // 0, FrameQueue(9), [].append)
    with pytest.raises(ZeroDivisionError):
        output.wait_started(20)


def test_a_stalled_connection_is_aborted():
    hanging, freed = threading.Event(), threading.Event()

    class StalledConnection(FailingConnection):
        def send(self, _):
            hanging.set()
            assert freed.wait(20)
            raise StreamLostError("cut")

        def abort(self):
            super().abort()
            freed.set()

    connection = StalledConnection()
    output = ReconnectingOutput("hanging", lambda: connection, FrameQueue(9), [].append)
    output.wait_started(20)
    output.put(STILL)
    assert hanging.wait(20)
    output.abort()
    over(output)
    assert connection.aborted == 1


def test_an_encoder_that_cannot_start_is_retried():
    with pytest.raises(StreamLostError, match=r"ffmpeg (could not be started|exited with code 127)"):
        FfmpegConnection("srt://host:1", ["/nowhere/ffmpeg"], STILL, 16.0, ())


@contextmanager
def odd_server(stream, then=b""):
    """Run a server that accepts everything, answers with this stream number, and sends `then`."""

    def serve(then=then):
        client, _ = listener.accept()
        with client:
            received = b""
            while len(received) < 1537:
                received += client.recv(65536)
            client.sendall(b"\3" + bytes(1536) + received[1:1537])
            for values in (
                ("_result", 1, None, None),
                ("_result", 4, None, stream),
                ("onStatus", 0, None, {"code": "ok", "level": "status"}),
            ):
                client.sendall(encode_message(COMMAND, encode_amf(*values), chunk=128))
            while more := client.recv(65536):
                received += more
                if then and len(received) > 8000:  # the stream has begun
                    client.sendall(then)
                    then = b""

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"rtmp://127.0.0.1:{listener.getsockname()[1]}/live/key"
        thread.join(20)


@pytest.mark.parametrize("stream", [float("inf"), float("nan"), -1, 1 << 32, "one"])
def test_an_invalid_stream_number_is_refused(stream):
    with odd_server(stream) as url, pytest.raises(StreamLostError, match="no stream"):
        start(url)


def test_deeply_nested_values_are_ignored():
    with odd_server(1, encode_message(COMMAND, encode_amf("x", 0) + b"\3\0\1a" * 3000, chunk=128)) as url:
        output = start(url)
        with Feed(output, fps=48):
            until(lambda: output.stats.sent >= 64)
        output.check()
        output.close()
