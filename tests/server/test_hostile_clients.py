"""Hostile clients get errors and are closed."""

import pytest

from lingbot_cli.server.protocol import ClientLimits
from tests.support.realtime_client import init, png
from tests.support.serving import serving


@pytest.mark.parametrize("wrong", [b"", png()[:60], b"GIF89a" + bytes(50), b"<svg/>", png(2, 2) * 2])
def test_first_frames_are_read_as_images_only(served, wrong):
    with served.client() as client:
        client.send(**init(first_frame=wrong, max_chunks=1))
        answer = client.receive()
        assert answer["type"] in ("error", "session"), answer
        if answer["type"] == "error":
            assert answer["code"] == "bad_first_frame"


def test_an_image_of_too_many_pixels_is_not_decoded():
    with serving(limits=ClientLimits(max_image_pixels=1000)) as served, served.client() as client:
        client.send(**init())
        assert "too many" in client.receive()["content"]
