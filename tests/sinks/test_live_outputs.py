"""Live outputs against real servers: what arrives, and what happens when they go, hang, or say no."""

import os
import socket
import ssl
import subprocess
import threading
import time
from fractions import Fraction

import numpy as np
import pytest

from lingbot_cli.errors import LingbotError, OutputError, StreamLostError, UsageError
from lingbot_cli.sinks.base import FilmInfo
from lingbot_cli.sinks.rtmp import RtmpAddress
from lingbot_cli.sinks.targets import RtmpOutput, StreamOptions, choose_target, read_urls, start_all
from tests.rtmp import RtmpServer, free_port, until

FILM = FilmInfo(64, 96, Fraction(16))
STILL = np.zeros((64, 96, 3), np.uint8)


@pytest.fixture
def server(tmp_path):
    server = RtmpServer(tmp_path / "server")
    yield server
    server.stop()


def start(url, told=None, **options):
    target = choose_target(url, StreamOptions(**options), os.environ)
    (output,) = start_all([target], FILM, STILL, (told if told is not None else []).append)
    return output


class Feed:
    """Puts frames into an output in real time until it is left."""

    def __init__(self, output, fps=16):
        self.output, self.fps = output, fps
        self.left = threading.Event()
        self.longest = 0.0
        self.thread = threading.Thread(target=self.work)

    def work(self):
        noise = np.random.default_rng(0).integers(0, 256, (16, 64, 96, 3), np.uint8)
        index = 0
        while not self.left.wait(1 / self.fps):
            begun = time.monotonic()
            self.output.put(noise[index % 16])
            self.longest = max(self.longest, time.monotonic() - begun)
            index += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.left.set()
        self.thread.join()


def packets(path, stream):
    """Time, size and flags of each packet of a stream of a file."""
    done = subprocess.run(
        [
            *("ffprobe", "-v", "error", "-select_streams", stream, "-of", "csv=p=0"),
            *("-show_entries", "packet=pts_time,size,flags", str(path)),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    rows = [line.split(",") for line in done.stdout.split()]
    return [(float(row[0]), int(row[1]), row[2]) for row in rows]


@pytest.mark.parametrize("audio", [True, False])
def test_a_stream_is_what_services_ask_for(server, probe, audio):
    output = start(server.url, kbits=300, audio=audio)
    with Feed(output, fps=48):
        until(lambda: output.delivery.sent >= 96)
    output.close()
    (film,) = server.films()
    asked = probe(film)
    assert [stream["codec_name"] for stream in asked["streams"]] == ["h264", "aac"][: 1 + audio]
    assert asked["video"]["pix_fmt"] == "yuv420p"
    pictures = packets(film, "v")
    times = [time for time, _, _ in pictures]
    assert np.diff(times) == pytest.approx([1 / 16] * (len(times) - 1), abs=0.002)
    keys = [time for time, _, flags in pictures if flags.startswith("K")]
    assert np.diff(keys) == pytest.approx([2] * (len(keys) - 1), abs=0.01)
    rate = sum(size for _, size, _ in pictures) * 8 / (len(pictures) / 16)
    assert rate == pytest.approx(300_000, rel=0.2)
    if audio:
        sound = packets(film, "a")
        assert abs(sound[-1][0] - times[-1]) < 0.5
    assert output.delivery.sent == len(pictures)
    assert output.delivery.lost == 0


def test_a_still_picture_is_sent_at_the_same_rate(server):
    output = start(server.url, kbits=300)
    for _ in range(64):
        output.put(STILL)
        time.sleep(0.02)
    output.close()
    (film,) = server.films()
    pictures = packets(film, "v")
    assert sum(size for _, size, _ in pictures) * 8 / (len(pictures) / 16) == pytest.approx(300_000, rel=0.2)


def test_a_server_that_is_away_for_five_seconds_is_found_again(server, probe):
    told = []
    output = start(server.url, told)
    with Feed(output) as feed:
        until(lambda: output.delivery.sent > 20)
        server.stop()
        until(lambda: told)
        assert told[0].seconds is None
        assert not output.delivery.connected
        time.sleep(5)
        server.start()
        assert until(lambda: output.delivery.connected) < 3
        before = output.delivery.sent
        until(lambda: output.delivery.sent > before + 20)
    output.close()
    assert feed.longest < 0.5
    gap = told[1]
    assert len(told) == 2
    assert gap.seconds > 5
    assert 40 < gap.frames <= output.delivery.lost
    assert output.delivery.reconnects == 1
    second = server.films()[-1]
    assert probe(second)["video"]["codec_name"] == "h264"
    first_time, _, flags = packets(second, "v")[0]
    assert flags.startswith("K")
    assert first_time < 0.5


def test_a_server_that_accepts_and_never_reads(server):
    told = []
    output = start(server.url, told, kbits=8000)
    with Feed(output) as feed:
        until(lambda: output.delivery.sent > 5)
        server.stop()
        until(lambda: told)
        with socket.socket() as silent:
            silent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            silent.bind(("127.0.0.1", server.port))
            silent.listen()
            time.sleep(6)  # it is tried and given up
            assert not output.delivery.connected
        server.start()
        until(lambda: output.delivery.connected)
    output.close()
    assert feed.longest < 0.5
    assert [gap.seconds is None for gap in told] == [True, False]


def test_a_server_that_stops_reading_is_given_up(server):
    """A frozen process takes what the kernel holds for it, then nothing."""
    told = []
    output = start(server.url, told, kbits=20_000)
    with Feed(output) as feed:
        until(lambda: output.delivery.sent > 5)
        os.kill(server._process.pid, 19)
        try:
            until(lambda: told, seconds=40)
        finally:
            os.kill(server._process.pid, 18)
        assert "no answer" in told[0].reason
        until(lambda: len(told) == 2)
    assert feed.longest < 0.5
    output.abandon()


def kill_encoder(output):
    os.kill(output._encoder._link._encoder._child.pid, 9)


def test_an_encoder_that_is_killed_is_started_again(server):
    told = []
    output = start(server.url, told)
    with Feed(output) as feed:
        for kills in (1, 2):
            sent = output.delivery.sent
            until(lambda sent=sent: output.delivery.sent > sent + 20)
            kill_encoder(output)
            until(lambda kills=kills: len(told) == 2 * kills)
        sent = output.delivery.sent
        until(lambda: output.delivery.sent > sent + 20)
    output.close()
    assert feed.longest < 0.5
    assert [gap.seconds is None for gap in told] == [True, False] * 2
    assert "killed by signal 9" in told[0].reason
    assert told[0].name == f"the encoder of rtmp://127.0.0.1:{server.port}/live"
    assert told[3].seconds > told[1].seconds  # it waits longer for what does not hold
    assert output.delivery.reconnects == 2
    (film,) = server.films()  # the connection never broke
    pictures = packets(film, "v")
    times = [time for time, _, _ in pictures]
    assert np.diff(times).min() > 0
    holes = np.flatnonzero(np.diff(times) > 0.2)
    assert len(holes) == 2
    for hole in holes:
        assert pictures[hole + 1][2].startswith("K")
        assert np.diff(times)[hole] < 5
    decoded = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(film), "-map", "0:v", "-f", "null", "-"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert decoded.stderr == ""


def test_an_encoder_that_cannot_work_ends_the_stream(server, tmp_path):
    for argv in (["sh", "-c", "echo broken >&2; exit 3"], [str(tmp_path / "nowhere")]):
        output = RtmpOutput(RtmpAddress.parse(server.url), argv, 16, [].append)
        with Feed(output), pytest.raises(OutputError, match=r"broken|could not be started"):
            until(lambda output=output: output.check())
        output.abandon()


def silent_listener():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


def test_what_cannot_be_reached_is_said_at_the_start(server):
    wrong = server.url.replace("first-key", "secret-bad-key")
    with silent_listener() as silent:
        cases = [
            (wrong, "refuses the stream key: the server hung up"),
            (wrong.replace("/live/", "/none/"), "refuses the app"),
            (
                f"rtmp://127.0.0.1:{free_port()}/live/secret-bad-key",
                "could not be reached: connection refused",
            ),
            (f"rtmp://127.0.0.1:{silent.getsockname()[1]}/live/secret-bad-key", "no answer"),
            (wrong.replace("rtmp:", "rtmps:"), "could not be reached"),
            (f"srt://127.0.0.1:{free_port()}?streamid=secret-bad-key", "srt://127.0.0.1"),
        ]
        for url, said in cases:
            begun = time.monotonic()
            with pytest.raises(StreamLostError, match=said) as failure:
                start(url)
            assert time.monotonic() - begun < 5, url
            assert "secret-bad-key" not in f"{failure.value} {failure.value.hint}"


@pytest.mark.parametrize(
    "url",
    [
        "rtmp://host/secret",
        "rtmp://user:secret@host/app/secret",
        "rtmp://host:99999/app/secret",
        "srt://host?streamid=secret",
        "http://host/app/secret",
        "host/app/secret",
    ],
)
def test_an_address_that_is_none_is_refused_without_its_key(url):
    with pytest.raises(UsageError) as failure:
        choose_target(url, StreamOptions(), os.environ)
    assert "secret" not in f"{failure.value} {failure.value.hint}"
    assert str(failure.value).startswith("--to")


def test_several_targets_and_one_that_is_not_there(server, tmp_path):
    urls = [server.url, "null:", str(tmp_path / "a.mkv"), f"rtmp://127.0.0.1:{free_port()}/live/key"]
    targets = [choose_target(url, StreamOptions(), os.environ) for url in urls]
    with pytest.raises(StreamLostError, match="connection refused"):
        start_all(targets, FILM, STILL, [].append)
    outputs = start_all(targets[:2], FILM, STILL, [].append)
    assert [output.delivery.connected for output in outputs] == [True, True]
    for output in outputs:
        output.put(STILL)
        output.close()
    with pytest.raises(LingbotError, match="does not exist"):
        start(str(tmp_path / "no" / "a.mkv"))


def test_a_file_with_addresses(tmp_path):
    path = tmp_path / "to"
    path.write_text("# mine\nrtmp://a/b/c\n\n  null:  \n")
    assert read_urls(path) == ["rtmp://a/b/c", "null:"]
    path.write_text("#\n")
    with pytest.raises(UsageError, match="no address"):
        read_urls(path)


def test_over_tls_only_a_certificate_that_is_trusted_will_do(server, tmp_path, monkeypatch):
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
            until(lambda: output.delivery.sent > 10)
        output.close()
    assert len(packets(server.films()[-1], "v")) > 5


def tls_front(listener, context, port):
    """Take TLS connections and hand their bytes to a plain server."""
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
    port, film = free_port(), tmp_path / "srt.ts"
    listener = subprocess.Popen(
        [
            *(ffmpeg, "-v", "error", "-y", "-f", "mpegts", "-i"),
            *(f"srt://127.0.0.1:{port}?mode=listener&passphrase=long-enough-secret", "-c", "copy", str(film)),
        ]
    )
    try:
        time.sleep(1)
        output = start(f"srt://127.0.0.1:{port}?passphrase=long-enough-secret")
        assert output.delivery.name == f"srt://127.0.0.1:{port}"
        with Feed(output):
            until(lambda: output.delivery.sent > 40)
        output.close()
        listener.wait(20)
    finally:
        listener.kill()
        listener.wait()
    assert [stream["codec_name"] for stream in probe(film)["streams"]] == ["h264", "aac"]
    assert len(packets(film, "v")) > 20
