"""Rules that choose a scale, and figures of steps."""

import numpy as np
import pytest

from lingbot_cli.camera.scale import CLIP, FIXED, ScaleRule, StepSizes, latent_steps, parse_scale

STEPS = np.array([0, 1, 3, 0.5, 0])


@pytest.mark.parametrize(
    ("written", "rule", "scale", "shown"),
    [
        ("fixed", FIXED, 0.2, "fixed"),
        ("clip", CLIP, 3, "clip"),
        ("fit", ScaleRule("fit", 1), 1, "fit:1"),
        ("fit:2", ScaleRule("fit", 2), 0.5, "fit:2"),
        (" fit:0.5 ", ScaleRule("fit", 0.5), 2, "fit:0.5"),
        ({"fit": 0.25}, ScaleRule("fit", 0.25), 4, "fit:0.25"),
        ("0.5", ScaleRule("length", 0.5), 0.5, "0.5"),
        (7, ScaleRule("length", 7), 7, "7"),
        (ScaleRule("fit", 3), ScaleRule("fit", 3), 1 / 3, "fit:3"),
    ],
)
def test_scales(written, rule, scale, shown):
    found = parse_scale(written)
    assert found == rule
    assert found.scale(STEPS) == pytest.approx(scale)
    assert str(found) == shown


@pytest.mark.parametrize(
    "written",
    [
        "",
        "fast",
        "0",
        "-1",
        "fit:0",
        "fit:-1",
        "fit:x",
        0,
        -0.5,
        True,
        None,
        {"fit": 0},
        {"fat": 1},
        {},
        [1],
        "1e9",
    ],
)
def test_no_scale(written):
    with pytest.raises(ValueError, match="is not a scale; expected "):
        parse_scale(written)


def test_a_path_that_stands_still_has_scale_1():
    for rule in (CLIP, ScaleRule("fit", 2)):
        assert rule.scale(np.zeros(3)) == 1
        assert rule.scale(np.zeros(0)) == 1
    assert FIXED.scale(np.zeros(3)) == 0.2


def test_figures_of_steps_count_those_that_move():
    assert StepSizes.of(STEPS, 0.5) == StepSizes(2, 6)
    assert str(StepSizes.of(STEPS, 0.5)) == "median step 2.00, largest 6.00 walking steps"
    assert StepSizes.of(np.full(3, 1e-10), 1) == StepSizes(0, 0)


def test_steps_are_those_between_latent_frames():
    poses = np.tile(np.eye(4), (10, 1, 1))
    poses[:, 0, 3], poses[:, 1, 3] = np.arange(10) * 3, np.arange(10) * 4
    np.testing.assert_allclose(latent_steps(poses), [20, 20])
