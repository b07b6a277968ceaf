"""`lingbot serve` as a program, its page in Chromium, and its end."""

import re
import signal
import subprocess
import sys

import pytest
from PIL import Image

from tests.support.chromium import chromium, needs_chromium
from tests.support.command import lingbot
from tests.support.realtime_client import client, init
from tests.support.reference import sample_image


def test_any_client_plays_on_it_and_sigterm_ends_it():
    command = [
        sys.executable,
        "-m",
        "lingbot_cli",
        "serve",
        "--port",
        "0",
        "--token",
        "sekrit",
        "--sessions",
        "2",
        "--log-chunks",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        try:
            assert child.stdout.readline().startswith("self-attention: ")
            page = child.stdout.readline()
            port = int(re.fullmatch(r"page:   http://127\.0\.0\.1:(\d+)/\?token=sekrit\n", page)[1])
            engine = child.stdout.readline()
            assert engine == f"engine: ws://127.0.0.1:{port}/v1/realtime_video/generate?token=sekrit\n"
            with client(port, "sekrit") as player:
                player.send(**init(max_chunks=1))
                assert len(player.chunk()[0]) == 9
            line = child.stdout.readline()
            assert re.search(
                r"chunk: session_id=\w{16} chunk_index=0 event_id=None request_prepare_ms=\d+ ", line
            )
            with client(port, "sekrit", extended=False) as player:
                player.send(**init(size="832x480"))
                answer = player.receive()["content"]
                # The image's shape at the model's own area.
                assert answer.startswith(
                    "size 832x480 is more than 8960 pixels; use 112x80, the size of this model"
                )
            child.send_signal(signal.SIGTERM)
            assert child.wait(60) == 143
        finally:
            child.kill()
        rest = child.stdout.read()
    assert "stopped by SIGTERM" in rest
    assert "Traceback" not in rest
    assert "sekrit" not in rest


@needs_chromium
def test_the_page_plays_on_it(tmp_path):
    Image.fromarray(sample_image(32, 48)).save(tmp_path / "first.png")
    command = [sys.executable, "-m", "lingbot_cli", "serve", "--port", "0", "--token", "sekrit"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        try:
            page = next(line.split()[1] for line in child.stdout if line.startswith("page:"))
            with chromium(tmp_path / "profile") as browser:
                tab = browser.open(page)
                tab.until("document.body.dataset.state === 'choosing'")
                node = tab.call("DOM.getDocument")["root"]["nodeId"]
                chooser = tab.call("DOM.querySelector", nodeId=node, selector="#image-file")["nodeId"]
                tab.call("DOM.setFileInputFiles", nodeId=chooser, files=[str(tmp_path / "first.png")])
                tab.until("document.body.dataset.shown > 3")
                tab.key("keyDown", "l")
                tab.until("Number(document.body.dataset.yaw) > 5")
        finally:
            child.kill()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--image", "nowhere.png"), 2, "no such file"),
        (("--host", "192.0.2.1"), 3, "cannot listen on"),
        (("--host", "0.0.0.0", "--no-token"), 2, "--no-token: 0.0.0.0 can be reached by other machines"),
        (("--any-size", "--max-pixels", "4096"), 2, "--any-size and --max-pixels exclude each other"),
        (("--host", "a..b"), 2, "--host a..b: not a name or an address"),
    ],
)
def test_mistakes_are_refused_before_anything_is_loaded(options, code, message):
    done = lingbot("serve", *options)
    assert done.code == code
    assert message in done.stderr


def test_any_size_serves_what_a_published_client_asks_for():
    command = [sys.executable, "-m", "lingbot_cli", "serve", "--port", "0", "--no-token", "--any-size"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
        try:
            child.stdout.readline()
            page, engine = child.stdout.readline(), child.stdout.readline()
            port = int(re.fullmatch(r"page:   http://127\.0\.0\.1:(\d+)/\n", page)[1])
            assert engine == f"engine: ws://127.0.0.1:{port}/v1/realtime_video/generate\n"
            with client(port, "", extended=False) as player:
                player.send(**init(size="256x144", max_chunks=1))
                frames, _ = player.chunk()
                assert frames.shape == (9, 144, 256, 3)
        finally:
            child.kill()
