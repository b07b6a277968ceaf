"""Animatic: the scene's image from a moving camera."""

import numpy as np
import pytest

from lingbot_cli.camera.pose import CameraPose
from lingbot_cli.drawing.animatic import animatic_frames, build_space, draw_view, fit_image, placeholder_image
from tests.support.timelines import compile_text

LENS = np.array([416.0, 416, 416, 240])
PICTURE = np.random.default_rng(0).integers(0, 256, (120, 208, 3), np.uint8)


def seen(pose: CameraPose) -> np.ndarray:
    return np.asarray(draw_view(build_space(PICTURE, np.eye(4), LENS), pose.matrix(), LENS))


def test_the_first_view_is_the_image():
    np.testing.assert_array_equal(seen(CameraPose()), PICTURE)


def test_walking_halfway_makes_it_twice_as_large():
    middle = PICTURE[30:90, 52:156].repeat(2, 0).repeat(2, 1)
    assert (seen(CameraPose(z=2.0)) == middle).mean() > 0.95


def test_turning_right_moves_it_left():
    turned = seen(CameraPose(yaw=45))
    columns = (turned != turned[0, -1]).any(2).mean(0)
    assert columns[:90].mean() > 0.9
    assert columns[118:].mean() < 0.5


def test_rolling_a_quarter_turns_it():
    part = np.s_[60 - 40 : 60 + 40, 104 - 40 : 104 + 40]
    assert (seen(CameraPose(roll=90))[part] == np.rot90(PICTURE[part])).mean() > 0.9


@pytest.mark.parametrize(
    "pose",
    [
        CameraPose(yaw=180),
        CameraPose(z=9.0),
        CameraPose(z=9.0, yaw=180),
        CameraPose(pitch=85),
        CameraPose(z=4.0),
    ],
)
def test_any_view_can_be_drawn(pose):
    assert seen(pose).shape == PICTURE.shape


def test_frames_keys_and_prompts():
    made = compile_text("prompt: dusk\nevents: [{keys: w, for: 1s}, prompt: rain, {wait: 2s}]", 3)
    frames = np.concatenate(list(animatic_frames(made, {None: placeholder_image(96, 160, "walk")})))
    assert frames.shape == (48, 96, 160, 3)
    assert frames.dtype == np.uint8
    still = [np.abs(frames[i].astype(int) - frames[i + 1]).mean() for i in (24, 40)]
    assert max(still) < 2
    assert np.abs(frames[0].astype(int) - frames[15]).mean() > 2
    # the prompt's band changes with the chunk, not with the second
    assert (frames[20, :10, :40] != frames[22, :10, :40]).any()


def test_an_image_is_fitted_exactly():
    assert fit_image(np.zeros((333, 555, 3), np.uint8), 96, 160).shape == (96, 160, 3)
