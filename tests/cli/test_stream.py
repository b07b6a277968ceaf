"""`lingbot stream` as a process, with the built-in model and a real server."""

import io
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lingbot_cli.broadcast.pacer import CATCH_UP_FACTOR
from lingbot_cli.cli import run
from lingbot_cli.env import Env
from tests.support.command import lingbot
from tests.support.rtmp_server import RtmpServer, until
from tests.support.stream_command import SMALL


def command_lines():
    """What `ps` shows of every process of ours."""
    lines = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return lines


def test_a_loop_on_the_air_is_read_back_and_its_key_is_nowhere(tmp_path, small_picture, streaming):
    key = secrets.token_urlsafe(24)
    server = RtmpServer(tmp_path / "server", key)
    record = tmp_path / "made.mp4"
    try:
        on_air = streaming(
            *(small_picture, "--moves", "w-10,l-7", "--loop", *SMALL, "--json", "--record", record),
            url=server.url,
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
    assert 0 < figures["paced_fps"] <= 16 * CATCH_UP_FACTOR  # after a stall of this machine faster than 16
    assert on_air.said("gap")[0]["seconds"] > 0
    assert on_air.said("done")[0]["made"] >= figures["made"]
    assert "interrupted by SIGINT" in "".join(on_air.err)
    assert record.exists()
    assert not list(tmp_path.glob("*.partial*"))
    assert not any(key in line for line in on_air.out + on_air.err)
    assert key.encode() not in record.read_bytes()


def test_a_reader_of_the_news_that_goes_away(small_picture):
    command = ("stream", str(small_picture), "--moves", "w-4000", *SMALL, "--to", "null:", "--json")
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
    assert said == "error: standard output was closed by its reader\n"


def test_a_film_into_nowhere_ends_by_itself(tmp_path, small_picture):
    made = tmp_path / "made.mkv"
    done = lingbot(
        *(
            "stream",
            str(small_picture),
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
    assert "16 rendered" in done.stderr
    summary = done.stderr.splitlines()[-1]
    told = re.search(r"^(\d+) frames, .*; (\d+) sent to null: \((\S+) fps, 0 lost, 0 reconnects\)$", summary)
    assert told, summary
    assert told[1] == told[2]  # all that left was sent
    assert 8 < float(told[3]) < 32
    assert int(told[1]) >= 16
    assert made.exists()


@pytest.mark.parametrize("option", ["--record", "--to"])
def test_a_file_whose_name_is_taken_meanwhile_is_kept_under_another(
    tmp_path, small_picture, streaming, option
):
    film, other = tmp_path / "film.mkv", tmp_path / "other.mkv"
    on_air = streaming(
        *(small_picture, "--moves", "w-45", *SMALL, "--json", option, film),
        *("--to", "null:" if option == "--record" else other),
    )
    until(lambda: on_air.said("stream"), 120)
    film.write_text("somebody else's")
    assert on_air.end() == 2
    said = "".join(on_air.out + on_air.err)
    assert "film.mkv exists already" in said
    assert f"partial output: {tmp_path / 'film.partial.mkv'}" in said
    assert film.read_text() == "somebody else's"
    assert (tmp_path / "film.partial.mkv").stat().st_size > 0
    assert other.exists() == (option == "--to")


@pytest.mark.parametrize("live", [False, True])
def test_a_gif_with_fewer_frames_and_a_stretched_image_are_said(tmp_path, small_picture, live):
    arguments = ["stream", str(small_picture), "--size", "80x64", "--fps", "60", "--duration", "6f"]
    targets = ["--to", str(tmp_path / "a.gif"), "--record", str(tmp_path / "b.gif")]
    env = Env(stdout=io.StringIO(), stderr=io.StringIO())
    if live:
        read, write = os.pipe()
        os.write(write, b'{"keys": "w", "for": "6f"}\n')
        os.close(write)
        with os.fdopen(read) as env.stdin:
            assert run([*arguments, "-t", "-", *targets], env) == 0
    else:
        assert run([*arguments, "--moves", "w-6", *targets], env) == 0
    said = env.stderr.getvalue()
    assert "warning: the image of 48x40 is stretched by" in said
    for name in ("a.gif", "b.gif"):
        assert f"{name}: 50 of 60 frames per second, the most that gif players show" in said


def test_a_recording_begins_at_zero_and_has_the_chapters(tmp_path, small_picture, probe):
    timeline, made = tmp_path / "walk.yaml", tmp_path / "made.mp4"
    timeline.write_text("- marker: gate\n- {keys: w, for: 7f}\n- marker: tower\n- {keys: s, for: 9f}\n")
    done = lingbot(
        *("stream", str(small_picture), "-t", str(timeline), *SMALL, "--to", "null:", "--record", str(made))
    )
    assert done.code == 0, done.stderr
    found = probe(made)
    assert float(found["format"]["start_time"]) == 0
    chapters = [(each["tags"]["title"], float(each["start_time"])) for each in found["chapters"]]
    assert chapters == [("gate", 0), ("tower", pytest.approx(7 / 16, abs=1e-3))]
    assert int(found["video"]["nb_read_frames"]) == 16
