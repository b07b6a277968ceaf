"""A loaded model: shared by every session and never written to."""

from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

import torch
from torch import Tensor

from lingbot_cli.model.attention import AttentionFunction, attend_all
from lingbot_cli.model.part import SINGLE_PROCESS, SequenceParallel
from lingbot_cli.model.tiny_decoder import TinyDecoder
from lingbot_cli.model.transformer import Transformer
from lingbot_cli.model.vae import VAE
from lingbot_cli.presets import Preset


class PromptEncoder(Protocol):
    """Whatever turns a prompt into rows."""

    def encode(self, prompt: str) -> Tensor:
        """The rows [L ≤ text_len, text_dim] float32 of a prompt's tokens, on the CPU."""


@dataclass(frozen=True)
class WorldModel:
    """Weights and settings; `identity` is a hash of the weights, the same wherever they are loaded.

    `parallel` is this process's share of the work where several devices make one film; `attend` computes the
    self-attention over what memory holds; a `tiny` decoder shows pictures in place of the VAE's. Whoever encodes
    or decodes holds `vae_lock`: a pass of the VAE takes the most memory of all, and two at once would take twice.
    """

    preset: Preset
    transformer: Transformer
    vae: VAE
    text_encoder: PromptEncoder
    device: torch.device
    identity: str = ""
    trained: bool = True
    parallel: SequenceParallel = SINGLE_PROCESS
    attend: AttentionFunction = attend_all
    tiny_decoder: TinyDecoder | None = None
    vae_lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    @property
    def decoder_receptive_field(self) -> int:
        """How many latents back the decoder sees; before that nothing can matter to a video frame."""
        return (
            self.vae.config.decoder_receptive_field if self.tiny_decoder is None else self.tiny_decoder.reach
        )

    @property
    def decode_device(self) -> torch.device:
        """The device of the decoder, which need not be the transformer's."""
        return (
            self.vae.decode_device
            if self.tiny_decoder is None
            else next(self.tiny_decoder.parameters()).device
        )
