"""Streams and batches made by a server."""

import pytest
from PIL import Image

from tests.command import lingbot
from tests.live.conftest import TOKEN, serving
from tests.reference import picture


@pytest.fixture(scope="module")
def world():
    from lingbot_cli.weights.load import load_world

    return load_world(None)


@pytest.fixture
def image(tmp_path, monkeypatch):
    monkeypatch.setenv("LINGBOT_TOKEN", TOKEN)
    Image.fromarray(picture(32, 48)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_a_stream_records_what_is_made_elsewhere(tmp_path, image, world):
    with serving(world=world) as served:
        done = lingbot(
            *("stream", str(image), "--moves", "w-30", "--prompt", "a court", "--size", "48x32"),
            *("--to", "null:", "--record", f"{tmp_path}/there.mkv", "--pace", "drop"),
            *("--engine", f"ws://127.0.0.1:{served.port}"),
        )
    assert done.code == 0, done.stderr
    assert (tmp_path / "there.mkv").stat().st_size > 1000


@pytest.mark.usefixtures("image")
def test_a_batch_makes_its_films_elsewhere(tmp_path, world):
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
