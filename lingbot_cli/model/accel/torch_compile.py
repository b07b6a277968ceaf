"""Compilation of the transformer's blocks by torch.compile: one compilation per method serves all blocks."""

import os
import shutil
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lingbot_cli.checkpoints.cache_dir import cache_folder
from lingbot_cli.model.accel.offload import StreamedBlocks
from lingbot_cli.model.device import current_device

if TYPE_CHECKING:
    from lingbot_cli.model.world_model import WorldModel

Method = Callable[..., Any]
COMPILED_METHODS = ("before_attention", "after_attention", "self_keys_values")
"""Pure functions of tensors; attention between them reads and writes the KV cache eagerly."""
COMPILERS = ("cc", "gcc", "clang")


def should_compile(requested: bool | None, device: str) -> bool:
    """Return whether to compile: as requested, else on a GPU with Triton and a C compiler."""
    if requested is not None:
        return requested
    available = find_spec("triton") is not None and any(shutil.which(name) for name in COMPILERS)
    return device.startswith("cuda") and available


def compile_or_warn(
    model: "WorldModel",
    height: int,
    width: int,
    *,
    note: Callable[[str], None],
    warn: Callable[[str], None],
) -> bool:
    """Compile for a video size and return True; on failure warn, stay eager and return False.

    Compiled code is cached on disk.
    """
    if not can_compile(model):
        warn("--compile has no effect with --offload: the blocks stay eager")
        return False
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "compiled"))
    tokens = -(-model.preset.chunk * (height * width // 256) // model.parallel.size)
    note(f"compiling the blocks for {width}x{height}: about a minute the first time, seconds from then on")
    start = time.monotonic()
    try:
        with current_device(model.device):
            compile_blocks(model, tokens)
    except _compiler_errors() as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        warn(f"cannot compile the blocks: {reason}; they stay eager")
        return False
    note(f"compiled in {time.monotonic() - start:.0f} s")
    return True


def can_compile(model: "WorldModel") -> bool:
    """Return whether the blocks' weights have fixed addresses, which compiled code needs."""
    return not isinstance(model.transformer.blocks, StreamedBlocks)


@torch.inference_mode()
def compile_blocks(model: "WorldModel", tokens: int) -> None:
    """Compile a model's blocks for a chunk of `tokens` tokens in this process.

    Errors: any of the compiler's; the blocks are eager again then.
    """
    blocks, config = list(model.transformer.iter_blocks()), model.transformer.config
    try:
        for block in blocks:
            for name in COMPILED_METHODS:
                # The method of the class: an earlier call has replaced the instance's.
                eager = getattr(type(block), name).__get__(block)
                setattr(block, name, _for_tokens(tokens, torch.compile(eager, dynamic=False), eager))
        device, dtype = model.device, model.transformer.dtype
        x = torch.zeros(1, tokens, config.dim, device=device)
        time_rows = torch.zeros(1, 6, config.dim, device=device)
        rotation = torch.zeros(2, tokens, config.head_dim // 2, device=device)
        # Distinct tensors, as in a session: code compiled for one tensor passed twice would be compiled again.
        camera = [torch.zeros(1, tokens, config.dim, device=device, dtype=dtype) for _ in range(2)]
        text = [
            torch.zeros(1, config.text_len, config.heads, config.head_dim, device=device, dtype=dtype)
            for _ in range(2)
        ]
        blocks[0].self_keys_values(x, time_rows, rotation)
        q, k, v = blocks[0].before_attention(x, time_rows, rotation)
        attended = model.attend(q, k, v)
        blocks[0].after_attention(x, attended, time_rows, (camera[0], camera[1]), (text[0], text[1]))
    except BaseException:
        restore_eager(model)
        raise


def restore_eager(model: "WorldModel") -> None:
    """Undo `compile_blocks`."""
    for block in model.transformer.iter_blocks():
        for name in COMPILED_METHODS:
            vars(block).pop(name, None)


def _for_tokens(count: int, compiled: Method, eager: Method) -> Method:
    """Run other token counts eagerly: a compilation in the middle of a session takes too long."""

    def run(x: Tensor, *rest: Any) -> Any:
        return (compiled if x.shape[1] == count else eager)(x, *rest)

    return run


def _compiler_errors() -> tuple[type[BaseException], ...]:
    """Return the exceptions of a missing, broken or overtaxed compiler."""
    from torch._dynamo.exc import TorchDynamoException

    return (TorchDynamoException, RuntimeError, OSError, ImportError)
