"""The arithmetic of a block around its attention, fused by torch.compile; what is compiled once serves all blocks."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lingbot_cli.model.accel.offload import StreamedBlocks

if TYPE_CHECKING:
    from lingbot_cli.model.world_model import WorldModel

Method = Callable[..., Any]
COMPILED_METHODS = ("before_attention", "after_attention")
"""A block's methods that are tensors in, tensors out; between them memory is written and read, eagerly."""


def can_compile(world: "WorldModel") -> bool:
    """Whether a world's blocks stay where they are, so that compiled code finds them."""
    return not isinstance(world.transformer.blocks, StreamedBlocks)


@torch.inference_mode()
def compile_blocks(world: "WorldModel", tokens: int) -> None:
    """Compile a loaded world's blocks for so many tokens of a chunk in this process, before they are needed.

    Errors: whatever the compiler raises; the blocks are eager again then.
    """
    blocks, config = world.transformer.block_list(), world.transformer.config
    try:
        for block in blocks:
            for part in COMPILED_METHODS:
                # The method of the class: what an earlier call put into the instance is replaced.
                eager = getattr(type(block), part).__get__(block)
                setattr(block, part, _for_tokens(tokens, torch.compile(eager, dynamic=False), eager))
        device, dtype = world.device, world.transformer.dtype
        x = torch.zeros(1, tokens, config.dim, device=device)
        time = torch.zeros(1, 6, config.dim, device=device)
        # Each a tensor of its own, as in a film: code compiled for one tensor given twice would be made again.
        camera = [torch.zeros(1, tokens, config.dim, device=device, dtype=dtype) for _ in range(2)]
        text = [
            torch.zeros(1, config.text_len, config.heads, config.head_dim, device=device, dtype=dtype)
            for _ in range(2)
        ]
        q, k, v = blocks[0].before_attention(x, time)
        blocks[0].after_attention(x, world.attend(q, k, v), time, (camera[0], camera[1]), (text[0], text[1]))
    except BaseException:
        restore_eager(world)
        raise


def _for_tokens(count: int, compiled: Method, eager: Method) -> Method:
    """Run compiled what it was compiled for; to compile for another size in the midst of a game takes too long."""

    def run(x: Tensor, *rest: Any) -> Any:
        return (compiled if x.shape[1] == count else eager)(x, *rest)

    return run


def restore_eager(world: "WorldModel") -> None:
    """Undo `compile_blocks`."""
    for block in world.transformer.block_list():
        for part in COMPILED_METHODS:
            vars(block).pop(part, None)
