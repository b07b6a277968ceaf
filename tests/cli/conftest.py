"""Fixtures of the tests of `lingbot stream`."""

import pytest
from PIL import Image

from tests.support.reference import sample_image
from tests.support.stream_command import Streaming


@pytest.fixture
def small_picture(tmp_path):
    path = tmp_path / "first.png"
    Image.fromarray(sample_image(40, 48)).save(path)
    return path


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
