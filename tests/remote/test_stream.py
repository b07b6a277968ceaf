"""Streams and batches rendered on a server."""

import signal

import pytest
from PIL import Image

from lingbot_cli.server.session_pool import PoolLimits
from tests.support.command import lingbot
from tests.support.processes import wait_until
from tests.support.realtime_client import init
from tests.support.reference import sample_image
from tests.support.serving import TOKEN, serving
from tests.support.stream_command import Streaming


@pytest.fixture(scope="module")
def world():
    from lingbot_cli.model.loading.loader import load_model

    return load_model(None)


@pytest.fixture
def image(tmp_path, monkeypatch):
    monkeypatch.setenv("LINGBOT_TOKEN", TOKEN)
    Image.fromarray(sample_image(32, 48)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_a_stream_records_the_frames_of_a_server(tmp_path, image, world):
    with serving(world=world) as served:
        done = lingbot(
            *("stream", str(image), "--moves", "w-30", "--prompt", "a court", "--size", "48x32"),
            *("--to", "null:", "--record", f"{tmp_path}/there.mkv", "--pace", "drop"),
            *("--engine", f"ws://127.0.0.1:{served.port}"),
        )
    assert done.code == 0, done.stderr
    assert (tmp_path / "there.mkv").stat().st_size > 1000


CUT = """\
timeline: 1
prompt: a court
events:
  - {keys: w, for: 9f}
  - {cut: b.png}
  - {keys: wl, for: 21f}
"""


@pytest.fixture
def streaming():
    """Start streams of an image on a server; killed after the test."""
    running = []

    def start(served, *arguments):
        where = ("--to", "null:", "--pace", "drop", "--engine", f"ws://127.0.0.1:{served.port}")
        running.append(Streaming(*arguments, "--size", "48x32", *where))
        return running[-1]

    yield start
    for each in running:
        if each.process.poll() is None:
            each.process.kill()
            each.end(10)


def test_a_cut_frees_the_only_slot_of_a_server_and_takes_it_again(tmp_path, image, world, streaming, decode):
    Image.fromarray(sample_image(32, 48, seed=3)).save(tmp_path / "b.png")
    (tmp_path / "cut.yaml").write_text(CUT)
    with serving(PoolLimits(slots=1), world=world) as served:
        stream = streaming(served, image, "-t", tmp_path / "cut.yaml", "--record", tmp_path / "there.mkv")
        assert stream.end(60) == 0, stream.err
    assert len(decode(tmp_path / "there.mkv", 32, 48)) == 30


def test_one_signal_ends_a_stream_that_waits_in_the_queue(image, world, streaming):
    with serving(PoolLimits(slots=1), world=world) as served, served.client() as player:
        player.send(**init())
        player.chunk()
        player.event("pause")
        stream = streaming(served, image, "--moves", "w-30", "--prompt", "a court")
        wait_until(lambda: any("position 1 in the queue" in line for line in stream.err))
        stream.process.send_signal(signal.SIGINT)
        assert stream.end(60) == 130, stream.err


@pytest.mark.usefixtures("image")
def test_a_batch_renders_on_a_server(tmp_path, world):
    jobs = tmp_path / "jobs.yaml"
    jobs.write_text("jobs:\n  - {image: a.png, moves: w-12, prompt: a court, size: 48x32, quality: master}\n")
    with serving(world=world) as served:
        done = lingbot(
            *("batch", str(jobs), "-o", f"{tmp_path}/out", "--engine", f"ws://127.0.0.1:{served.port}")
        )
    assert done.code == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "out").rglob("*.m*"))) >= 1
    assert TOKEN not in "".join(
        path.read_text(errors="replace") for path in (tmp_path / "out").rglob("*") if path.is_file()
    )
