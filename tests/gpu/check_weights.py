"""Checks of loading on a GPU: `python tests/gpu/check_weights.py [MODEL]`.

Compares offloaded blocks, fp8 weights and the memory estimate with measurements, and prints them.
"""

import sys

import numpy as np
import torch

from lingbot_cli.control import Control
from lingbot_cli.model.loading.loader import load_model
from lingbot_cli.model.session import Session
from lingbot_cli.model.world_model import WorldModel
from lingbot_cli.runtime.memory import MemorySetup, estimate_memory
from lingbot_cli.runtime.model_options import ModelOptions

HEIGHT, WIDTH, CHUNKS = 480, 832, 6


def main(model: str | None) -> None:
    """Run every check. Errors: AssertionError for one that fails."""
    eager, eager_peak = run(model, "bfloat16", offloaded=False)
    streamed, streamed_peak = run(model, "bfloat16", offloaded=True)
    assert torch.equal(eager, streamed), "offloaded blocks changed the video"
    rough, _ = run(model, "fp8", offloaded=False)
    print(f"fp8 differs by {(rough - eager).std() / eager.std():.3f} of the latents' spread")
    assert streamed_peak < eager_peak or model is None


def run(model: str | None, precision: str, *, offloaded: bool) -> tuple[torch.Tensor, int]:
    """Return the latents of a short video and the peak bytes measured, which the estimate must match."""
    torch.cuda.empty_cache()
    before = torch.cuda.mem_get_info()[0]
    torch.cuda.reset_peak_memory_stats()
    options = ModelOptions(device="cuda", precision=precision, offload=offloaded)
    world = load_model(model, options, prompts=["a gate"])
    latents = latents_of(world)
    measured = torch.cuda.max_memory_reserved()
    setup = MemorySetup(HEIGHT, WIDTH, "cuda", precision, "float16", offload=offloaded)
    needed = estimate_memory(world.preset, setup)
    estimated = needed.peak - needed.runtime
    print(
        f"{precision}{' offloaded' if offloaded else ''}: estimated {estimated / 1e9:.2f} GB, "
        f"measured {measured / 1e9:.2f} GB of {before / 1e9:.1f} GB free"
    )
    assert abs(estimated - measured) <= 0.1 * measured, "the estimate is off by more than a tenth"
    return latents, measured


def latents_of(world: WorldModel) -> torch.Tensor:
    """Return the latents of a few chunks with a camera at rest, on the CPU."""
    chunk = world.preset.chunk
    session = Session(world, np.full((HEIGHT, WIDTH, 3), 90, np.uint8), height=HEIGHT, width=WIDTH)
    control = Control(
        np.tile(np.eye(4), (chunk, 1, 1)),
        np.tile([400.0, 400.0, 416.0, 240.0], (chunk, 1)),
        np.zeros((chunk, 4), np.float32),
        "a gate",
        4 * chunk,
    )
    made = []
    for _ in range(CHUNKS):
        latents = session.denoise(control)
        session.decode(latents)
        made.append(latents.cpu())
    return torch.cat(made, dim=1)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
