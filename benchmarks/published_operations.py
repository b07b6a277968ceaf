"""CPU seconds of a chunk with the published operations, with 2D convolutions by frame, and as lingbot computes it.

The published operations: 3D convolutions, normalisation and upsampling as PyTorch's modules, one latent after the
other, past frames concatenated; rotary embedding by complex float64 numbers, RMS norms by their formula, and the
terms of camera and prompt in each of the five forwards, of which the last runs to its end. "2D convolutions" is
lingbot's decoder until November 2026 (commit cdb32bd). All alternate in one process, one thread each, and the lowest
of `--rounds` counts: noise only adds.

    python -m benchmarks.published_operations --rounds 8
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import replace
from typing import cast
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.savings import Savings, UnsavingTransformer
from lingbot_cli.model import rope, vae_convolution, vae_layers
from lingbot_cli.model.loading.loader import load_model
from lingbot_cli.model.session import Session
from lingbot_cli.model.transformer import Transformer
from lingbot_cli.model.vae import VAE
from lingbot_cli.model.vae_layers import Activation, CausalConv3d, CausalConvCache, RMSNorm, Upsample
from lingbot_cli.model.world_model import WorldModel
from tests.support.reference import walk

NOW, BY_FRAME, PUBLISHED = "as lingbot computes it", "2D convolutions", "published operations"


def conv3d(x: Tensor, weight: Tensor, bias: Tensor, **options: object) -> Tensor:
    """Convolve with PyTorch's 3D convolution, channels first."""
    padding, stride = (
        cast(tuple[int, int], options.get("padding", (0, 0))),
        cast(int, options.get("stride", 1)),
    )
    return F.conv3d(x.contiguous(), weight, bias, padding=(0, *padding), stride=(stride, 1, 1))


def conv3d_by_frame(x: Tensor, weight: Tensor, bias: Tensor, **options: object) -> Tensor:
    """Convolve with sums of 2D convolutions."""
    padding, stride = (
        cast(tuple[int, int], options.get("padding", (0, 0))),
        cast(int, options.get("stride", 1)),
    )
    return vae_convolution.conv3d_by_frame(x, weight, bias, padding=padding, stride=stride)


def join(
    cache: CausalConvCache, layer: str, x: Tensor, keep: int, activate: Activation | None = None
) -> Tensor:
    """Concatenate past and new frames."""
    x = x if activate is None else activate(x, None)
    joined = torch.cat([cache.frames[layer], x], dim=2) if layer in cache.frames else x
    cache.frames[layer] = joined[:, :, max(joined.shape[2] - keep, 0) :].clone()
    return joined


def silu(norm: RMSNorm, x: Tensor, out: Tensor | None = None) -> Tensor:
    """Normalise, then activate, each into a new tensor."""
    return F.silu(norm(x)) if out is None else torch.ops.aten.silu.out(norm(x), out=out)


def double_frames(layer: Upsample, x: Tensor, cache: CausalConvCache | None, conv: CausalConv3d) -> Tensor:
    """Double the frames after the first by moving axes."""
    first = cache is None or not cache.started(layer.name)
    if cache is not None:
        cache.frames.setdefault(layer.name, x[:, :, :0])
    rest = x[:, :, 1:] if first else x
    pairs = conv(rest, cache).unflatten(1, (2, -1)).movedim(1, 3).flatten(2, 3) if rest.shape[2] else rest
    return torch.cat([x[:, :, :1], pairs], dim=2) if first else pairs


def upsample(layer: Upsample, x: Tensor, cache: CausalConvCache | None) -> Tensor:
    """Double the image, then convolve it."""
    if layer.time_conv is not None:
        x = double_frames(layer, x, cache, layer.time_conv)
    return (
        nn.Sequential(*layer.resample)(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (1, -1)).transpose(1, 2)
    )


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Rotate as complex numbers in float64."""
    pairs = torch.view_as_complex(x.double().unflatten(-1, (-1, 2)))
    turns = torch.complex(table[0].double(), table[1].double())[:, None]
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)


def rms_norm(norm: nn.RMSNorm, x: Tensor) -> Tensor:
    """Normalise by the formula."""
    return x * torch.rsqrt(x.pow(2).mean(dim=-1, keepdim=True) + cast(float, norm.eps)) * norm.weight


@contextmanager
def use_operations(name: str) -> Iterator[None]:
    """Compute with the operations of that name inside the block."""
    apart = [patch.object(Upsample, "forward", upsample), patch.object(RMSNorm, "silu", silu)]
    patches = {
        NOW: [],
        BY_FRAME: [patch.object(vae_layers, "conv3d", conv3d_by_frame), *apart],
        PUBLISHED: [
            patch.object(vae_layers, "conv3d", conv3d),
            *apart,
            patch.object(CausalConvCache, "join", join),
            patch.object(rope, "rotate", rotate),
            patch.object(nn.RMSNorm, "forward", rms_norm),
        ],
    }
    with ExitStack() as stack:
        for each in patches[name]:
            stack.enter_context(each)
        yield


def with_operations(world: WorldModel, name: str) -> WorldModel:
    """Return the model as it is used with the operations of that name."""
    if name == NOW:
        return world
    vae = deepcopy(world.vae)
    for parameter in vae.parameters():
        parameter.data = parameter.data.contiguous()
    transformer = (
        UnsavingTransformer(world.transformer, Savings()) if name == PUBLISHED else world.transformer
    )
    return replace(world, vae=cast(VAE, vae), transformer=cast(Transformer, transformer))


class Run:
    """A session with the operations of one name, and the CPU seconds of its stages, one entry a chunk."""

    def __init__(self, world: WorldModel, name: str, height: int, width: int) -> None:
        slope = np.linspace(0, 255, height * width * 3, dtype=np.uint8).reshape(height, width, 3)
        self.name = name
        batch = 1 if name == PUBLISHED else None
        model = with_operations(world, name)
        self.session = Session(model, slope, height=height, width=width, decode_batch=batch)
        self.seconds: dict[str, list[float]] = {"transformer": [], "VAE decode": []}

    def step(self, control: object) -> Tensor:
        """Render the next chunk and return its frames."""
        with use_operations(self.name):
            latents = self._timed("transformer", lambda: self.session.denoise(control))  # type: ignore[arg-type]
            return self._timed("VAE decode", lambda: self.session.decode(latents))

    def _timed(self, stage: str, run: Callable[[], Tensor]) -> Tensor:
        began = time.process_time()
        result = run()
        self.seconds[stage].append(time.process_time() - began)
        return result


def measure(world: WorldModel, height: int, width: int, warm_up: int, rounds: int) -> tuple[list[Run], int]:
    """Render with all operations in turn; return the runs and the largest difference of their frames, of 255."""
    runs, largest = [Run(world, name, height, width) for name in (PUBLISHED, BY_FRAME, NOW)], 0
    for control in walk(warm_up + rounds, world.preset.chunk):
        frames = [run.step(control) for run in runs]
        largest = max(largest, *(int((each.int() - frames[-1].int()).abs().max()) for each in frames))
    for run in runs:
        run.seconds = {stage: spent[warm_up:] for stage, spent in run.seconds.items()}
    return runs, largest


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="112x64")
    parser.add_argument("--rounds", type=int, default=8)
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    torch.set_num_threads(1)
    world = load_model(prompts=("a courtyard",))
    # Until the window is full and the image has left the encoder's receptive field.
    warm_up = (
        1 + max(world.preset.window, world.vae.config.encoder_receptive_field // 4 + 1) // world.preset.chunk
    )
    runs, largest = measure(world, height, width, warm_up, given.rounds)
    print("| CPU seconds a chunk | transformer | VAE decode | chunk |\n|---|---:|---:|---:|")
    least = [{stage: min(spent) for stage, spent in run.seconds.items()} for run in runs]
    for run, spent in zip(runs, least, strict=True):
        shown = [
            f"{seconds:.3f} ({seconds / now:.1f}×)"
            for seconds, now in (
                *((spent[stage], least[-1][stage]) for stage in spent),
                (sum(spent.values()), sum(least[-1].values())),
            )
        ]
        print(f"| {run.name} | {' | '.join(shown)} |")
    print(f"\nlargest difference of a frame's values: {largest} of 255")


if __name__ == "__main__":
    main()
