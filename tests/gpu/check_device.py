"""Checks that every device-specific path renders the same video as the eager path.

    python -m tests.gpu.check_device cuda

Attention kernels, compiled blocks, latents decoded in one batch, and decoding in parallel with denoising. Runs on any
device; on a CPU it checks the check itself.
"""

import sys
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lingbot_cli.control import Control
from lingbot_cli.model.accel.attention_backends import get_backend, working_backends
from lingbot_cli.model.accel.torch_compile import compile_blocks, restore_eager
from lingbot_cli.model.loading.loader import load_model
from lingbot_cli.model.session import Session
from lingbot_cli.model.world_model import WorldModel
from lingbot_cli.render.chunk_plan import new_tasks
from lingbot_cli.render.pipeline import RenderedChunk, run_pipeline
from lingbot_cli.runtime.model_options import ModelOptions
from lingbot_cli.sinks.base import NullSink
from tests.support.reference import walk

HEIGHT, WIDTH, CHUNKS = 64, 112, 6
CLOSE = {torch.float32: 1e-3, torch.bfloat16: 5e-2}


def main(device: str) -> None:
    """Print a line for each check that holds. Errors: AssertionError for the first that does not."""
    world = load_model(None, ModelOptions(device=device), prompts=["a courtyard"])
    controls = walk(CHUNKS, world.preset.chunk)
    controls[0] = replace(controls[0], frames=4 * world.preset.chunk - 3)
    latents, frames = film(world, controls)
    beside = through_the_job(world, controls)
    assert np.array_equal(beside, frames), "decoding beside the denoising changes the frames"
    print(f"{device}: decoding beside the denoising gives the same {len(frames)} frames")
    one_by_one = film(world, controls, decode_batch=1)[1]
    apart = np.abs(one_by_one.astype(int) - frames).max()
    assert apart <= 2, f"latents decoded one by one differ by {apart} levels"
    print(f"{device}: latents decoded one by one differ by {apart} levels of 255 at the most")
    for name in working_backends(world.device, world.transformer.dtype):
        near(
            f"kernel {name}",
            film(replace(world, attend=get_backend(name, world.device, world.transformer.dtype)), controls)[
                0
            ],
            latents,
            world,
        )
    compile_blocks(world, world.preset.chunk * HEIGHT * WIDTH // 256)
    near("compiled blocks", film(world, controls)[0], latents, world)
    restore_eager(world)


def near(name: str, made: Tensor, expected: Tensor, world: WorldModel) -> None:
    """Compare latents with those of the eager path, within the tolerance of their precision."""
    off = float((made - expected).norm() / expected.norm())
    assert off <= CLOSE[world.transformer.dtype], f"{name}: latents differ by {off:.1e} of their norm"
    print(f"{world.device}: {name}: latents differ by {off:.1e} of their norm")


def session(world: WorldModel, decode_batch: int | None = None) -> Session:
    """Return a session whose image is a grey gradient."""
    slope = np.linspace(0, 255, HEIGHT * WIDTH * 3, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3)
    return Session(world, slope, height=HEIGHT, width=WIDTH, decode_batch=decode_batch)


def film(
    world: WorldModel, controls: list[Control], decode_batch: int | None = None
) -> tuple[Tensor, np.ndarray]:
    """Return latents and frames, computed without overlap."""
    opened = session(world, decode_batch)
    latents, frames = [], []
    for control in controls:
        latents.append(opened.denoise(control))
        frames.append(opened.decode(latents[-1]).cpu())
    return torch.cat(latents, dim=1).cpu(), torch.cat(frames).numpy()


def through_the_job(world: WorldModel, controls: list[Control]) -> np.ndarray:
    """Return the frames of the render pipeline."""
    parts: list[np.ndarray] = []

    def keep(chunk: RenderedChunk) -> None:
        parts.append(np.array(chunk.frames))

    run_pipeline(
        new_tasks(controls), lambda _: session(world), NullSink(), stopped=lambda: False, on_chunk=keep
    )
    return np.concatenate(parts)


if __name__ == "__main__":
    with torch.inference_mode():
        main(sys.argv[1])
