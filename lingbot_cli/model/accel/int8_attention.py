"""Self-attention with eight-bit queries and keys, by the kernels of the `sageattention` package."""

from typing import TYPE_CHECKING

import torch

from lingbot_cli.errors import SetupError, UsageError
from lingbot_cli.runtime.capabilities import INT8_PACKAGE, Capability, int8_attention_problem

if TYPE_CHECKING:
    from torch import Tensor

    from lingbot_cli.model.attention import AttentionFunction


def int8_attention(capability: Capability, dtype: torch.dtype) -> "AttentionFunction":
    """Attention of queries [B, N, heads, d] to keys and values [B, M, heads, d] with int8 products of q and k.

    The kernels take the mean of the keys away, which the softmax does not feel, and round queries and keys to
    int8 with a scale a block (Zhang et al., SageAttention, 2024). Errors: SetupError where they are not to be
    had, UsageError for float32, which they do not take.
    """
    lack = int8_attention_problem(capability)
    if lack is not None:
        raise SetupError(
            f"--attention int8 cannot run here: {lack}",
            hint=f"`pip install {INT8_PACKAGE}` on a machine with a GPU, or leave --attention int8 out",
        )
    if dtype == torch.float32:
        raise UsageError(
            "--attention int8 goes with sixteen-bit activations", hint="use --precision bfloat16"
        )
    try:
        from sageattention import sageattn
    except (ImportError, OSError) as broken:
        raise SetupError(
            f"--attention int8 cannot run here: {INT8_PACKAGE} cannot be imported: {broken}",
            hint=f"install {INT8_PACKAGE} for this machine's torch, or leave --attention int8 out",
        ) from broken

    def attend(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
        return sageattn(q, k, v, tensor_layout="NHD", is_causal=False)

    return attend
