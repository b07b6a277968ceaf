"""Counted operations agree with the formulas."""

import torch

from lingbot_cli.diagnostics.flops import CostByPhase
from lingbot_cli.model.session import Session
from tests.support.reference import sample_image, tiny_world, walk


def test_a_product_a_convolution_and_attention():
    count = CostByPhase()
    a, b = torch.randn(8, 16), torch.randn(16, 4)
    with count("product"):
        torch.relu(a @ b)
    assert count.phases["product"].flops == 2 * 8 * 16 * 4
    assert count.phases["product"].bytes == 4 * (8 * 16 + 16 * 4 + 8 * 4)


def test_a_steady_chunk_of_the_transformer():
    count = CostByPhase()
    session = Session(tiny_world(), sample_image(), height=48, width=80, phase=count)
    for control in walk(4):
        count.phases.clear()
        session.denoise(control)
    config = tiny_world().transformer.config
    dim, tokens, seen, words = config.dim, 3 * 15, 6 * 15, config.text_len
    block = tokens * (4 * dim * dim + 2 * dim * dim + 2 * dim * config.ffn)
    products = 2 * config.layers * block + 2 * tokens * dim * (36 * 4 + 16 * 4)
    attention = config.layers * 4 * tokens * dim * (seen + words)
    forward = products + attention
    camera = 2 * tokens * (4 * config.control_dim * dim + 2 * dim * dim + config.layers * 4 * dim * dim)
    # The embedding of each timestep is computed once, at the first chunk.
    assert count.phases["denoise"].flops == 4 * forward + camera
    assert 0 < count.phases["commit"].flops < forward
