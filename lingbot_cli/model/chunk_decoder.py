"""Decoder of one video's latents, chunk by chunk."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from lingbot_cli.model.vae_layers import CausalConvCache
from lingbot_cli.model.world_model import WorldModel


class ChunkDecoder:
    """The decoder's state in one video; after a failed call the same call may be made again."""

    def __init__(self, model: WorldModel, batch: int) -> None:
        """`batch`: latents decoded in one pass."""
        self._model = model
        self._batch = batch
        self._cache: CausalConvCache | None = CausalConvCache()
        self._decoded: tuple[Tensor, ...] = ()  # latents of the chunks on which the next frames can depend

    def release_buffer(self) -> None:
        """Free what the decoder needs only while it computes."""
        if self._cache is not None:
            self._cache.release_buffer()

    @property
    def nbytes(self) -> int:
        """Bytes of the cache."""
        return self._cache.nbytes if self._cache is not None else 0

    def decode(self, latents: Tensor) -> Tensor:
        """Decode the next chunk's latents [16, c, h, w] to frames [T, H, W, 3] uint8 RGB."""
        with self.undoing_failure():
            if self._cache is None:
                self._cache = CausalConvCache()
                for past in self._decoded:
                    self._decode(past, self._cache)
            frames = self._decode(latents, self._cache)
            self._decoded += (latents,)
            while sum(past.shape[1] for past in self._decoded[1:]) >= self._model.decoder_receptive_field:
                self._decoded = self._decoded[1:]
            return frames

    @contextmanager
    def undoing_failure(self) -> Iterator[None]:
        """Go back to the state before the block if it fails.

        The cache is overwritten in place: the next call computes it again from the latents before.
        """
        decoded = self._decoded
        try:
            yield
        except BaseException:
            self._decoded, self._cache = decoded, None
            raise

    def _decode(self, latents: Tensor, cache: CausalConvCache) -> Tensor:
        frames = []
        for part in latents[None].split(self._batch, dim=2):
            video = self._model.frame_decoder.decode(part, cache)[0].float()
            pixels = ((video + 1.0) * 127.5).round().to(torch.uint8)
            frames.append(pixels.permute(1, 2, 3, 0).contiguous())
        return torch.cat(frames)
