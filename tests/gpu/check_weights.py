"""What of loading only a GPU can show: `python tests/gpu/check_weights.py [MODEL]` on a machine with one.

Holds offloaded blocks, fp8 and the memory estimate to what the device really does; prints what it measured.
"""

import sys

import numpy as np
import torch

from lingbot_cli.control import Control
from lingbot_cli.model.loading.load import load_model
from lingbot_cli.model.session import Session
from lingbot_cli.model.world_model import WorldModel
from lingbot_cli.runtime.memory import Setup, estimate
from lingbot_cli.runtime.model_options import ModelOptions

HEIGHT, WIDTH, CHUNKS = 480, 832, 6


def main(model: str | None) -> None:
    """Run every check; a failed one is an AssertionError."""
    eager, eager_peak = run(model, "bfloat16", offloaded=False)
    streamed, streamed_peak = run(model, "bfloat16", offloaded=True)
    assert torch.equal(eager, streamed), "offloaded blocks changed the film"
    rough, _ = run(model, "fp8", offloaded=False)
    print(f"fp8 differs by {(rough - eager).std() / eager.std():.3f} of the latents' spread")
    assert streamed_peak < eager_peak or model is None


def run(model: str | None, precision: str, *, offloaded: bool) -> tuple[torch.Tensor, int]:
    """Latents of a short film, and the device's measured peak in bytes, which the estimate must meet."""
    torch.cuda.empty_cache()
    before = torch.cuda.mem_get_info()[0]
    torch.cuda.reset_peak_memory_stats()
    world = load_model(
        model,
        ModelOptions(device="cuda", precision=precision, offload=offloaded),
        prompts=["a gate"],
    )
    latents = film(world)
    measured = torch.cuda.max_memory_reserved()
    setup = Setup(HEIGHT, WIDTH, "cuda", precision, "float16", offload=offloaded)
    needed = estimate(world.preset, setup)
    told = needed.peak - needed.runtime
    print(
        f"{precision}{' offloaded' if offloaded else ''}: estimated {told / 1e9:.2f} GB, "
        f"measured {measured / 1e9:.2f} GB of {before / 1e9:.1f} GB free"
    )
    assert abs(told - measured) <= 0.1 * measured, "the estimate is off by more than a tenth"
    return latents, measured


def film(world: WorldModel) -> torch.Tensor:
    """Latents of a few chunks that stand still, on the CPU."""
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
