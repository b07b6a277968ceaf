"""Tests of the edge measures and the edge loss on a blurred and a shifted image."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from training.edges import edge_loss, edge_retention, edge_strength_ratio


@pytest.fixture
def rectangle() -> np.ndarray:
    image = np.full((64, 112, 3), 200, np.uint8)
    image[20:50, 30:80] = (180, 60, 40)
    return image


def blurred(image: np.ndarray) -> np.ndarray:
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    return F.avg_pool2d(x, 5, 1, 2, count_include_pad=False)[0].permute(1, 2, 0).byte().numpy()


def test_an_image_retains_its_own_edges(rectangle):
    assert edge_retention(rectangle, rectangle) == pytest.approx({"vertical": 1.0, "horizontal": 1.0})


def test_a_blur_over_five_pixels_retains_a_fifth(rectangle):
    retention = edge_retention(blurred(rectangle), rectangle)
    assert retention["vertical"] == pytest.approx(0.2, abs=0.05)
    assert retention["horizontal"] == pytest.approx(0.2, abs=0.05)


def test_the_strength_ratio_does_not_depend_on_position(rectangle):
    shifted = np.roll(rectangle, 3, axis=1)
    assert edge_retention(shifted, rectangle)["vertical"] < 0.1
    assert edge_strength_ratio(shifted, rectangle)["vertical"] == pytest.approx(1.0)


def test_the_loss_of_a_blur_exceeds_that_of_a_shift_by_a_pixel(rectangle):
    truth, soft, shifted = (
        torch.from_numpy(np.ascontiguousarray(x)).permute(2, 0, 1)[None, :, None].float() / 255
        for x in (rectangle, blurred(rectangle), np.roll(rectangle, 1, axis=1))
    )
    assert edge_loss(truth, truth) == 0
    assert edge_loss(soft, truth) > 1.4 * edge_loss(shifted, truth)
