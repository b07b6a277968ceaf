"""Self-attention with int8 queries and keys, through the `sageattention` package."""

from typing import TYPE_CHECKING

import torch

from lingbot_cli.errors import SetupError, UsageError
from lingbot_cli.runtime.hardware import INT8_PACKAGE, Capability, int8_attention_problem

if TYPE_CHECKING:
    from torch import Tensor

    from lingbot_cli.model.attention import AttentionFunction


def int8_attention(capability: Capability, dtype: torch.dtype) -> "AttentionFunction":
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

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        return sageattn(q, k, v, tensor_layout="NHD", is_causal=False)

    return attend
