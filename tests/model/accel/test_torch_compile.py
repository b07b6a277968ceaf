"""Compiled blocks: equal results, one compilation for all layers, eager fallback."""

from collections import Counter
from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from lingbot_cli.model.accel.torch_compile import COMPILED_METHODS, compile_or_warn, should_compile
from lingbot_cli.model.session import Session
from tests.support.reference import sample_image, tiny_world, walk


def own_world():
    """Return the tiny model with its own copy of the blocks."""
    return replace(tiny_world(), transformer=deepcopy(tiny_world().transformer))


def film(world, chunks=3):
    video = Session(world, sample_image(), height=48, width=80)
    return torch.cat([video.denoise(control) for control in walk(chunks)], dim=1)


@torch.inference_mode()
def operations(world):
    """Return how often the passes of a chunk run each operation of PyTorch outside compiled code."""
    session, control = Session(world, sample_image(), height=48, width=80), walk(1)[0]
    inputs = session._begin_chunk(control)
    with torch.profiler.profile() as profile:
        session._commit(inputs, control, session._denoise(inputs))
    return Counter({event.key: event.count for event in profile.key_averages()})


def test_compiled_blocks_give_the_same_latents_and_are_compiled_once(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    world, said = own_world(), []
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    assert compile_or_warn(world, 48, 80, note=said.append, warn=pytest.fail)
    assert "compiling the blocks for 80x48" in said[0]
    compiled = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert compiled == len(COMPILED_METHODS)
    torch.testing.assert_close(film(world), film(tiny_world()), atol=1e-5, rtol=1e-5)
    # Queries and keys of four passes over three blocks are rotated, and in the commit all but the last queries.
    assert operations(tiny_world())["aten::view_as_complex"] == 4 * 3 * 2 + 5
    assert not {"aten::view_as_complex", "aten::stack"} & set(operations(world))
    smaller = Session(world, sample_image(), height=32, width=48)
    exact = Session(tiny_world(), sample_image(), height=32, width=48)
    assert torch.equal(smaller.denoise(walk(1)[0]), exact.denoise(walk(1)[0]))
    # Neither another layer, another place in the window nor another size made it compile anew.
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == compiled


def test_a_compiler_that_fails_is_a_warning_and_the_blocks_stay_eager(monkeypatch):
    def broken(*_, **__):
        def compiled(*_):
            raise RuntimeError("no compiler here\nand more")

        return compiled

    monkeypatch.setattr(torch, "compile", broken)
    world, warnings = own_world(), []
    assert not compile_or_warn(world, 48, 80, note=lambda _: None, warn=warnings.append)
    assert warnings == ["cannot compile the blocks: no compiler here; they stay eager"]
    assert torch.equal(film(world, 1), film(tiny_world(), 1))


def test_cpus_compile_only_when_asked():
    assert not should_compile(None, "cpu")
    assert should_compile(True, "cpu")
    assert not should_compile(False, "cuda")
