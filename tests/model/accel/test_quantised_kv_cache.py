"""An 8-bit KV cache: half the memory, near the exact result, the own chunk exact, and repeatable."""

from dataclasses import replace

import pytest
import torch

from lingbot_cli.errors import SetupError
from lingbot_cli.model.accel import quantised_kv_cache
from lingbot_cli.model.accel.quantised_kv_cache import (
    LARGEST,
    QuantisedKVCache,
    check_kv_cache,
    new_kv_cache,
    quantise_heads,
)
from lingbot_cli.model.attention import attend_all
from lingbot_cli.model.kv_cache import KVCache, KVCacheShape
from lingbot_cli.model.session import Session
from tests.support.reference import sample_image, tiny_world, walk

CPU = torch.device("cpu")
TOKENS, HEADS, DIM = 3, 4, 8
STORED = list(LARGEST)


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize(
    ("window", "sink", "limit"), [(6, 1, None), (-1, 0, None), (6, 1, 4 * TOKENS + 1), (6, 1, 2)]
)
def test_attention_equals_that_over_dequantised_frames(stored, window, sink, limit, monkeypatch):
    monkeypatch.setattr(quantised_kv_cache, "KV_BLOCK_BYTES", 1500)  # two or three heads at a time
    draw = torch.Generator().manual_seed(1)
    shape = KVCacheShape(1, TOKENS, HEADS, DIM, window, sink, limit)
    cache = QuantisedKVCache(shape, CPU, torch.float32, stored=stored)
    past: list[tuple[torch.Tensor, torch.Tensor]] = []
    for index in range(5):
        cache.begin(3 * index, 3)
        q, k, v = torch.randn(3, 1, 3 * TOKENS, HEADS, DIM, generator=draw)
        frames = [*past, *zip(k.split(TOKENS, dim=1), v.split(TOKENS, dim=1), strict=True)]
        while 0 <= window < len(frames):
            del frames[sink]
        keys, values = (torch.cat(part, dim=1)[:, -(limit or 10**6) :] for part in zip(*frames, strict=True))
        torch.testing.assert_close(cache.attend(0, q, k, v), attend_all(q, keys, values))
        past += zip(*(rounded(x, stored).split(TOKENS, dim=1) for x in (k, v)), strict=True)
        while 0 <= window < len(past):
            del past[sink]


def rounded(x: torch.Tensor, stored: torch.dtype) -> torch.Tensor:
    numbers, scale = quantise_heads(x, stored)
    return numbers.float() * scale.float()


@pytest.mark.parametrize(("stored", "most"), [(torch.int8, 0.6 / 127), (torch.float8_e4m3fn, 1 / 16)])
def test_a_number_is_off_by_less_than_its_heads_step(stored, most):
    x = torch.randn(1, 50, 3, 16, generator=torch.Generator().manual_seed(0)) * 10 ** torch.arange(3)[:, None]
    x[:, 0] = 0
    error = (rounded(x, stored) - x).abs().amax(dim=-1)
    assert (error <= most * 1.01 * x.abs().amax(dim=-1)).all()
    assert torch.equal(rounded(x, stored)[:, 0], torch.zeros(1, 3, 16))


def test_it_takes_half_the_memory_of_bfloat16():
    shape = KVCacheShape(2, 100, 40, 128, 18, 9)
    exact = KVCache(shape, CPU, torch.bfloat16).nbytes
    assert new_kv_cache("int8", shape, CPU, torch.bfloat16, attend_all).nbytes == exact * 65 // 128


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_a_session_stays_near_the_exact_one_and_a_replay_equals_it(kind):
    model, controls = replace(tiny_world(), kv_cache=kind), walk(4)
    sessions = [Session(m, sample_image(), height=48, width=80) for m in (tiny_world(), model, model)]
    exact, quantised = ([session.denoise(c) for c in controls] for session in sessions[:2])
    assert torch.equal(exact[0], quantised[0])  # the own chunk is exact
    errors = [
        (one - other).square().mean().sqrt() / one.std() for one, other in zip(exact, quantised, strict=True)
    ]
    assert 0 < errors[-1] < 0.1
    for control, latents in zip(controls[:3], quantised, strict=False):
        sessions[2].replay(control, latents)
    assert torch.equal(sessions[2].denoise(controls[3]), quantised[3])


def test_fp8_is_refused_where_the_device_lacks_it():
    with pytest.raises(SetupError, match="--kv-cache fp8: mps"):
        check_kv_cache("fp8", torch.device("mps"))
    check_kv_cache("int8", torch.device("mps"))
