"""Presets: the architecture and sampling settings of each supported model; no torch."""

from dataclasses import dataclass, replace
from typing import Literal

from lingbot_cli.errors import UsageError


@dataclass(frozen=True)
class Preset:
    """One checkpoint's architecture and sampling settings (model §2).

    `chunk`, `window`, `sink` count latent frames; a window of −1 is unbounded.
    `steps` are indices into the 1001-point schedule, `shift` its flow shift.
    `area` is the number of output pixels chosen when no size is given.
    `vae_mult` are the channels of the VAE's levels as multiples of `vae_dim`, from full resolution down.
    `antialias`: first images are made smaller by the mean of what a pixel covers, not by the published bicubic rule.
    `sizes` are the sizes that a small model was trained at; it knows no other. Empty: any size.
    `scene_max_error`, of a model of one scene: the highest error of an image of it (`model/trained_scene.py`).
    """

    name: str
    dim: int
    heads: int
    layers: int
    ffn: int
    chunk: int
    window: int
    sink: int
    steps: tuple[int, ...]
    shift: float
    licence: str
    control: Literal["cam", "act"] = "cam"
    area: int = 832 * 480
    fps: int = 16
    text_dim: int = 4096
    text_len: int = 512
    freq_dim: int = 256
    vae_dim: int = 96
    vae_blocks: int = 2
    vae_mult: tuple[int, ...] = (1, 2, 4, 4)
    antialias: bool = False
    sizes: tuple[str, ...] = ()
    scene_max_error: float | None = None


DESCRIPTIVE = ("sizes", "scene_max_error")
"""Settings that only warnings need: latents do not depend on them."""

V1_STEPS = (0, 179, 358, 679)
V2_STEPS = (0, 250, 500, 750)

_BUILT_IN = Preset(
    name="built-in",
    dim=192,
    heads=6,
    layers=9,
    ffn=768,
    chunk=3,
    window=12,
    sink=3,
    steps=V2_STEPS,
    shift=5.0,
    licence="Apache-2.0",
    area=112 * 64,
    text_dim=64,
    text_len=64,
    vae_dim=16,
    vae_blocks=1,
    vae_mult=(1, 4, 8, 8),
    antialias=True,
    sizes=("112x64", "64x112", "224x128"),
)
_V1 = Preset(
    name="lingbot-world-fast",
    dim=5120,
    heads=40,
    layers=40,
    ffn=13824,
    chunk=3,
    window=18,
    sink=9,
    steps=V1_STEPS,
    shift=10.0,
    licence="Apache-2.0 code; see the model card for the weights",
)
_V2_14B = replace(
    _V1, name="lingbot-world-v2-14b-causal-fast", chunk=4, sink=6, steps=V2_STEPS, licence="CC BY-NC-SA 4.0"
)
# The same weights in the diffusers layout, as SGLang and vLLM-Omni run them.
_V2_14B_DIFFUSERS = replace(
    _V2_14B, name="lingbot-world-v2-14b-causal-fast-diffusers", chunk=3, sink=9, shift=5.0
)
_V2_1_3B = replace(
    _V2_14B, name="lingbot-world-v2-1.3b-causal-fast", dim=1536, heads=12, layers=30, ffn=8960, shift=5.0
)
PRESETS = {preset.name: preset for preset in (_BUILT_IN, _V1, _V2_14B, _V2_14B_DIFFUSERS, _V2_1_3B)}


def check_window(window: int, sink: int, chunk: int) -> None:
    """Raise UsageError for a window that cannot hold the attention sink and a chunk, all in latent frames."""
    if sink < 0 or (window != -1 and window < sink + chunk):
        raise UsageError(
            f"a window of {window} latent frames cannot hold a sink of {sink} and a chunk of {chunk}",
            hint=f"use --window {max(sink, 0) + chunk} or more, or -1 for no limit",
        )


def check_heads(heads: int, processes: int) -> None:
    """Raise UsageError for a number of processes that does not divide a model's attention heads."""
    if heads % processes:
        divisors = ", ".join(str(n) for n in range(2, heads + 1) if heads % n == 0)
        raise UsageError(
            f"{heads} attention heads cannot be shared among {processes} devices", hint=f"use {divisors}"
        )
