"""Tests of the transformer's training: a whole clip at once against the model chunk by chunk, and one step."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lingbot_cli.model import attention
from lingbot_cli.model.rope import rotation_table
from lingbot_cli.model.transformer import Transformer, TransformerConfig
from training.deepen import deepened
from training.generated_latents import generate
from training.teacher_forcing import CHUNK, Batch, TeacherForcing, visible_chunks
from training.train_transformer import Learner, compute_losses

CONFIG = TransformerConfig(dim=24, heads=2, layers=3, ffn=32, text_dim=8, text_len=5, freq_dim=16)
CHUNKS, SIDE = 4, 4


@pytest.fixture
def world():
    torch.manual_seed(1)
    world = Transformer(CONFIG)
    with torch.no_grad():
        for weight in world.parameters():
            weight.normal_(std=0.15)
    return world


def random_batch(clips):
    """Return `clips` random clips of four chunks, each with two prompts."""
    shape = (clips, CHUNKS)
    starts = CHUNK * torch.arange(CHUNKS).expand(shape)
    return Batch(
        clean=torch.randn(*shape, 16, CHUNK, SIDE, SIDE),
        condition=torch.randn(*shape, 20, CHUNK, SIDE, SIDE),
        rays=torch.randn(*shape, 384, CHUNK, SIDE, SIDE),
        rows=torch.randn(clips, 2, CONFIG.text_len, CONFIG.text_dim),
        prompt_index=torch.tensor([[0, 0, 1, 1]]).expand(shape),
        starts=starts,
        counts=torch.ones(shape),
        stands=torch.zeros(shape),
        where=torch.randn(*shape, CHUNK, 6),
    )


def flow_of_chunk(world, batch, clip, chunk, noisy, t):
    """Return the flow of one noisy chunk after its clean past, by the model's own passes."""
    past = {}

    def attend_with(seen, own):
        def attend(layer, q, k, v):
            past[layer, own] = (k, v)
            keys, values = (torch.cat([past[layer, i][n] for i in (*seen, own)], 1) for n in (0, 1))
            return attention.attend_all(q, keys, values)

        return attend

    def run(j, latents, t):
        text = world.embed_text(batch.rows[clip, batch.prompt_index[clip, j]])
        camera = world.embed_camera(batch.rays[clip, j, None])
        table = rotation_table(j * CHUNK, CHUNK, SIDE // 2, SIDE // 2, CONFIG.head_dim, torch.device("cpu"))
        attend = attend_with(visible_chunks(j), j)
        return world(latents[None], batch.condition[clip, j, None], t, camera, text, table, attend)

    for j in range(chunk):
        run(j, batch.clean[clip, j], torch.zeros(1))
    return run(chunk, noisy, t)[0]


@torch.no_grad()
def test_every_noisy_chunk_of_a_batch_has_the_flow_of_the_model_itself(world):
    batch = random_batch(clips=2)
    noisy = torch.randn_like(batch.clean)
    t = torch.full((2, CHUNKS), 813.0)
    flow = TeacherForcing(world, batch).run([batch.clean, noisy], [torch.zeros_like(t), t])[1]
    for clip, chunk in ((0, 0), (1, 2), (1, 3)):
        expected = flow_of_chunk(world, batch, clip, chunk, noisy[clip, chunk], t[:1, 0])
        assert torch.allclose(flow[clip, chunk], expected, atol=2e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("own_past", [False, True])
def test_a_step_reaches_every_weight(world, own_past):
    learner, rng, generator = Learner(world), np.random.default_rng(0), torch.Generator().manual_seed(0)
    pictures, pose = compute_losses(learner, random_batch(clips=1), rng, generator, own_past)
    (pictures + pose).backward()
    without = [
        name for name, weight in learner.named_parameters() if weight.grad is None or not weight.grad.any()
    ]
    assert without == []


@torch.no_grad()
def test_a_deeper_model_starts_as_the_one_that_it_copies(world):
    deeper = Transformer(replace(CONFIG, layers=5))
    deeper.load_state_dict(deepened(world.state_dict(), 5))
    batch = random_batch(clips=1)
    t = torch.full((1, CHUNKS), 813.0)
    streams = [batch.clean, torch.randn_like(batch.clean)]
    before, after = (TeacherForcing(model, batch).run(streams, [t, t]) for model in (world, deeper))
    assert torch.allclose(before, after, atol=1e-5 * float(before.abs().max()))


@torch.no_grad()
def test_a_pass_without_gradients_sees_the_weights_of_now(world):
    t = torch.full((1,), 947.5)
    before = world.embed_time(t)[0]
    world.time_embedding[2].bias.add_(1.0)
    assert torch.allclose(world.embed_time(t)[0], before + 1.0, atol=1e-5)


def test_latents_are_generated_for_the_decoder(world):
    batch = random_batch(clips=1)
    made = generate(world, batch, torch.Generator().manual_seed(0))
    assert made.shape == batch.clean.shape
    assert made.isfinite().all()
