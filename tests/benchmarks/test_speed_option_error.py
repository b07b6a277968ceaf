"""Each speed option changes the flow a little; without them nothing changes."""

import pytest
import torch

from benchmarks.speed_option_error import (
    SPEED_OPTIONS,
    attend_int8,
    built_in_model,
    flow,
    flow_error,
    psnr,
    quantise_blocks_int8,
    render_video,
)


def test_no_lever_is_exact():
    assert torch.equal(flow(SPEED_OPTIONS["exact"]), flow(SPEED_OPTIONS["exact"]))
    assert flow_error(SPEED_OPTIONS["smaller window"]) == 0  # one chunk has nothing to forget


@pytest.mark.parametrize(("name", "most"), [("fp8 linears", 0.08), ("int8 attention", 0.02)])
def test_a_lever_moves_the_flow_a_little(name, most):
    assert 0 < flow_error(SPEED_OPTIONS[name]) < most


def test_taking_the_keys_mean_away_spares_the_products_most_of_the_rounding():
    draw = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 200, 2, 16, generator=draw) for _ in range(3))
    k = k + 20 * torch.randn(1, 1, 2, 16, generator=draw)  # as keys are: much alike
    exact = SPEED_OPTIONS["exact"].attend(q, k, v)
    rough = SPEED_OPTIONS["exact"].attend(quantise_blocks_int8(q, 128), quantise_blocks_int8(k, 64), v)
    assert (attend_int8(q, k, v) - exact).std() < 0.5 * (rough - exact).std()


@torch.inference_mode()
def test_the_first_chunk_of_a_film_looks_the_same():
    exact = render_video(built_in_model(SPEED_OPTIONS["exact"]), 1)
    assert render_video(built_in_model(SPEED_OPTIONS["smaller window"]), 1)[0].equal(exact[0])
    assert psnr(exact, render_video(built_in_model(SPEED_OPTIONS["fp8 linears"]), 1)) > 30
