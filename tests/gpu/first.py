"""All measurements that only a GPU can make, in one process and about ten minutes.

    python -m tests.gpu.first --out first.json

It needs torch, numpy and safetensors, and neither ffmpeg nor weights: models have random weights at their published
sizes. Each step is bounded in time, and FILE is written after each. A second call goes on where FILE ends: good steps
are not repeated. On a CPU the same steps run at toy sizes. Exits with 0 if every step succeeded and holds.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

from lingbot_cli.model.device import pick_device
from lingbot_cli.runtime.hardware import use_expandable_segments
from lingbot_cli.runtime.model_options import ModelOptions
from tests.gpu import models, operations
from tests.gpu.runner import Runner, Step
from tests.gpu.sizes import FULL, TOY, Bench
from tests.support.reference import CASES

RUN_S = 570.0


def steps(bench: Bench) -> Iterator[Step]:
    """Yield all steps: first those that show whether results are right, then those that show how fast they are."""

    def step(name: str, limit_s: float, run: Callable[..., dict[str, object]], *more: object) -> Step:
        return Step(name, limit_s, partial(run, bench, *more))

    small, large = bench.sizes.small, bench.sizes.large
    exact, fp8 = ModelOptions(), ModelOptions(linears="fp8")
    yield step("versions", 20, operations.versions)
    for case in CASES:
        yield step(f"parity {case.name}", 40, models.parity, case)
    yield step("offload", 60, models.offload_equals_resident)
    yield step("VAE formats", 90, operations.vae_formats)
    yield step("VAE format switch", 60, models.vae_format_switch)
    yield step("attention", 60, operations.attention)
    yield step("RoPE", 60, operations.rope_times)
    yield step("products", 40, operations.products)
    yield step("streams", 60, models.streams)
    yield step("1.3B", 150, models.whole_model, small, exact)
    yield step("14B", 200, models.whole_model, large, exact)
    yield step("14B fp8", 150, models.whole_model, large, fp8)
    two = ModelOptions(linears="fp8", fast_steps=2)
    yield step("14B fp8, --fast-steps 2", 120, models.whole_model, large, two)
    yield step("two sessions", 60, models.sessions_in_turn)


def main() -> None:
    """Run the steps that FILE lacks."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.gpu.first",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="JSON file, continued if it is there"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=RUN_S, help="for all steps together")
    parser.add_argument("--compile", action="store_true", default=None, help="compile on a CPU too")
    given = parser.parse_args()
    device = pick_device(given.device)
    if device.type == "cpu":
        torch.set_num_threads(1)  # toy sizes are slower with more
    bench = Bench(device, FULL if device.type == "cuda" else TOY, given.compile)
    sys.exit(not Runner.open(given.out, given.seconds).run(list(steps(bench))))


if __name__ == "__main__":
    use_expandable_segments(os.environ)
    main()
