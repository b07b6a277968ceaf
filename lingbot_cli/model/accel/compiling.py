"""Compile a world's blocks where that helps, saying what is done; where it fails, go on without."""

import os
import shutil
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from lingbot_cli.checkpoints.cache_dir import cache_folder

if TYPE_CHECKING:
    from lingbot_cli.model.world_model import WorldModel

COMPILERS = ("cc", "gcc", "clang")


def should_compile(asked: bool | None, device: str) -> bool:
    """Whether to compile on a device: when asked, else on a GPU that has what it takes."""
    if asked is not None:
        return asked
    here = find_spec("triton") is not None and any(shutil.which(name) for name in COMPILERS)
    return device.startswith("cuda") and here


def compile_or_warn(
    world: "WorldModel",
    height: int,
    width: int,
    *,
    note: Callable[[str], None],
    warn: Callable[[str], None],
) -> bool:
    """Compile for pictures of a size; whether that was done. What was compiled before is kept on disk."""
    from lingbot_cli.model.accel.compile import can_compile, compile_blocks

    if not can_compile(world):
        warn("--compile and --offload do not go together: the blocks run as they are")
        return False
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "compiled"))
    tokens = -(-world.preset.chunk * (height * width // 256) // world.parallel.size)
    note(f"compiling the blocks for {width}x{height}: about a minute the first time, seconds from then on")
    began = time.monotonic()
    try:
        compile_blocks(world, tokens)
    except _compiler_errors() as problem:
        reason = next(iter(str(problem).strip().splitlines()), type(problem).__name__)
        warn(f"the blocks cannot be compiled here ({reason}); they run as they are")
        return False
    note(f"compiled in {time.monotonic() - began:.0f} s")
    return True


def _compiler_errors() -> tuple[type[BaseException], ...]:
    """What a compiler that is missing, broken or out of its depth raises."""
    from torch._dynamo.exc import TorchDynamoException

    return (TorchDynamoException, RuntimeError, OSError, ImportError)
