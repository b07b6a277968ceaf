"""A model of fake CUDA tensors: they have a device, a type and a shape, but no values, and need no GPU."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

from lingbot_cli.model.loading.loader import transformer_on_meta
from lingbot_cli.model.loading.random_weights import RandomPromptEncoder
from lingbot_cli.model.session import Session
from lingbot_cli.model.vae import VAE, VAEConfig
from lingbot_cli.model.world_model import WorldModel
from lingbot_cli.presets import PRESETS, Preset

SMALL = replace(PRESETS["built-in"], layers=2)


class CurrentDevice:
    """Stands for `torch.cuda.device`: `entered` lists the devices in force, the innermost last."""

    def __init__(self) -> None:
        self.entered: list[torch.device] = []
        self.seen: list[str] = []

    @contextmanager
    def __call__(self, device: torch.device) -> Iterator[None]:
        self.entered.append(device)
        self.seen.append(str(device))
        try:
            yield
        finally:
            self.entered.pop()

    @property
    def now(self) -> str:
        """The current device, CUDA's first unless another was entered."""
        return str(self.entered[-1]) if self.entered else "cuda:0"


class IndexByOperations(TorchFunctionMode):
    """Replace indexing by the operations that it means: a build without CUDA cannot index a CUDA tensor."""

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is torch.Tensor.__getitem__ and args[0].device.type == "cuda":
            return _view(*args)
        if func is torch.Tensor.__setitem__ and args[0].device.type == "cuda":
            return _copied(_view(args[0], args[1]), args[2])
        if func is torch.nn.functional.interpolate and args[0].device.type == "cuda":
            rows, columns = (int(2 * side) for side in args[0].shape[-2:])  # the VAE's upsampling
            return args[0].new_empty(*args[0].shape[:-2], rows, columns)
        if func is torch.Tensor.item and args[0].device.type == "cpu":  # a timestep's value
            return 0.0
        if func is torch.Tensor.copy_ and args[0].device.type == "cuda":
            return _copied(*args[:2])
        if func in (torch.Tensor.round, torch.Tensor.contiguous) and args[0].device.type == "cuda":
            return args[0].new_empty(args[0].shape)
        return func(*args, **(kwargs or {}))


def _copied(target: torch.Tensor, value: Any) -> torch.Tensor:
    """Return the target of a copy of a number or a tensor of the same or a wider shape."""
    if isinstance(value, torch.Tensor):
        assert torch.broadcast_shapes(target.shape, value.shape) == target.shape
    return target


def _view(x: torch.Tensor, index: Any) -> torch.Tensor:
    """Return x[index] for integers, slices, None and an ellipsis."""
    parts = index if isinstance(index, tuple) else (index,)
    axis = 0
    for part in parts:
        if part is None:
            x, axis = x.unsqueeze(axis), axis + 1
        elif part is Ellipsis:
            axis = x.dim() - sum(other is not None for other in parts[parts.index(part) + 1 :])
        elif isinstance(part, int):
            x = x.select(axis, part)
        else:
            start, stop, step = part.indices(x.shape[axis])
            x, axis = torch.ops.aten.slice.Tensor(x, axis, start, stop, step), axis + 1
    return x


@contextmanager
def fake_cuda(patch: pytest.MonkeyPatch) -> Iterator[CurrentDevice]:
    """Create tensors as fake ones inside the block, and record the current CUDA device."""
    current = CurrentDevice()
    patch.setattr(torch.cuda, "device", current)
    patch.setattr(torch.Tensor, "pin_memory", lambda x, *_: x)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.inference_mode(), IndexByOperations():
        yield current


def fake_module(module: nn.Module, device: torch.device) -> nn.Module:
    """Replace a meta module's parameters by fake tensors on a device; call it inside `fake_cuda`."""
    for owner in module.modules():
        for name, parameter in list(owner.named_parameters(recurse=False)):
            owner._parameters[name] = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)  # type: ignore[assignment]
    return module


def meta_model(preset: Preset = SMALL, precision: str = "bfloat16") -> tuple[nn.Module, VAE]:
    """Return a transformer and a VAE on the meta device; call it outside `fake_cuda`."""
    with torch.device("meta"):
        vae = VAE(VAEConfig(dim=preset.vae_dim, num_res_blocks=preset.vae_blocks))
    return transformer_on_meta(preset, precision, None, torch.device("cuda")), vae


def fake_model(
    transformer: nn.Module,
    vae: VAE,
    device: torch.device,
    preset: Preset = SMALL,
    decode_on: torch.device | None = None,
) -> WorldModel:
    """Return a model of fake tensors on a device; call it inside `fake_cuda`."""
    fake_module(transformer, device)
    fake_module(vae, device)
    if decode_on is not None:
        for part in (vae.decoder, vae.conv2):
            fake_module(part, decode_on)
    return WorldModel(preset, transformer, vae, RandomPromptEncoder(preset), device)  # type: ignore[arg-type]


def fake_session(model: WorldModel, height: int = 64, width: int = 112, **settings: Any) -> Session:
    """Return a session of a black image."""
    return Session(model, np.zeros((height, width, 3), np.uint8), height=height, width=width, **settings)
