"""Rotary positions: exact at any distance, and only differences matter."""

import torch

from lingbot_cli.model import rope

CPU = torch.device("cpu")


def test_axis_widths_of_the_published_head():
    assert rope.axis_widths(128) == (44, 42, 42)
    assert rope.axis_widths(24) == (8, 8, 8)


def test_a_chunk_of_a_table_is_the_table_of_the_chunk():
    whole = rope.rotation_table(0, 2000, 2, 3, 24, CPU).view(2, 2000, 6, 12)
    part = rope.rotation_table(1996, 4, 2, 3, 24, CPU).view(2, 4, 6, 12)
    assert torch.equal(whole[:, 1996:], part)


def test_attention_depends_on_distance_alone_beyond_any_published_position():
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, 6, 1, 24, generator=generator)

    def scores(start: int) -> torch.Tensor:
        near = rope.rotate(k, rope.rotation_table(start, 1, 2, 3, 24, CPU))
        far = rope.rotate(q, rope.rotation_table(start + 5, 1, 2, 3, 24, CPU))
        return torch.einsum("bnhd,bmhd->nm", far, near)

    torch.testing.assert_close(scores(0), scores(100_000), atol=1e-4, rtol=0)


def test_rotation_keeps_lengths():
    x = torch.randn(1, 12, 2, 24, generator=torch.Generator().manual_seed(0))
    turned = rope.rotate(x, rope.rotation_table(7, 2, 2, 3, 24, CPU))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
