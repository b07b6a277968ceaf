"""A loaded model: weights and settings, shared by all sessions and never modified."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from lingbot_cli.model.attention import AttentionFunction, attend_all
from lingbot_cli.model.device import convolutions_in_tf32
from lingbot_cli.model.sequence_parallel import SINGLE_PROCESS, SequenceParallel
from lingbot_cli.model.tiny_decoder import TinyDecoder
from lingbot_cli.model.transformer import Transformer
from lingbot_cli.model.vae import VAE
from lingbot_cli.presets import Preset

if TYPE_CHECKING:
    from concurrent.futures import Future

    from lingbot_cli.model.group_session import GroupLeader


class PromptEncoder(Protocol):
    """An encoder of prompts."""

    def encode(self, prompt: str) -> Tensor:
        """Return a prompt's embeddings [L ≤ text_len, text_dim], float32 on the CPU."""


def whole_prompt(prompt: str, _action_text: str) -> str:
    """Return the prompt as it is."""
    return prompt


def prompt_is_ready(_prompt: str) -> "Future[None] | None":
    """Prepare nothing."""
    return None


@dataclass(frozen=True)
class WorldModel:
    """Weights and settings; `identity` is the weights' fingerprint, the same on every device.

    `parallel` is this process's share if several devices render one video; `attend` computes self-attention over
    the KV cache, which holds 8-bit numbers where `kv_cache` is int8 or fp8; `decoder` replaces the VAE's.
    Every encode and decode holds `vae_lock`: a VAE pass is the peak of memory use, and two at once would double
    it; `encode_tf32` encodes with TF32 on a GPU. `reuse_keys` keeps a chunk's keys and values of its last denoising
    step instead of computing those of its clean latents. `leader` sends live sessions to the other processes of a
    group. `fit_prompt` cuts prompts that are too long; `prepare_prompt` encodes one aside, and returns
    None once sessions can take it without waiting.
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
    decoder: TinyDecoder | VAE | None = None
    kv_cache: str | None = None
    leader: "GroupLeader | None" = None
    fit_prompt: Callable[[str, str], str] = whole_prompt
    prepare_prompt: Callable[[str], "Future[None] | None"] = prompt_is_ready
    encode_tf32: bool = False
    reuse_keys: bool = False
    vae_lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    @contextmanager
    def encoding(self) -> Iterator[None]:
        """Hold the VAE for an encode, with its convolutions in TF32 where they may be."""
        with self.vae_lock, convolutions_in_tf32(self.encode_tf32):
            yield

    @property
    def frame_decoder(self) -> TinyDecoder | VAE:
        """The decoder in use."""
        return self.decoder or self.vae

    @property
    def decoder_receptive_field(self) -> int:
        """Number of past latents on which a decoded video frame can depend."""
        return self.frame_decoder.decoder_receptive_field

    @property
    def decode_device(self) -> torch.device:
        """The decoder's device, which may differ from the transformer's."""
        return self.frame_decoder.decode_device

    @property
    def decodes_in_place(self) -> bool:
        """True if the decoder is on the transformer's device; "cuda" is the first GPU."""
        devices = {(device.type, device.index or 0) for device in (self.device, self.decode_device)}
        return len(devices) == 1
