"""Offloaded blocks render bit-equal videos."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lingbot_cli.control import Control
from lingbot_cli.model.accel.offload import StreamedBlocks
from lingbot_cli.model.loading.loader import load_model
from lingbot_cli.model.session import Session
from lingbot_cli.model.world_model import WorldModel
from lingbot_cli.runtime.model_options import ModelOptions
from tests.support.reference import REFERENCE

CHECKPOINT = REFERENCE / "checkpoints" / "diffusers-v1-fast"


def latents(world: WorldModel) -> torch.Tensor:
    session = Session(world, np.full((32, 32, 3), 90, np.uint8), height=32, width=32)
    poses = np.tile(np.eye(4), (3, 1, 1))
    control = Control(
        poses, np.tile([400.0, 400.0, 416.0, 240.0], (3, 1)), np.zeros((3, 4), np.float32), "a", 9
    )
    return torch.cat(
        [session.denoise(replace(control, prompt=prompt)) for prompt in ("a gate", "a tower")], dim=1
    )


@pytest.mark.parametrize("precision", ["float32", "fp8"])
def test_the_film_is_the_same(precision: str) -> None:
    eager = load_model(CHECKPOINT, ModelOptions(precision=precision))
    streamed = load_model(CHECKPOINT, ModelOptions(precision=precision, offload=True))
    assert isinstance(streamed.transformer.blocks, StreamedBlocks)
    assert torch.equal(latents(streamed), latents(eager))


def test_only_two_blocks_are_ever_on_the_device() -> None:
    blocks = load_model(CHECKPOINT, ModelOptions(offload=True)).transformer.blocks
    assert len(blocks) == 3
    places = {tensor.data_ptr() for place in blocks._slots for tensor in place.values()}
    for block in blocks:
        assert {parameter.data_ptr() for parameter in block.parameters()} <= places
    assert len(blocks._slots) == 2
    assert not {p.data_ptr() for p in blocks.parameters()} & places  # at rest they lie in host memory


def test_a_loop_that_is_left_early_starts_again_at_the_first_block() -> None:
    blocks = load_model(CHECKPOINT, ModelOptions(offload=True)).transformer.blocks
    values = [[block.norm3.weight.clone() for block in blocks] for _ in range(2)]
    for _ in blocks:
        break
    again = [block.norm3.weight.clone() for block in blocks]
    for first, second, third in zip(*values, again, strict=True):
        assert torch.equal(first, second)
        assert torch.equal(first, third)
