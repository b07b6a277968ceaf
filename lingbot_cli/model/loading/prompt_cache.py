"""Disk cache of text embeddings: the text encoder is loaded only for a prompt that has none yet."""

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from threading import Lock

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from lingbot_cli.checkpoints.cache_dir import PACKAGED_PROMPTS, prompt_file
from lingbot_cli.daemon_thread import run_in_daemon_thread
from lingbot_cli.errors import OutputError
from lingbot_cli.files import write_file
from lingbot_cli.model.text_encoder import TextEncoder
from lingbot_cli.model.transfer import use_own_streams
from lingbot_cli.prompt_cleaning import clean_prompt

MAX_RECENT = 16
"""Prompts whose embeddings stay in memory, up to 8 MB each: a disk may be full or read-only."""
_CPU = torch.device("cpu")


class CachedPromptEncoder:
    """A prompt encoder that reads known prompts from disk and loads the text encoder for others.

    `identity` stands for the text encoder, its tokenizer and the prompt's maximal length; `dim` is the width of
    an embedding. The text encoder stays loaded until `release`. Any thread may call it.
    """

    def __init__(
        self,
        load_encoder: Callable[[], TextEncoder],
        *,
        identity: str,
        dim: int,
        folder: Path,
        device: torch.device = _CPU,
    ) -> None:
        self._load_encoder = load_encoder
        self._encoder: TextEncoder | None = None
        self._device = device
        self._encoding = Lock()
        self._recent: OrderedDict[str, Tensor] = OrderedDict()
        self.identity = identity
        self.dim = dim
        self.folder = folder

    def encode(self, prompt: str) -> Tensor:
        """Return a prompt's embeddings [L ≤ text_len, dim], float32 on the CPU."""
        cleaned = clean_prompt(prompt)
        rows = self._find(cleaned)
        if rows is None:
            with self._encoding:
                rows = self._find(cleaned)  # another thread may have encoded it
                if rows is None:
                    rows = self._encode(cleaned)
        return rows

    def prepare(self, prompt: str) -> "Future[None] | None":
        """Encode a prompt on a thread of its own, and a stream of its own on a GPU; None if it is known."""
        if self._find(clean_prompt(prompt)) is not None:
            return None

        def encode() -> None:
            use_own_streams(self._device)
            self.encode(prompt)

        return run_in_daemon_thread(encode, "text encoder")

    def _find(self, cleaned: str) -> Tensor | None:
        rows = self._recent.get(cleaned)
        for folder in (self.folder, PACKAGED_PROMPTS):
            rows = self._read(prompt_file(folder, self.identity, cleaned)) if rows is None else rows
        return rows

    def _encode(self, cleaned: str) -> Tensor:
        if self._encoder is None:
            self._encoder = self._load_encoder()
        rows = self._encoder.encode(cleaned)
        with suppress(OSError, OutputError):  # on a full or read-only disk there is no cache
            file = prompt_file(self.folder, self.identity, cleaned)
            write_file(file, save({"rows": rows.contiguous()}), make_folder=True)
        self._recent[cleaned] = rows
        if len(self._recent) > MAX_RECENT:
            self._recent.popitem(last=False)
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
