"""Measurements of single operations: VAE formats, attention backends, RoPE, and products in 8 bits."""

import platform
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lingbot_cli.errors import LingbotError
from lingbot_cli.model import rope
from lingbot_cli.model.accel.attention_backends import AttentionShape, int8_attention, time_backends
from lingbot_cli.model.accel.fp8 import (
    matmul_fp8_emulated,
    pick_matmul,
    quantise_tokens,
    quantise_weight,
)
from lingbot_cli.model.accel.torch_compile import should_compile
from lingbot_cli.model.accel.vae_format import FORMATS, use_format
from lingbot_cli.model.attention import attend_all
from lingbot_cli.model.device import compute_capability, convolutions_in_tf32
from lingbot_cli.model.vae import VAE
from lingbot_cli.model.vae_layers import CausalConvCache
from lingbot_cli.runtime.hardware import free_gpus
from tests.gpu.sizes import Bench, relative_error

PACKAGES = ("torch", "numpy", "safetensors", "triton", "flash-attn", "sageattention")
LATENTS = (1, 4)


def versions(bench: Bench) -> dict[str, object]:
    """Return the versions of programs and the device."""
    found: dict[str, object] = {"python": platform.python_version(), "system": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    if bench.device.type == "cuda":
        facts = torch.cuda.get_device_properties(bench.device)
        found |= {
            "device": facts.name,
            "bytes": facts.total_memory,
            "processors": facts.multi_processor_count,
        }
        found |= {"capability": compute_capability(bench.device), "cuda": torch.version.cuda}
        found |= {"cudnn": torch.backends.cudnn.version(), "free": free_gpus()}
    return found


def vae_formats(bench: Bench) -> dict[str, object]:
    """Time encoder and decoder by memory format, TF32 and latents a call, late in a stream.

    Errors are relative to the spread of the contiguous result of one latent a call without TF32.
    """
    vae = bench.model().vae
    rows: list[dict[str, object]] = []
    for part, name in product(("encode", "decode"), FORMATS):
        use_format(vae, name)
        for tf32, latents in product((False, True) if part == "encode" else (False,), LATENTS):
            with convolutions_in_tf32(tf32):
                row = _vae_row(bench, vae, part, latents)
            rows.append({"part": part, "format": name, "tf32": tf32, "latents": latents, **row})
    return {"rows": _with_errors(rows)}


def _vae_row(bench: Bench, vae: VAE, part: str, latents: int) -> dict[str, object]:
    """Return milliseconds a latent, peak bytes, and the output of a stream."""
    height, width = bench.sizes.height, bench.sizes.width
    draw = torch.Generator().manual_seed(0)
    if part == "encode":
        whole = torch.randn(1, 3, 1 + 4 * LATENTS[-1], height, width, generator=draw).clamp(-1, 1)
        step, call = 4 * latents, vae.encode
    else:
        whole = torch.randn(1, 16, 1 + LATENTS[-1], height // 8, width // 8, generator=draw)
        step, call = latents, vae.decode
    first, *parts = (x.to(bench.device) for x in (whole[:, :, :1], *whole[:, :, 1:].split(step, dim=2)))
    cache = CausalConvCache()
    output = torch.cat([call(x, cache) for x in (first, *parts)], dim=2).float().cpu()
    seconds = bench.seconds(lambda: call(parts[0], cache))
    return {
        "ms_a_latent": 1000 * seconds / latents,
        "peak_bytes": bench.peak(lambda: call(parts[0], cache)),
        "output": output,
    }


def _with_errors(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return the rows with each output replaced by its error against the first row's of its part."""
    exact: dict[object, Tensor] = {}
    for row in rows:
        output = row.pop("output")
        assert isinstance(output, Tensor)
        row["error"] = relative_error(output, exact.setdefault(row["part"], output))
    return rows


def attention(bench: Bench) -> dict[str, object]:
    """Time the backends that agree with exact attention, and int8 attention, at a full window."""
    queries, keys, counts = bench.sizes.attention
    found: dict[str, object] = {}
    for heads in counts:
        shape = AttentionShape(queries, keys, heads, 128)
        row: dict[str, object] = {
            name: {"ms": 1000 * seconds, "tflops": 4e-12 * queries * keys * heads * 128 / seconds}
            for name, seconds in time_backends(shape, bench.device, bench.dtype).items()
        }
        found[f"{heads} heads"] = row | {"int8": _int8_attention(bench, shape)}
    return found


def _int8_attention(bench: Bench, shape: AttentionShape) -> dict[str, object]:
    try:
        attend = int8_attention(compute_capability(bench.device), bench.dtype)
    except LingbotError as problem:
        return {"missing": str(problem)}
    counts = (shape.queries, shape.keys, shape.keys)
    q, k, v = (bench.random(1, count, shape.heads, shape.head_dim).to(bench.dtype) for count in counts)
    error = relative_error(attend(q, k, v), attend_all(q, k, v))
    return {"ms": 1000 * bench.seconds(lambda: attend(q, k, v)), "error": error, "holds": error < 0.1}


def rope_times(bench: Bench) -> dict[str, object]:
    """Time the rotation of a chunk's queries, eager and compiled."""
    sizes, heads = bench.sizes, bench.sizes.attention[2]
    rows, columns = sizes.height // 16, sizes.width // 16
    table = rope.rotation_table(5, sizes.small.chunk, rows, columns, 128, bench.device)
    found: dict[str, object] = {}
    compiled = torch.compile(rope.rotate) if should_compile(bench.compile, str(bench.device)) else None
    for count in heads:
        x = bench.random(1, table.shape[1], count, 128).to(bench.dtype)
        row = {"eager_ms": 1000 * bench.seconds(partial(rope.rotate, x, table))}
        if compiled is not None:
            row["compiled_ms"] = 1000 * bench.seconds(partial(compiled, x, table))
            row["error"] = relative_error(compiled(x, table), rope.rotate(x, table))
        found[f"{count} heads"] = row
    return found


def products(bench: Bench) -> dict[str, object]:
    """Time fp8 and int8 products against those in the transformer's precision, with their errors."""
    rows, matmul = [], pick_matmul(compute_capability(bench.device))
    tokens = max(bench.sizes.tokens, 24)
    for narrow, wide in bench.sizes.products:
        x = bench.random(tokens, narrow).to(bench.dtype)
        whole = bench.random(wide, narrow) * narrow**-0.5
        bias = bench.random(wide).to(bench.dtype)
        weight, scale = quantise_weight(whole)
        plain = whole.to(bench.dtype)
        ways: dict[str, Callable[[], Tensor]] = {
            "exact": partial(F.linear, x, plain, bias),
            "fp8": partial(matmul, x, weight, scale, bias),
            "int8": _int8_product(x, whole, bias),
        }
        exact = ways["exact"]()
        row: dict[str, Any] = {"shape": f"{tokens}×{narrow} by {narrow}×{wide}"}
        for name, run in ways.items():
            row |= {f"{name}_ms": 1000 * bench.seconds(run), f"{name}_error": relative_error(run(), exact)}
        emulated = matmul_fp8_emulated(x, weight, scale, bias)
        row["fp8_from_emulated"] = relative_error(ways["fp8"](), emulated)
        row["fp8_tokens_ms"] = 1000 * bench.seconds(partial(quantise_tokens, x))
        rows.append(row)
    return {
        "rows": rows,
        "holds": all(row["fp8_error"] < 0.06 and row["fp8_from_emulated"] < 0.02 for row in rows),
    }


def _int8_product(x: Tensor, weight: Tensor, bias: Tensor) -> Callable[[], Tensor]:
    """Return a product of int8 tokens, quantised in it, and int8 rows, with a scale for each."""
    rows, row_scales = _int8_rows(weight)
    turned = rows.t()

    def run() -> Tensor:
        numbers, scales = _int8_rows(x)
        return (torch._int_mm(numbers, turned).float() * scales * row_scales.t()).to(x.dtype) + bias

    return run


def _int8_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    scale = x.float().abs().amax(dim=1, keepdim=True) / 127
    return (x / scale).round().to(torch.int8), scale
