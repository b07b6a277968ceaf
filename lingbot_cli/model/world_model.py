"""A loaded model: shared by every session and never written to."""

from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

import torch
from torch import Tensor

from lingbot_cli.model.attention import Attend, attend_all
from lingbot_cli.model.part import WHOLE, Part
from lingbot_cli.model.tiny_decoder import TinyDecoder
from lingbot_cli.model.transformer import Transformer
from lingbot_cli.model.vae import VAE
from lingbot_cli.presets import Preset


class TextEncoder(Protocol):
    """Whatever turns a prompt into rows."""

    def encode(self, prompt: str) -> Tensor:
        """The rows [L ≤ text_len, text_dim] float32 of a prompt's tokens, on the CPU."""


@dataclass(frozen=True)
class World:
    """Weights and settings; `identity` is a hash of the weights, the same wherever they are loaded.

    `part` is this process's share of the work where several devices make one film; `attend` computes the
    self-attention over what memory holds; a `tiny` decoder shows pictures in place of the VAE's. Whoever encodes
    or decodes holds `vae_turn`: a pass of the VAE takes the most memory of all, and two at once would take twice.
    """

    preset: Preset
    transformer: Transformer
    vae: VAE
    text: TextEncoder
    device: torch.device
    identity: str = ""
    trained: bool = True
    part: Part = WHOLE
    attend: Attend = attend_all
    tiny: TinyDecoder | None = None
    vae_turn: Lock = field(default_factory=Lock, repr=False, compare=False)

    @property
    def decoder_reach(self) -> int:
        """How many latents back the decoder sees; before that nothing can matter to a video frame."""
        return self.vae.config.decoder_reach if self.tiny is None else self.tiny.reach

    @property
    def decodes_on(self) -> torch.device:
        """The device of the decoder, which need not be the transformer's."""
        return self.vae.decodes_on if self.tiny is None else next(self.tiny.parameters()).device
