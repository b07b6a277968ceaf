"""Lenses: the size that they belong to, their limits, and square pixels."""

from pathlib import Path

import numpy as np
import pytest

from lingbot_cli.camera.lens import square_lens, to_reference
from lingbot_cli.errors import UsageError

FILE = Path("lens.npy")


def infer(*lens, published=False):
    found, notes = to_reference(FILE, np.array([lens], float), None, published=published)
    return found[0].tolist(), notes


def test_shares_of_the_image_have_their_centre_inside_the_unit_square():
    found, (note,) = infer(0.8, 1.4, 0.5, 0.5)
    assert found == pytest.approx([0.8 * 832, 1.4 * 480, 416, 240])
    assert note.startswith("intrinsics are taken as shares")
    assert "for images of 3x1" in infer(0.8, 1.4, 1.5, 0.5)[1][0]
    assert "for images of 1x2" in infer(0.8, 1.4, 0.5, 1.0)[1][0]
    # 11.45 is half of a field of view of 5 degrees.
    assert "shares" in infer(11.4, 11.4, 0.5, 0.5)[1][0]
    with pytest.raises(UsageError, match=r"field of view 4\.9°"):
        infer(11.6, 11.6, 0.5, 0.5)


def test_a_centre_near_that_of_the_reference_belongs_to_it():
    assert infer(500, 500, 416 - 83, 240 + 47)[1] == ()
    assert "for images of 664x480" in infer(500, 500, 416 - 84, 240)[1][0]
    assert "for images of 832x578" in infer(500, 500, 416, 240 + 49)[1][0]


def test_the_centre_of_published_lenses_is_noted():
    found, (note,) = infer(500, 500, 320, 180, published=True)
    assert found == [500, 500, 320, 180]
    assert "principal point (320, 180) is far from the centre" in note
    assert note.endswith("intrinsics_size: 640x360")
    assert "for images of 1920x1080" in infer(1500, 1500, 960, 540, published=True)[1][0]


@pytest.mark.parametrize("edge", [(0, 240), (832, 240), (416, 0), (416, 480)])
def test_a_principal_point_on_the_edge_is_outside(edge):
    with pytest.raises(UsageError, match=r"row 1: principal point .* outside the image of 832x480"):
        to_reference(FILE, np.array([[500, 500, 416, 240], [500, 500, *edge]], float), (832, 480))


def test_fields_of_view_within_the_limits():
    for degrees, good in ((5.01, True), (4.99, False), (149.9, True), (150.1, False)):
        focal = 416 / np.tan(np.radians(degrees / 2))
        lens = np.array([[focal, 500, 416, 240]])
        if good:
            assert to_reference(FILE, lens, (832, 480))[0][0, 0] == pytest.approx(focal)
        else:
            with pytest.raises(UsageError, match=r"row 0: field of view .*; expected 5° to 150°"):
                to_reference(FILE, lens, (832, 480))


def test_square_lenses():
    assert square_lens(None) == (500, 500, 416, 240)
    assert square_lens(90)[0] == pytest.approx(416)
    assert square_lens(None, 640, 640)[:2] == pytest.approx((500, 500 * 480 / 832))
    assert square_lens(None, 832, 480)[:2] == pytest.approx((500 * 832 / 480, 500 * (480 / 832)))
    assert square_lens(90, 832, 480)[:2] == pytest.approx((416, 416 * (480 / 832) ** 2))
    # Nearly the reference's shape: as published.
    assert square_lens(None, 480, 848)[:2] == (500, 500)
    assert square_lens(None, 480, 864)[:2] == pytest.approx((500, 500 * 864 / 832))
