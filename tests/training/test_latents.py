"""Tests of encoded clips: rays as the program computes them, and batches of every size."""

import numpy as np
import pytest
import torch

from lingbot_cli.camera.plucker import plucker_rays
from lingbot_cli.camera.pose import relative_poses
from lingbot_cli.model.vae import VAEConfig
from training.batches import BatchSampler
from training.data import FRAMES, LARGE, PORTRAIT, SIZE, ClipRenderer, chunk_start
from training.init_transformer import batched_rays
from training.latents import Latents, clip_parts, encode
from training.place.render import draw_batch
from training.place.walk import lens, wander
from training.vae_loss import init_vae

SIZES = pytest.mark.parametrize("size", [SIZE, PORTRAIT, LARGE], ids=["usual", "portrait", "large"])
CONFIG = VAEConfig(dim=4, num_res_blocks=1)


@SIZES
def test_rays_are_those_of_the_program(size):
    rng = np.random.default_rng(1)
    poses, optics = relative_poses(wander(rng, 3).requested), lens(rng, *size)
    lenses = torch.from_numpy(optics).float().expand(1, 3, -1)
    rays = batched_rays(torch.from_numpy(poses)[None].float(), lenses, *size)[0]
    expected = plucker_rays(poses, np.tile(optics, (3, 1)), *size)
    np.testing.assert_allclose(rays.numpy(), expected, atol=2e-6)


def test_a_lens_has_square_pixels_of_the_same_size_in_every_shape():
    def focal_pixels(size):
        fx, fy, cx, cy = lens(np.random.default_rng(1), *size)
        height, width = size
        assert (cx, cy) == (416, 240)
        return fx * width / 832, fy * height / 480

    assert focal_pixels(PORTRAIT) == pytest.approx(focal_pixels(SIZE), rel=0.03)
    assert focal_pixels(LARGE) == pytest.approx([2 * each for each in focal_pixels(SIZE)], rel=0.03)


@pytest.mark.parametrize("size", [SIZE, PORTRAIT], ids=["usual", "portrait"])
def test_clips_are_encoded_and_batched(tmp_path, size):
    torch.manual_seed(0)
    renderer, rng = ClipRenderer(draw_batch), np.random.default_rng(2)
    clips = [renderer.random(rng, size) for _ in range(2)]
    assert clips[0].video.shape == (FRAMES, *size, 3)
    again = renderer.frames(clips[0].actual, clips[0].optics, clips[0].moods, size)
    assert torch.equal(again, clips[0].video)
    encode(init_vae(0, CONFIG), clips, size, tmp_path / "000.pt")
    latents = Latents.open([tmp_path / "000.pt"])
    assert latents.size == size
    cells = (size[0] // 8, size[1] // 8)
    assert latents.clean.shape == (2, 16, 15, *cells)
    batch = BatchSampler(latents, torch.randn(5, 250, 64, 64)).batch(np.random.default_rng(3), 3)
    assert batch.clean.shape == (3, 5, 16, 3, *cells)
    assert batch.rays.shape == (3, 5, 384, 3, *cells)
    assert batch.condition.shape == (3, 5, 20, 3, *cells)
    assert batch.where.shape == (3, 5, 3, 6)


def test_clips_encoded_together_have_the_latents_of_each_alone(tmp_path, monkeypatch):
    torch.manual_seed(0)
    vae, rng, renderer = init_vae(0, CONFIG), np.random.default_rng(2), ClipRenderer(draw_batch)
    clips = [renderer.random(rng, SIZE) for _ in range(2)]
    encode(vae, clips, SIZE, tmp_path / "alone.pt")
    monkeypatch.setattr("training.latents.CLIPS_TOGETHER", 2)
    encode(vae, clips, SIZE, tmp_path / "together.pt")
    alone, together = (Latents.open([tmp_path / f"{name}.pt"]) for name in ("alone", "together"))
    assert torch.allclose(alone.clean.float(), together.clean.float(), atol=0.02)
    assert torch.allclose(alone.told.float(), together.told.float(), atol=0.02)


def test_new_files_join_the_clips_once(tmp_path):
    torch.manual_seed(0)
    clips = [ClipRenderer(draw_batch).random(np.random.default_rng(2), PORTRAIT)]
    paths = [tmp_path / "000.pt", tmp_path / "001.pt"]
    for path in paths:
        encode(init_vae(0, CONFIG), clips, PORTRAIT, path)
    sampler = BatchSampler.of_files(paths[:1], torch.randn(5, 250, 64, 64))
    for _ in range(2):
        sampler.add(paths)
        assert len(sampler.data.clean) == len(sampler.data.moods) == 2
    assert sampler.data.size == PORTRAIT


def test_all_sizes_are_encoded_at_the_same_pace():
    parts = clip_parts(4000)
    assert len(set(parts)) == len(parts) == 80 + 16 + 12
    for size, count in ((SIZE, 40), (PORTRAIT, 8), (LARGE, 6)):
        assert abs([each for each, _ in parts[: len(parts) // 2]].count(size) - count) <= 1


def test_the_frames_of_a_clip_are_those_of_its_chunks():
    assert chunk_start(5) == FRAMES
