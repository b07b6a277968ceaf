"""Videos of the built-in model follow the camera and the prompt."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lingbot_cli.camera.keys import key_motion
from lingbot_cli.control import Control
from lingbot_cli.model.loading.loader import load_model
from lingbot_cli.model.session import Session
from lingbot_cli.model.world_model import WorldModel
from tests.support.camera_reference import integrate_steps
from tests.support.image_motion import horizontal_shift, zoom_factor

SAMPLES = Path(__file__).parents[2] / "samples"
CHUNKS = 3


@pytest.fixture(scope="module")
def world() -> WorldModel:
    return load_model()


def film(
    world: WorldModel, keys: str, prompts: tuple[str, ...] = ("a courtyard at day",), chunks: int = CHUNKS
):
    """Return frames [T, H, W, 3] float with one key set held throughout; the last prompt persists."""
    image = np.array(Image.open(SAMPLES / "courtyard-day.png").convert("RGB"))
    session = Session(world, image, height=64, width=112)
    poses = integrate_steps(np.tile(key_motion(keys), (12 * chunks, 1)))[::4]
    frames = []
    for i in range(chunks):
        control = Control(
            poses=poses[3 * i : 3 * i + 3],
            intrinsics=np.tile([500.0, 500.0, 416.0, 240.0], (3, 1)),
            actions=np.zeros((3, 4), np.float32),
            prompt=prompts[min(i, len(prompts) - 1)],
            frames=12,
        )
        frames.append(session.step(control).numpy().astype(float))
    return np.concatenate(frames)


def test_turning_left_moves_the_picture_to_the_right(world):
    frames = film(world, "j")
    assert 6 <= horizontal_shift(frames[8], frames[12]) <= 13  # 8 degrees are 9.4 pixels in the middle
    assert 6 <= horizontal_shift(frames[20], frames[24]) <= 13


def test_turning_right_moves_it_to_the_left(world):
    frames = film(world, "l")
    assert -13 <= horizontal_shift(frames[8], frames[12]) <= -6
    assert -13 <= horizontal_shift(frames[20], frames[24]) <= -6


def test_standing_still_nothing_moves(world):
    frames = film(world, "")
    assert horizontal_shift(frames[4], frames[-1]) == 0
    assert np.abs(frames[4] - frames[-1]).mean() < 8  # of 255: it softens a little


def test_walking_forward_things_grow_and_backward_they_shrink(world):
    ahead, back = film(world, "w"), film(world, "s")
    assert zoom_factor(ahead[4], ahead[28]) > 1.05
    assert zoom_factor(back[4], back[28]) < 0.97


def test_the_light_changes_when_the_prompt_says_so(world):
    frames = film(world, "", ("a courtyard at day", "night falls"))
    assert frames[-1].mean() < 0.6 * frames[4].mean()
    assert frames[-1][..., 2].mean() > frames[-1][..., 0].mean()
