"""Streams over TLS and over SRT."""

import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lingbot_cli.errors import RunInterrupted, StreamLostError
from lingbot_cli.sinks.live.targets import StreamOptions, choose_target, start_all
from tests.support.live_outputs import STILL, VIDEO, Feed, packets, silent_listener, start
from tests.support.processes import children, has_exited
from tests.support.rtmp_server import free_port, until


def test_tls_requires_a_trusted_certificate(server, tmp_path, monkeypatch):
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
            ),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with silent_listener() as listener:
        threading.Thread(target=tls_front, args=(listener, context, server.port), daemon=True).start()
        url = f"rtmps://localhost:{listener.getsockname()[1]}/live/{server.key}"
        with pytest.raises(StreamLostError, match=r"(?i)certificate"):
            start(url)
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        output = start(url)
        with Feed(output):
            until(lambda: output.stats.sent > 10)
        output.close()
    assert len(packets(server.recordings()[-1], "v")) > 5


def tls_front(listener, context, port):
    """Accept TLS connections and forward their bytes to a plain server."""
    while True:
        try:
            raw, _ = listener.accept()
            client = context.wrap_socket(raw, server_side=True)
        except ssl.SSLError:
            continue
        except OSError:
            return
        back = socket.create_connection(("127.0.0.1", port))

        def copy(a, b):
            try:
                while data := a.recv(65536):
                    b.sendall(data)
                b.shutdown(socket.SHUT_WR)
            except OSError:
                return

        for pair in ((client, back), (back, client)):
            threading.Thread(target=copy, args=pair, daemon=True).start()


def test_over_srt(tmp_path, ffmpeg, probe):
    port, video = free_port(), tmp_path / "srt.ts"
    listener = subprocess.Popen(
        [
            *(ffmpeg, "-v", "error", "-y", "-f", "mpegts", "-i"),
            *(
                f"srt://127.0.0.1:{port}?mode=listener&passphrase=long-enough-secret",
                "-c",
                "copy",
                str(video),
            ),
        ]
    )
    try:
        time.sleep(1)
        output = start(f"srt://127.0.0.1:{port}?passphrase=long-enough-secret")
        assert output.stats.name == f"srt://127.0.0.1:{port}"
        with Feed(output):
            until(lambda: output.stats.sent > 40)
        output.close()
        listener.wait(20)
    finally:
        listener.kill()
        listener.wait()
    assert [stream["codec_name"] for stream in probe(video)["streams"]] == ["h264", "aac"]
    assert len(packets(video, "v")) > 20


def test_an_srt_listener_waits_for_its_caller_and_then_for_the_next(tmp_path, ffmpeg, monkeypatch):
    monkeypatch.setattr("lingbot_cli.sinks.live.connections.CONNECT_TIMEOUT_S", 0.1)  # of a caller
    port = free_port()
    url = f"srt://127.0.0.1:{port}?passphrase=long-enough-secret"

    def call(name):
        args = [ffmpeg, "-v", "error", "-y", "-t", "1", "-i", url, "-c", "copy", str(tmp_path / name)]
        return subprocess.Popen(args)

    target = choose_target(f"{url}&mode=listener", StreamOptions(), os.environ)
    assert target.listens
    caller = call("first.ts")
    (output,) = start_all([target], VIDEO, STILL, [].append)
    with Feed(output):
        for name in ("first.ts", "second.ts"):
            if name == "second.ts":
                until(lambda: not output.stats.connected)
                caller = call(name)
            assert caller.wait(30) == 0
            assert len(packets(tmp_path / name, "v")) > 5
    until(lambda: not output.stats.connected)
    encoder = output._thread
    output.abort()
    until(lambda: not encoder.is_alive())


def test_a_listener_that_nobody_calls_ends_with_the_run(monkeypatch):
    def stop():
        raise RunInterrupted("interrupted", signal_number=2)

    monkeypatch.setattr("lingbot_cli.sinks.live.reconnecting_output.check_stop", stop)
    before = {*children(os.getpid())}
    with pytest.raises(RunInterrupted):
        start(f"srt://127.0.0.1:{free_port()}?mode=listener")
    until(lambda: {*children(os.getpid())} <= before)


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv (Linux)")
def test_a_listener_does_not_outlive_a_killed_run():
    url = f"srt://127.0.0.1:{free_port()}?mode=listener"
    code = f"from tests.support.live_outputs import listen; listen({url!r})"
    run = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    seen = []  # not the ffmpeg that tells its version, which is gone soon
    until(
        lambda: (
            seen.extend(pid for pid in children(run.pid) if is_listener(pid, url.partition("?")[0])) or seen
        )
    )
    (listener,) = set(seen)
    run.kill()
    run.wait(20)
    until(lambda: has_exited(listener))


def is_listener(pid, url):
    try:
        executable = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
        return "ffmpeg" in executable and url.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
