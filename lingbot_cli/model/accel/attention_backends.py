"""The programs that self-attention can run by, and which of them is the fastest for a shape on a device."""

import importlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lingbot_cli.errors import SetupError
from lingbot_cli.model.attention import AttentionFunction, attend_all

DEFAULT_BACKEND = "torch"
"""PyTorch's own choice, which is always there and what the others are held against."""
BACKEND_PACKAGES = {"flash-attn-3": "flash_attn_interface", "flash-attn-2": "flash_attn"}
MIN_SPEEDUP = 1.1
"""How many times faster than PyTorch's own choice another must be to be taken: noise must not decide."""
TIMING_ROUNDS = 5
MAX_RELATIVE_ERROR = {torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 3e-2}
"""The largest error allowed, as a share of the exact result's norm."""
_CHECKED_QUERIES = 64


@dataclass(frozen=True)
class AttentionShape:
    """One self-attention: `queries` tokens see `keys` tokens, in so many heads of `head_dim` channels."""

    queries: int
    keys: int
    heads: int
    head_dim: int


def list_backends(device: torch.device) -> dict[str, AttentionFunction]:
    """What may run on a device, PyTorch's own choice first; whether it does shows when it is tried.

    PyTorch's kernels are called by name: its switch for them is one for all threads, and would also hold for
    the VAE's attention, which is decoding meanwhile.
    """
    aten = torch.ops.aten
    if device.type == "cpu":
        return {DEFAULT_BACKEND: attend_all, "math": _heads_first(aten._scaled_dot_product_attention_math)}
    if device.type != "cuda":
        return {DEFAULT_BACKEND: attend_all}
    found = {
        DEFAULT_BACKEND: attend_all,
        "cudnn": _heads_first(aten._scaled_dot_product_cudnn_attention, None, False),
        "flash": _heads_first(aten._scaled_dot_product_flash_attention),
        "efficient": _heads_first(aten._scaled_dot_product_efficient_attention, None, False),
    }
    return found | dict(_package_backends())


def get_backend(name: str, device: torch.device, dtype: torch.dtype) -> AttentionFunction:
    """A kernel by name, for tensors of a type. Errors: SetupError where it does not run."""
    there = working_backends(device, dtype)
    if name not in there:
        raise SetupError(
            f"--kernel {name} does not run on {device} in {str(dtype).removeprefix('torch.')}",
            hint=f"one of {', '.join(there)}, or leave it out to take the fastest",
        )
    return list_backends(device)[name]


def working_backends(device: torch.device, dtype: torch.dtype) -> list[str]:
    """The names of the kernels that run on a device in a type, each tried on a small shape."""
    probe = torch.zeros(1, 16, 2, 64, device=device, dtype=dtype)
    return [
        name
        for name, attend in list_backends(device).items()
        if _try_backend(attend, probe, probe, probe) is not None
    ]


@torch.inference_mode()
def time_backends(shape: AttentionShape, device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """The least seconds each kernel took for the shape, of those that run and agree with the exact result."""
    generator = torch.Generator(device).manual_seed(0)
    q, k, v = (
        torch.randn(1, count, shape.heads, shape.head_dim, device=device, generator=generator).to(dtype)
        for count in (shape.queries, shape.keys, shape.keys)
    )
    exact = _reference_attention(q[:, :_CHECKED_QUERIES], k, v)
    right = {
        name: attend
        for name, attend in list_backends(device).items()
        if (made := _try_backend(attend, q, k, v)) is not None
        and _relative_error(made[:, :_CHECKED_QUERIES], exact) <= MAX_RELATIVE_ERROR[dtype]
    }
    seconds = dict.fromkeys(right, float("inf"))
    for _ in range(TIMING_ROUNDS):  # in turn, so that what else the machine does falls on all alike
        for name, attend in right.items():
            seconds[name] = min(seconds[name], _time_s(partial(attend, q, k, v), device))
    if device.type == "cuda":
        torch.cuda.empty_cache()  # the weights come next
    return seconds


def fastest_backend(seconds: Mapping[str, float]) -> str:
    """The kernel to take: PyTorch's own choice, unless another is faster by more than noise."""
    name = min(seconds, key=seconds.__getitem__, default=DEFAULT_BACKEND)
    return (
        name
        if seconds.get(name, 0.0) * MIN_SPEEDUP < seconds.get(DEFAULT_BACKEND, float("inf"))
        else DEFAULT_BACKEND
    )


def _heads_first(operation: Callable[..., Any], *more: Any) -> AttentionFunction:
    """One of PyTorch's kernels, which want [B, heads, N, d] and give other things beside the result."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        made = operation(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), *more)
        return made[0].transpose(1, 2)

    return attend


def _package_backends() -> Iterator[tuple[str, AttentionFunction]]:
    """The kernels of packages that are installed and can be imported."""
    for name, module in BACKEND_PACKAGES.items():
        try:
            function = importlib.import_module(module).flash_attn_func
        except (ImportError, OSError, AttributeError):  # absent, or built for another torch
            continue

        def attend(q: Tensor, k: Tensor, v: Tensor, function: Callable[..., Any] = function) -> Tensor:
            made = function(q, k, v)
            return made[0] if isinstance(made, tuple) else made

        yield name, attend


def _try_backend(attend: AttentionFunction, q: Tensor, k: Tensor, v: Tensor) -> Tensor | None:
    """What a kernel makes; None from one that refuses these tensors or this device."""
    try:
        made = attend(q, k, v)
        if q.is_cuda:
            torch.cuda.synchronize(q.device)
    except (RuntimeError, ValueError, AssertionError, TypeError):
        return None
    return made


def _reference_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention by its formula, in float32."""
    q, k, v = (x.float().transpose(1, 2) for x in (q, k, v))
    return ((q @ k.mT * q.shape[-1] ** -0.5).softmax(-1) @ v).transpose(1, 2)


def _relative_error(made: Tensor, exact: Tensor) -> float:
    fault = float((made.float() - exact).norm() / exact.norm())
    return fault if fault == fault else float("inf")  # not a number is no agreement


def _time_s(run: Callable[[], object], device: torch.device) -> float:
    if device.type != "cuda":
        began = time.perf_counter()
        run()
        return time.perf_counter() - began
    with torch.cuda.device(device):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
    return start.elapsed_time(end) / 1000
