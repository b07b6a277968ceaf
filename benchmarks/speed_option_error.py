"""Error of each speed option of fast mode against the exact result, on the same inputs.

The flow error is the RMS error of one forward with the reference's tiny weights, relative to the exact flow's
standard deviation. PSNR in dB is that of a walk with the built-in model, and of its first chunk alone, before
errors accumulate.

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
from lingbot_cli.model import rope
from lingbot_cli.model.attention import AttentionFunction, attend_all
from lingbot_cli.model.loading.loader import load_model, load_transformer
from lingbot_cli.model.session import Session
from lingbot_cli.model.world_model import WorldModel
from lingbot_cli.runtime.hardware import fast_window
from lingbot_cli.runtime.model_options import ModelOptions
from tests.support.reference import REFERENCE, walk

IMAGE = REFERENCE.parents[2] / "samples" / "courtyard-day.png"


@dataclass(frozen=True)
class SpeedOption:
    """Approximations in use: `linears`, `fast_steps` and `commit` as on the command line, another `attend`, a smaller
    window."""

    linears: str | None = None
    attend: AttentionFunction = attend_all
    window: bool = False
    fast_steps: int | None = None
    commit: str | None = None


def attend_int8(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Emulate sageattention: subtract the keys' mean, then round queries and keys to int8 by block."""
    return attend_all(
        quantise_blocks_int8(q, 128), quantise_blocks_int8(k - k.mean(dim=1, keepdim=True), 64), v
    )


def quantise_blocks_int8(x: Tensor, size: int) -> Tensor:
    """Round tokens [B, N, heads, d] to int8 with one scale per head and `size` tokens."""
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
    "two steps": SpeedOption(fast_steps=2),
    "one step": SpeedOption(fast_steps=1),
    "keys of the last step": SpeedOption(commit="last-step"),
    "two steps, keys of the last": SpeedOption(fast_steps=2, commit="last-step"),
}


@torch.inference_mode()
def flow(option: SpeedOption) -> Tensor:
    """Return the flow of one chunk of random latents with the tiny weights in the diffusers layout."""
    checkpoint = read_checkpoint(REFERENCE / "checkpoints" / "diffusers-v1-fast")
    transformer = load_transformer(checkpoint, torch.device("cpu"), "float32", linears=option.linears)
    draw = torch.Generator().manual_seed(0)
    latents, condition, rays = (torch.randn(1, n, 3, 6, 10, generator=draw) for n in (16, 20, 384))
    text = transformer.embed_text(torch.randn(17, 48, generator=draw))
    camera = transformer.embed_camera(rays)
    made = transformer(
        latents,
        condition,
        torch.tensor([900.0]),
        camera,
        text,
        rope.rotation_table(0, 3, 3, 5, transformer.config.head_dim, torch.device("cpu")),
        lambda _, q, k, v: option.attend(q, k, v),
    )
    assert made is not None
    return made


def flow_error(option: SpeedOption) -> float:
    """Return the RMS error of an option's flow relative to the exact flow's standard deviation."""
    exact = flow(SPEED_OPTIONS["exact"])
    return float((flow(option) - exact).square().mean().sqrt() / exact.std())


def built_in_model(option: SpeedOption) -> WorldModel:
    """Return the built-in model with a speed option."""
    options = ModelOptions(linears=option.linears, fast_steps=option.fast_steps, commit=option.commit)
    world = load_model(options=options, prompts=("a stone courtyard",))
    preset = replace(world.preset, window=fast_window(world.preset)) if option.window else world.preset
    return replace(world, attend=option.attend, preset=preset)


def render_video(world: WorldModel, chunks: int, height: int = 64, width: int = 112) -> list[Tensor]:
    """Return the frames [T, H, W, 3] uint8 of each chunk of a walk with a turn."""
    session = Session(world, read_image(IMAGE), height=height, width=width)
    return [session.step(control) for control in walk(chunks, world.preset.chunk, "a stone courtyard")]


def psnr(one: list[Tensor], other: list[Tensor]) -> float:
    """Return the PSNR in dB of two videos; infinite for equal ones."""
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
    print(f"| option | error of the flow | first chunk | {chunks} chunks |\n|---|---:|---:|---:|")
    for name, option in list(SPEED_OPTIONS.items())[1:]:
        made = render_video(built_in_model(option), chunks)
        figures = psnr(exact[:1], made[:1]), psnr(exact, made)
        shown = ("the same" if math.isinf(each) else f"{each:.1f} dB" for each in figures)
        print(f"| {name} | {flow_error(option):.1%} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
