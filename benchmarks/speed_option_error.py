"""How far each lever of fast mode leads from the exact world, measured on the same inputs.

`flow`: the mean error of the flow of one forward, of the exact flow's spread, by the reference's tiny weights.
`film`: PSNR in dB of a walk through the built-in world, and of its first chunk, before errors add up.

    python -m benchmarks.speed_option_error --chunks 6
"""

import argparse
import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from lingbot_cli.checkpoints.checkpoint import read_checkpoint
from lingbot_cli.image import read_image
from lingbot_cli.model.attention import AttentionFunction, attend_all
from lingbot_cli.model.loading.loader import load_model, load_transformer
from lingbot_cli.model.session import Session
from lingbot_cli.model.world_model import WorldModel
from lingbot_cli.runtime.capabilities import fast_window
from lingbot_cli.runtime.model_options import ModelOptions
from tests.support.reference import REFERENCE, walk

IMAGE = REFERENCE.parents[2] / "samples" / "courtyard-day.png"


@dataclass(frozen=True)
class SpeedOption:
    """What is not exact: `linears` as on the command line, `attend` in the exact one's place, a small window."""

    linears: str | None = None
    attend: AttentionFunction = attend_all
    window: bool = False


def attend_int8(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """What the kernels of sageattention compute: keys without their mean, and both rounded to int8 by block."""
    return attend_all(
        quantise_blocks_int8(q, 128), quantise_blocks_int8(k - k.mean(dim=1, keepdim=True), 64), v
    )


def quantise_blocks_int8(x: Tensor, size: int) -> Tensor:
    """Tokens [B, N, heads, d] as 255 steps of a scale for each head and each `size` tokens."""
    count = x.shape[1]
    blocks = F.pad(x, (0, 0, 0, 0, 0, -count % size)).unflatten(1, (-1, size))
    scale = blocks.abs().amax(dim=(2, 4), keepdim=True).clamp(min=1e-9) / 127
    return ((blocks / scale).round() * scale).flatten(1, 2)[:, :count]


SPEED_OPTIONS = {
    "exact": SpeedOption(),
    "fp8 linears": SpeedOption(linears="fp8"),
    "int8 attention": SpeedOption(attend=attend_int8),
    "smaller window": SpeedOption(window=True),
    "all three": SpeedOption("fp8", attend_int8, True),
}


@torch.inference_mode()
def flow(lever: SpeedOption) -> Tensor:
    """The flow of one chunk of random latents, by the tiny weights in the diffusers layout."""
    checkpoint = read_checkpoint(REFERENCE / "checkpoints" / "diffusers-v1-fast")
    transformer = load_transformer(checkpoint, torch.device("cpu"), "float32", linears=lever.linears)
    draw = torch.Generator().manual_seed(0)
    latents, condition, rays = (torch.randn(1, n, 3, 6, 10, generator=draw) for n in (16, 20, 384))
    text = transformer.embed_text(torch.randn(17, 48, generator=draw))
    camera = transformer.embed_camera(rays)
    made = transformer(
        *(latents, condition, torch.tensor([900.0]), camera, text),
        lambda _, q, k, v: lever.attend(q, k, v),
    )
    assert made is not None
    return made


def flow_error(lever: SpeedOption) -> float:
    """The error of a lever's flow as a share of the exact flow's spread."""
    exact = flow(SPEED_OPTIONS["exact"])
    return float((flow(lever) - exact).square().mean().sqrt() / exact.std())


def built_in_model(lever: SpeedOption) -> WorldModel:
    """The built-in world with a lever."""
    world = load_model(options=ModelOptions(linears=lever.linears), prompts=("a stone courtyard",))
    preset = replace(world.preset, window=fast_window(world.preset)) if lever.window else world.preset
    return replace(world, attend=lever.attend, preset=preset)


def render_video(world: WorldModel, chunks: int, height: int = 64, width: int = 112) -> list[Tensor]:
    """The frames [T, H, W, 3] uint8 of every chunk of a walk that turns."""
    session = Session(world, read_image(IMAGE), height=height, width=width)
    return [session.step(control) for control in walk(chunks, world.preset.chunk, "a stone courtyard")]


def psnr(one: list[Tensor], other: list[Tensor]) -> float:
    """PSNR in dB of two films; infinite where they are the same."""
    error = (torch.cat(one).float() - torch.cat(other).float()).square().mean().item()
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chunks", type=int, default=6)
    chunks = parser.parse_args().chunks
    exact = render_video(built_in_model(SPEED_OPTIONS["exact"]), chunks)
    print(f"| lever | error of the flow | first chunk | {chunks} chunks |\n|---|---:|---:|---:|")
    for name, lever in list(SPEED_OPTIONS.items())[1:]:
        made = render_video(built_in_model(lever), chunks)
        figures = psnr(exact[:1], made[:1]), psnr(exact, made)
        shown = ("the same" if math.isinf(each) else f"{each:.1f} dB" for each in figures)
        print(f"| {name} | {flow_error(lever):.1%} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
