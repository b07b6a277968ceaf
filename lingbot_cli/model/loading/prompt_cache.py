"""Disk cache of text embeddings: the text encoder is loaded only for a prompt that has none yet."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from lingbot_cli.checkpoints.cache_dir import prompt_file
from lingbot_cli.errors import OutputError
from lingbot_cli.files import write_file
from lingbot_cli.model.text_encoder import TextEncoder
from lingbot_cli.prompt_cleaning import clean_prompt


class CachedPromptEncoder:
    """A prompt encoder that reads known prompts from disk and loads the text encoder for others.

    `identity` stands for the text encoder, its tokenizer and the prompt's maximal length; `dim` is the width of
    an embedding. The text encoder stays loaded until `release`.
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
        """Return a prompt's embeddings [L ≤ text_len, dim], float32 on the CPU."""
        cleaned = clean_prompt(prompt)
        file = prompt_file(self.folder, self.identity, cleaned)
        rows = self._read(file)
        if rows is None:
            if self._encoder is None:
                self._encoder = self._load_encoder()
            rows = self._encoder.encode(cleaned)
            with suppress(OSError, OutputError):  # on a full or read-only disk there is no cache
                write_file(file, save({"rows": rows.contiguous()}), make_folder=True)
        return rows

    def release(self) -> None:
        """Free the text encoder's memory."""
        self._encoder = None

    def _read(self, file: Path) -> Tensor | None:
        """Read cached embeddings; None for a missing or damaged file, which is then replaced."""
        try:
            rows = load(file.read_bytes()).get("rows")
        except (OSError, SafetensorError):
            return None
        valid = (
            rows is not None and rows.ndim == 2 and rows.shape[1] == self.dim and rows.dtype == torch.float32
        )
        return rows if valid else None
