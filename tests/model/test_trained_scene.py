"""The built-in model knows its own place by day and night, and names every other image."""

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image, ImageFilter

from lingbot_cli.image import crop_to_aspect
from lingbot_cli.model.loading.loader import load_model
from lingbot_cli.model.trained_scene import shows_trained_scene
from training.place.palette import MOODS
from training.place.render import render
from training.place.walk import lens, wander

SAMPLES = Path(__file__).parents[2] / "samples"
PHOTOGRAPHS = sorted(
    path for path in Path(skimage.data.__file__).parent.iterdir() if path.suffix in (".png", ".jpg", ".gif")
)
SIZES = {"32x32": (32, 32), "112x64": (64, 112), "64x112": (112, 64), "832x480": (480, 832)}


@pytest.fixture(scope="module")
def world():
    return load_model()


def read(path):
    return np.array(Image.open(path).convert("RGB"))


def changed(image, how):
    picture = Image.fromarray(image)
    if how == "smooth":
        return np.array(picture.filter(ImageFilter.GaussianBlur(max(picture.size) / 40)))
    if how == "dark":
        return (image * 0.25).astype(np.uint8)
    if how == "night":
        return (image * np.array([0.2, 0.25, 0.45])).astype(np.uint8)
    return image


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.png")), ids=lambda path: path.stem)
def test_it_knows_its_own_place(world, sample, size):
    assert shows_trained_scene(world, crop_to_aspect(read(sample), *size))


@pytest.mark.parametrize("size", [(64, 112), (112, 64), (240, 416)], ids=lambda size: f"{size[1]}x{size[0]}")
def test_it_knows_any_view_of_its_place(world, size):
    rng = np.random.default_rng(3)
    poses = np.concatenate([wander(rng, 1).actual for _ in range(76)])
    lenses = np.stack([lens(rng, *size) for _ in poses])
    moods = torch.eye(len(MOODS))[torch.from_numpy(rng.integers(len(MOODS), size=len(poses)))]
    views = render(torch.from_numpy(poses), torch.from_numpy(lenses), moods, height=size[0], width=size[1])
    assert all(shows_trained_scene(world, view.numpy()) for view in views)


@pytest.mark.parametrize("how", ["", "smooth", "dark", "night"])
def test_it_names_every_photograph(world, how):
    assert len(PHOTOGRAPHS) > 25
    taken = [path.name for path in PHOTOGRAPHS if shows_trained_scene(world, changed(read(path), how))]
    assert taken == []


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_it_names_noise(world, size):
    noise = np.random.default_rng(0).integers(0, 256, (8, 14, 3), dtype=np.uint8)
    image = np.array(Image.fromarray(noise).resize((832, 480)))
    assert not shows_trained_scene(world, crop_to_aspect(image, *size))
