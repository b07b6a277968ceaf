"""The time embedding is computed in float64 on the CPU, once per timestep, whatever the device lacks."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lingbot_cli.model.sampler import sigma_schedule
from lingbot_cli.model.transformer import Transformer, TransformerConfig
from tests.support.reference import tiny_world

META = torch.device("meta")
PRODUCTS = (torch.ops.aten.addmm, torch.ops.aten.mm, torch.ops.aten.linear)


class Types(TorchDispatchMode):
    """Count operations, and record the types of tensors on the meta device."""

    def __init__(self) -> None:
        super().__init__()
        self.on_meta: set[torch.dtype] = set()
        self.products = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.products += func.overloadpacket in PRODUCTS
        for tensor in torch.utils._pytree.tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and tensor.device == META:
                self.on_meta.add(tensor.dtype)
        return out


def test_a_forward_computes_nothing_in_float64_on_the_device():
    with META:
        transformer = Transformer(TransformerConfig(96, 4, 2, 192, text_dim=48, text_len=24, freq_dim=64))
    outer = transformer.bfloat16()
    x, y = (torch.empty(1, channels, 3, 4, 4, device=META) for channels in (16, 20))
    text = outer.embed_text(torch.empty(5, 48, device=META))
    camera = outer.embed_camera(torch.empty(1, 384, 3, 4, 4, device=META))
    with Types() as types:
        outer(
            x, y, torch.zeros(1), camera, text, torch.empty(2, 12, 12, device=META), lambda _i, q, _k, _v: q
        )
    assert torch.float64 not in types.on_meta
    assert {torch.bfloat16, torch.float32} <= types.on_meta


def test_a_timestep_is_embedded_once():
    transformer = tiny_world().transformer
    t = torch.full((1,), 947.5)
    with torch.inference_mode(), Types() as first:
        embedded = transformer.embed_time(t)
    with torch.inference_mode(), Types() as again:
        assert all(torch.equal(*pair) for pair in zip(embedded, transformer.embed_time(t), strict=True))
    assert (first.products, again.products) == (3, 0)
    anew = transformer.embed_time(t)  # with gradients, for training
    assert all(torch.equal(*pair) for pair in zip(embedded, anew, strict=True))


@pytest.mark.parametrize(("device", "wide"), [("cuda", torch.float64), ("mps", torch.float32)])
def test_the_clean_estimate_is_as_wide_as_the_device_allows(device, wide):
    seen = []

    class Latents:
        """A tensor on a device that this machine lacks."""

        def __init__(self):
            self.device = torch.device(device)

        def to(self, dtype):
            seen.append(dtype)
            return torch.ones(2, dtype=dtype)

    clean = sigma_schedule((0, 500), 5.0).predict_clean(Latents(), Latents(), 0)
    assert seen == [wide, wide]
    assert clean.dtype == torch.float32
