"""`lingbot stream`, a real process on the built-in world, with a real server on the other side."""

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.command import lingbot
from tests.processes import children
from tests.reference import picture
from tests.rtmp import RtmpServer, free_port, until

SMALL = ("--size", "32x32")


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "first.png"
    Image.fromarray(picture(40, 48)).save(path)
    return path


class Streaming:
    """A running `lingbot stream`; what it says is read as it says it."""

    def __init__(self, *arguments, url=None, stdin=subprocess.DEVNULL):
        environ = {**os.environ, "OMP_NUM_THREADS": "2"} | ({"LINGBOT_STREAM_URL": url} if url else {})
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lingbot_cli", "stream", *map(str, arguments)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        self.out, self.err = [], []
        pairs = ((self.process.stdout, self.out), (self.process.stderr, self.err))
        self.readers = [threading.Thread(target=self._read, args=pair) for pair in pairs]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def _read(stream, lines):
        with stream:
            lines.extend(stream)

    def said(self, event):
        return [said for line in list(self.out) if (said := json.loads(line))["event"] == event]

    def say(self, line):
        self.process.stdin.write((line if isinstance(line, str) else json.dumps(line)) + "\n")
        self.process.stdin.flush()

    def end(self, seconds=120):
        code = self.process.wait(seconds)
        for reader in self.readers:
            reader.join(10)
        return code


@pytest.fixture
def streaming():
    running = []

    def start(*arguments, **options):
        running.append(Streaming(*arguments, **options))
        return running[-1]

    yield start
    for each in running:
        if each.process.stdin is not None:
            each.process.stdin.close()
        if each.process.poll() is None:
            each.process.kill()
            each.end(10)


def command_lines():
    """What `ps` shows of every process of ours."""
    lines = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return lines


def test_a_loop_on_the_air_is_read_back_and_its_key_is_nowhere(tmp_path, image, streaming):
    key = secrets.token_urlsafe(24)
    server = RtmpServer(tmp_path / "server", key)
    record = tmp_path / "made.mp4"
    try:
        on_air = streaming(
            *(image, "--moves", "w-10,l-7", "--loop", *SMALL, "--json", "--record", record), url=server.url
        )
        until(lambda: any(said["made"] > 30 for said in on_air.said("stream")), 120)
        listing = command_lines()
        assert any("lingbot_cli stream" in line for line in listing)
        assert any("-f flv pipe:1" in line for line in listing)
        assert not any(key in line for line in listing if "nginx" not in line)
        seen = subprocess.run(
            [
                *("ffprobe", "-v", "error", "-of", "json", "-show_streams", "-show_packets"),
                *("-read_intervals", "%+#200", server.url),
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
        read = json.loads(seen.stdout)
        streams = {stream["codec_name"]: stream for stream in read["streams"]}
        assert set(streams) == {"h264", "aac"}
        assert streams["h264"]["width"] == 32
        assert sum(packet["codec_type"] == "video" for packet in read["packets"]) > 8
        server.stop()
        until(lambda: on_air.said("lost"), 30)
        server.start()
        until(lambda: on_air.said("gap"), 30)
        until(lambda: on_air.said("stream")[-1]["outputs"][0]["connected"], 30)
        on_air.process.send_signal(signal.SIGINT)
        assert on_air.end() == 130
    finally:
        server.stop()
    (plan,) = on_air.said("plan")
    assert plan == plan | {"frames": None, "chunks": None, "fps": 16}
    figures = on_air.said("stream")[-1]
    assert figures["reconnects"] == 1
    assert figures["outputs"][0]["name"] == f"rtmp://127.0.0.1:{server.port}/live"
    assert figures["paced_fps"] == pytest.approx(16, rel=0.1)
    assert on_air.said("gap")[0]["seconds"] > 0
    assert on_air.said("done")[0]["made"] >= figures["made"]
    assert "interrupted by SIGINT" in "".join(on_air.err)
    assert record.exists()
    assert not list(tmp_path.glob("*.partial*"))
    assert not any(key in line for line in on_air.out + on_air.err)
    assert key.encode() not in record.read_bytes()


def encoder_of(on_air, ending):
    """The ffmpeg of a running stream whose command line ends so."""
    (found,) = [
        pid
        for pid in children(on_air.process.pid)
        if Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").strip().endswith(ending)
    ]
    return found


def test_an_encoder_that_is_killed_does_not_end_the_show(tmp_path, image, streaming, decode):
    server = RtmpServer(tmp_path / "server")
    record = tmp_path / "made.mkv"
    try:
        on_air = streaming(
            *(image, "--moves", "w-10,l-7", "--loop", *SMALL, "--json", "--record", record), url=server.url
        )
        until(lambda: any(said["made"] > 20 for said in on_air.said("stream")), 120)
        os.kill(encoder_of(on_air, b"-f flv pipe:1"), signal.SIGKILL)
        until(lambda: on_air.said("gap"), 30)
        sent = on_air.said("stream")[-1]["outputs"][0]["sent"]
        until(lambda: on_air.said("stream")[-1]["outputs"][0]["sent"] > sent + 20, 60)
        on_air.process.send_signal(signal.SIGINT)
        assert on_air.end() == 130
    finally:
        server.stop()
    assert "killed by signal 9" in on_air.said("lost")[0]["reason"]
    assert on_air.said("stream")[-1]["reconnects"] == 1
    assert len(decode(record, 32, 32)) == on_air.said("done")[0]["made"]


def test_an_encoder_of_a_file_that_is_killed_ends_it(tmp_path, image, streaming):
    on_air = streaming(image, "--moves", "w-400", *SMALL, "--json", "--to", tmp_path / "sent.mkv")
    until(lambda: any(said["made"] > 0 for said in on_air.said("stream")), 120)
    os.kill(encoder_of(on_air, b"sent.partial.mkv"), signal.SIGKILL)
    assert on_air.end() == 4
    assert "killed by signal 9" in on_air.said("error")[0]["message"]
    assert [path.name for path in tmp_path.glob("sent.*")] == ["sent.partial.mkv"]


def test_events_as_they_come(tmp_path, image, streaming):
    sent, kept, said = (tmp_path / name for name in ("sent.mkv", "made.mkv", "said.jsonl"))
    on_air = streaming(
        *(image, "-t", "-", *SMALL, "--json", "--to", sent, "--record", kept, "--save-timeline", said),
        stdin=subprocess.PIPE,
    )
    until(lambda: on_air.said("waiting"), 60)
    assert not on_air.said("plan")
    on_air.say({"timeline": 1, "prompt": "a gate", "seed": 7})
    until(lambda: any(said["chunk"] > 0 for said in on_air.said("stream")), 120)
    on_air.say({"keys": "w"})
    on_air.say({"keys": "x"})
    on_air.say("{" * 70_000)
    on_air.say("nonsense")
    on_air.say({"prompt": "it rains"})
    until(lambda: len(on_air.said("effect")) == 2, 30)
    on_air.say({"turn": {"yaw": 20}, "for": "9f"})
    until(lambda: len(on_air.said("effect")) == 3, 30)
    on_air.say({"end": True})
    assert on_air.end() == 0, on_air.err
    assert [(skipped["line"], skipped["message"].split(":")[0]) for skipped in on_air.said("skipped")] == [
        *((3, "<stdin>"), (4, "<stdin>"), (5, "<stdin>")),
    ]
    assert "unknown key letter 'x'" in on_air.said("skipped")[0]["message"]
    effects = on_air.said("effect")
    assert [effect["line"] for effect in effects] == [2, 6, 7]  # and the end, which has no frame
    assert all(0 < effect["latency"] < 30 and effect["frame"] > 0 for effect in effects)
    assert effects[0]["frame"] == 9 + 12 * (effects[0]["chunk"] - 1)
    lines = [json.loads(line) for line in said.read_text().splitlines()]
    assert lines[0] == {"timeline": 1, "prompt": "a gate", "seed": 7, "fps": 16}
    assert lines[1]["keys"] == "w"
    assert lines[1]["at"] == f"{effects[0]['frame']}f"
    (done,) = on_air.said("done")
    assert int(lines[-1]["at"][:-1]) == done["made"]
    again = lingbot("render", str(image), "-t", str(said), *SMALL, "-o", "null:", "--json")
    assert again.code == 0, again.stderr
    rendered = json.loads(again.stdout.splitlines()[-1])
    assert (rendered["frames"], rendered["latents"]) == (done["made"], done["latents"])


def test_a_reader_of_the_news_that_goes_away(image):
    command = ("stream", str(image), "--moves", "w-4000", *SMALL, "--to", "null:", "--json")
    with subprocess.Popen(
        [sys.executable, "-m", "lingbot_cli", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as child:
        watchdog = threading.Timer(180, child.kill)
        watchdog.start()
        assert '"event": "plan"' in child.stdout.readline()
        child.stdout.close()
        said = child.stderr.read()
        assert child.wait(60) == 4
        watchdog.cancel()
    assert said == "error: nobody reads standard output any more\n"


def test_a_wrong_key_ends_it_before_anything_is_loaded(tmp_path, image):
    server = RtmpServer(tmp_path / "server")
    to = tmp_path / "to"
    to.write_text(f"{server.url.replace('first', 'wrong')}\n")
    try:
        done = lingbot(
            "--debug", "stream", str(image), "--moves", "w-20", *SMALL, "--to-file", str(to), "--json"
        )
    finally:
        server.stop()
    assert done.code == 5
    assert "refuses the stream key" in done.stderr
    assert "check the key" in done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["event"] for each in events] == ["plan", "error"]
    assert events[1]["exit_code"] == 5
    assert "wrong-key" not in done.stdout + done.stderr


def test_a_film_into_nowhere_ends_by_itself(tmp_path, image):
    begun = time.monotonic()
    made = tmp_path / "made.mkv"
    done = lingbot(
        *(
            "stream",
            str(image),
            "--moves",
            "w-20",
            *SMALL,
            "--to",
            "null:",
            "--lead",
            "0",
            "--pace",
            "smooth",
        ),
        *("--record", str(made), "--duration", "1s"),
    )
    assert done.code == 0, done.stderr
    assert "16 made" in done.stderr
    assert time.monotonic() - begun > 0.9
    assert made.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--moves", "w-5"), "where should the stream go?"),
        (("--moves", "w-5", "--to", "null:", "--to", "null:"), "named twice"),
        (("--moves", "w-5", "--to", "rtmp://host/key-only"), "not complete"),
        (("-t", "-", "--loop", "--to", "null:"), "--loop needs a timeline that ends"),
        (("--moves", "w-5", "--save-timeline", "a.jsonl", "--to", "null:"), "--save-timeline writes down"),
        (("--moves", "x-5", "--to", "null:"), "unknown key letter"),
        (("--poses", ".", "--loop", "--to", "null:"), "--loop goes with"),
        (("--to", "null:"), "what should the camera do?"),
    ],
)
def test_what_is_wrong_is_said(image, arguments, said):
    done = lingbot("stream", str(image), *arguments)
    assert done.code == 2
    assert said in done.stderr


def test_a_port_nobody_listens_on(image):
    done = lingbot(
        "stream", str(image), "--moves", "w-5", "--to", f"rtmp://127.0.0.1:{free_port()}/app/a-secret"
    )
    assert done.code == 5
    assert "connection refused" in done.stderr
    assert "a-secret" not in done.stderr
