"""Prompts' rows, kept on disk so that the text encoder is loaded only for a prompt it has not seen."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from lingbot_cli.checkpoints.kept import prompt_file as kept_place
from lingbot_cli.model.text_encoder import TextEncoder
from lingbot_cli.prompt_cleaning import clean_prompt


class CachedPromptEncoder:
    """A world's text: from the disk where it is known, else from the encoder, which is loaded when needed.

    `identity` names the encoder, its tokenizer and the longest prompt; `dim` is the width of a row.
    The encoder stays loaded until `release`.
    """

    def __init__(
        self, load_encoder: Callable[[], TextEncoder], *, identity: str, dim: int, folder: Path
    ) -> None:
        self._load_encoder = load_encoder
        self._encoder: TextEncoder | None = None
        self.identity = identity
        self.dim = dim
        self.folder = folder

    def encode(self, prompt: str) -> Tensor:
        """The rows of a prompt, [L ≤ text_len, dim] float32 on the CPU."""
        cleaned = clean_prompt(prompt)
        place = kept_place(self.folder, self.identity, cleaned)
        rows = self._read(place)
        if rows is None:
            if self._encoder is None:
                self._encoder = self._load_encoder()
            rows = self._encoder.encode(cleaned)
            _write(place, save({"rows": rows.contiguous()}))
        return rows

    def release(self) -> None:
        """Give the encoder's memory back."""
        self._encoder = None

    def _read(self, place: Path) -> Tensor | None:
        """The kept rows; nothing for an entry that is not there or not whole, which is then made again."""
        try:
            rows = load(place.read_bytes()).get("rows")
        except (OSError, SafetensorError):
            return None
        right = (
            rows is not None and rows.ndim == 2 and rows.shape[1] == self.dim and rows.dtype == torch.float32
        )
        return rows if right else None


def _write(place: Path, content: bytes) -> None:
    """Write a file that is either whole or not there. A full or read-only disk only costs the cache."""
    part = place.with_suffix(f".{os.getpid()}.part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(place)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
