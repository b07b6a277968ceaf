"""CPU time that each optimisation saves over the published algorithm; all give the same latents.

The published algorithm encodes the whole clip at once, recomputes camera and text embeddings in each of a
chunk's five forwards, runs the fifth to its end and decodes the whole clip at once. The optimisations are turned
on one after the other.

    python -m benchmarks.savings --size 112x64 --chunks 12
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from lingbot_cli.model import session as sessions
from lingbot_cli.model.image_conditioning import ImageCondition
from lingbot_cli.model.loading.loader import load_model
from lingbot_cli.model.session import Session
from lingbot_cli.model.transformer import Transformer
from lingbot_cli.model.vae_layers import CausalConvCache
from lingbot_cli.model.world_model import WorldModel
from tests.support.reference import walk


@dataclass(frozen=True)
class Savings:
    """Optimisations in use; without any it is the published algorithm."""

    bounded_encode: bool = False
    text_once: bool = False
    camera_once: bool = False
    short_commit: bool = False
    streamed_decode: bool = False


STEPS = [
    ("published algorithm", Savings()),
    ("+ encode only what the image reaches", Savings(True)),
    ("+ text keys and values once a prompt", Savings(True, True)),
    ("+ camera scale and shift once a chunk", Savings(True, True, True)),
    ("+ commit stops at the last keys and values", Savings(True, True, True, True)),
    ("+ decode as a stream", Savings(True, True, True, True, True)),
]


class UnsavingTransformer:
    """A transformer that recomputes in every forward the results that disabled optimisations would reuse."""

    def __init__(self, transformer: Transformer, on: Savings) -> None:
        self._transformer = transformer
        self._on = on
        self._rays = torch.empty(0)
        self._context = torch.empty(0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transformer, name)

    def embed_camera(self, rays: Tensor, *rest: Any) -> Any:
        self._rays = rays
        return self._transformer.embed_camera(rays, *rest)

    def embed_text(self, context: Tensor) -> Any:
        self._context = context
        return self._transformer.embed_text(context)

    def __call__(
        self,
        latents: Tensor,
        condition: Tensor,
        t: Tensor,
        camera: Any,
        text: Any,
        *rest: Any,
        flow: bool,
        **more: Any,
    ) -> Tensor | None:
        camera = camera if self._on.camera_once else self._transformer.embed_camera(self._rays)
        text = text if self._on.text_once else self._transformer.embed_text(self._context)
        full = flow or not self._on.short_commit
        made = self._transformer(latents, condition, t, camera, text, *rest, flow=full, **more)
        return made if flow else None


class WholeCondition(ImageCondition):
    """A condition that encodes all frames of the video in its first call."""

    frames = 0

    def next(self, frames: int) -> Tensor:
        if self._latents_done == 0:
            self._constant_from, self._cache = self.frames, CausalConvCache()
            self._all = super().next(self.frames)
            self._latents_done = 0
        start, self._latents_done = self._latents_done, self._latents_done + frames
        return self._all[:, :, start : self._latents_done]


@contextmanager
def use_encoding(on: Savings, latents: int) -> Iterator[None]:
    """Let sessions encode the whole video at once inside the block, unless that optimisation is on."""
    WholeCondition.frames = latents
    before = sessions.ImageCondition
    sessions.ImageCondition = before if on.bounded_encode else WholeCondition
    try:
        yield
    finally:
        sessions.ImageCondition = before


@torch.inference_mode()
def render_video(
    world: WorldModel, on: Savings, height: int, width: int, chunks: int
) -> tuple[Tensor, Tensor]:
    """Return latents and video of a walk, rendered with the given optimisations."""
    controls = walk(chunks, world.preset.chunk)
    wasteful = replace(world, transformer=cast(Transformer, UnsavingTransformer(world.transformer, on)))
    slope = np.linspace(0, 255, height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    with use_encoding(on, chunks * world.preset.chunk):
        living = Session(wasteful, slope, height=height, width=width)
        latents = [living.denoise(control) for control in controls]
    whole = torch.cat(latents, dim=1)
    if not on.streamed_decode:
        return whole, world.vae.decode(whole[None])[0]
    carry = CausalConvCache()
    return whole, torch.cat([world.vae.decode(part[None], carry)[0] for part in latents], dim=1)


def main() -> None:
    """Print the table as Markdown: seconds of CPU time (noisy machines: compare within one run only)."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="112x64")
    parser.add_argument("--chunks", type=int, default=12)
    parser.add_argument("--model")
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    world = load_model(given.model, prompts=("a courtyard",))
    render_video(world, STEPS[-1][1], height, width, 2)
    print(
        f"| {world.preset.name}, {given.size}, {given.chunks} chunks | CPU seconds | of the first |\n|---|---:|---:|"
    )
    first = 0.0
    for name, on in STEPS:
        began = time.process_time()
        render_video(world, on, height, width, given.chunks)
        took = time.process_time() - began
        first = first or took
        print(f"| {name} | {took:.2f} | {took / first:.0%} |", flush=True)


assert [sum(getattr(on, field.name) for field in fields(on)) for _, on in STEPS] == list(range(len(STEPS)))

if __name__ == "__main__":
    main()
