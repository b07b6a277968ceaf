"""Self-attention backends, int8 ones too, and a benchmark that finds the fastest for a shape on a device."""

import importlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from lingbot_cli.errors import SetupError, UsageError
from lingbot_cli.model.attention import AttentionFunction, attend_all
from lingbot_cli.runtime.hardware import INT8_PACKAGE, Capability, int8_attention_problem

DEFAULT_BACKEND = "torch"
"""PyTorch's own choice: always available, and the reference for the others."""
BACKEND_PACKAGES = {"flash-attn-3": "flash_attn_interface", "flash-attn-2": "flash_attn"}
TIMING_ROUNDS = 5
MAX_RELATIVE_ERROR = {torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 3e-2}
"""Largest error allowed, relative to the norm of the exact result."""
_CHECKED_QUERIES = 64


@dataclass(frozen=True)
class AttentionShape:
    """Sizes of a self-attention: `queries` tokens attend to `keys` tokens in `heads` heads of `head_dim` channels."""

    queries: int
    keys: int
    heads: int
    head_dim: int


def list_backends(device: torch.device) -> dict[str, AttentionFunction]:
    """Return the backends that may run on a device, the default first.

    PyTorch's kernels are called by name: its global switch would also affect the VAE, which decodes in another
    thread.
    """
    aten = torch.ops.aten
    if device.type == "cpu":
        return {DEFAULT_BACKEND: attend_all, "math": _heads_first(aten._scaled_dot_product_attention_math)}
    if device.type != "cuda":
        return {DEFAULT_BACKEND: attend_all}
    backends = {
        DEFAULT_BACKEND: attend_all,
        "cudnn": _heads_first(aten._scaled_dot_product_cudnn_attention, None, False),
        "flash": _heads_first(aten._scaled_dot_product_flash_attention),
        "efficient": _heads_first(aten._scaled_dot_product_efficient_attention, None, False),
    }
    return backends | dict(_package_backends())


def get_backend(name: str, device: torch.device, dtype: torch.dtype) -> AttentionFunction:
    """Return a backend by name. Errors: SetupError if it does not run on the device in `dtype`."""
    working = working_backends(device, dtype)
    if name not in working:
        raise SetupError(
            f"--kernel {name}: does not run on {device} in {str(dtype).removeprefix('torch.')}",
            hint=f"use one of {', '.join(working)}, or leave --kernel out for the fastest",
        )
    return list_backends(device)[name]


def working_backends(device: torch.device, dtype: torch.dtype) -> list[str]:
    """Return the names of the backends that run on a device in a type, each tried on a small shape."""
    probe = torch.zeros(1, 16, 2, 64, device=device, dtype=dtype)
    return [
        name
        for name, attend in list_backends(device).items()
        if _try_backend(attend, probe, probe, probe) is not None
    ]


@torch.inference_mode()
def time_backends(
    shape: AttentionShape,
    device: torch.device,
    dtype: torch.dtype,
    more: Mapping[str, AttentionFunction] = MappingProxyType({}),
) -> dict[str, float]:
    """Return the shortest time in seconds of every backend that runs and agrees with the exact result, `more` too."""
    generator = torch.Generator(device).manual_seed(0)
    q, k, v = (
        torch.randn(1, count, shape.heads, shape.head_dim, device=device, generator=generator).to(dtype)
        for count in (shape.queries, shape.keys, shape.keys)
    )
    exact = _reference_attention(q[:, :_CHECKED_QUERIES], k, v)
    correct = {
        name: attend
        for name, attend in (list_backends(device) | dict(more)).items()
        if (output := _try_backend(attend, q, k, v)) is not None
        and _relative_error(output[:, :_CHECKED_QUERIES], exact) <= MAX_RELATIVE_ERROR[dtype]
    }
    seconds = dict.fromkeys(correct, float("inf"))
    for _ in range(TIMING_ROUNDS):  # round robin, so that other load affects all alike
        for name, attend in correct.items():
            seconds[name] = min(seconds[name], time_call(partial(attend, q, k, v), device))
    if device.type == "cuda":
        torch.cuda.empty_cache()  # room for the weights, which are loaded next
    return seconds


def _heads_first(operation: Callable[..., Any], *more: Any) -> AttentionFunction:
    """Wrap a PyTorch kernel that expects [B, heads, N, d] and returns its output first of several results."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        outputs = operation(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), *more)
        return outputs[0].transpose(1, 2)

    return attend


def _package_backends() -> Iterator[tuple[str, AttentionFunction]]:
    for name, module in BACKEND_PACKAGES.items():
        try:
            function = importlib.import_module(module).flash_attn_func
        except (ImportError, OSError, AttributeError):  # not installed, or built for another torch
            continue

        def attend(q: Tensor, k: Tensor, v: Tensor, function: Callable[..., Any] = function) -> Tensor:
            output = function(q, k, v)
            return output[0] if isinstance(output, tuple) else output

        yield name, attend


def _try_backend(attend: AttentionFunction, q: Tensor, k: Tensor, v: Tensor) -> Tensor | None:
    """Return a backend's output; None if it does not support these tensors or this device."""
    try:
        output = attend(q, k, v)
        if q.is_cuda:
            torch.cuda.synchronize(q.device)
    except (RuntimeError, ValueError, AssertionError, TypeError):
        return None
    return output


def _reference_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Compute attention by its formula, in float32."""
    q, k, v = (x.float().transpose(1, 2) for x in (q, k, v))
    return ((q @ k.mT * q.shape[-1] ** -0.5).softmax(-1) @ v).transpose(1, 2)


def _relative_error(output: Tensor, exact: Tensor) -> float:
    error = float((output.float() - exact).norm() / exact.norm())
    return float("inf") if math.isnan(error) else error


def time_call(run: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of a call on a device."""
    if device.type != "cuda":
        started = time.perf_counter()
        run()
        return time.perf_counter() - started
    with torch.cuda.device(device):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
    return start.elapsed_time(end) / 1000


def int8_attention(capability: Capability, dtype: torch.dtype) -> AttentionFunction:
    """Return attention of queries [B, N, heads, d] to keys and values [B, M, heads, d] with int8 products of q and k.

    The kernels subtract the keys' mean, to which softmax is invariant, and round queries and keys to int8 with a
    scale per block (Zhang et al., SageAttention, 2024). Errors: SetupError if they are unavailable, UsageError
    for float32, which they do not support.
    """
    lack = int8_attention_problem(capability)
    if lack is not None:
        raise SetupError(
            f"--attention int8: {lack}",
            hint=f"run `pip install {INT8_PACKAGE}` on a machine with a GPU, or leave --attention int8 out",
        )
    if dtype == torch.float32:
        raise UsageError("--attention int8: does not support float32", hint="use --precision bfloat16")
    try:
        from sageattention import sageattn
    except (ImportError, OSError) as error:
        raise SetupError(
            f"--attention int8: cannot import {INT8_PACKAGE}: {error}",
            hint=f"install {INT8_PACKAGE} for this machine's torch, or leave --attention int8 out",
        ) from error

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return sageattn(q, k, v, tensor_layout="NHD", is_causal=False)

    return attend
