"""Image conditioning: a mask and the VAE encoding of the first image followed by grey frames (model §8)."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor

from lingbot_cli.model.still_stream import StillStream
from lingbot_cli.model.vae import VAE, default_latent_batch


def resize_image(image: Tensor, height: int, width: int, *, antialias: bool) -> Tensor:
    """Resize an image [H, W, 3] uint8 to [3, height, width] float32 in −1…1 by the published bicubic rule.

    With `antialias` bilinearly instead, over all that a pixel covers: the rule of `Preset.antialias`.
    """
    pixels = image.permute(2, 0, 1)[None].float() / 127.5 - 1.0
    if antialias:
        return F.interpolate(pixels, size=(height, width), mode="bilinear", antialias=True)[0]
    return F.interpolate(pixels, size=(height, width), mode="bicubic")[0]


class ImageCondition:
    """The condition of one session, encoded chunk by chunk.

    The encoder runs only while the image is within its receptive field, and each of its layers only until its output
    is constant. All later latents are equal, so the cost is bounded for a video of any length.
    """

    def __init__(
        self,
        vae: VAE,
        image: Tensor,
        encoding: Callable[[], AbstractContextManager[object]] = nullcontext,
        batch: int | None = None,
    ) -> None:
        """`image` [3, H, W] float32 in −1…1, on the device of the VAE; `encoding` wraps its encodes.

        `batch`: latents encoded in one pass, by default as many as fit any device at this size.
        """
        self._vae = vae
        self._encoding = encoding
        self._image = image
        self._batch = batch or default_latent_batch(*image.shape[1:])
        self._cache: StillStream | None = StillStream()
        self._requests: tuple[int, ...] = ()  # frames of each call that encoded
        self._tail: Tensor | None = None
        self._latents_done = 0
        self._constant_from = vae.config.encoder_receptive_field // 4 + 1

    def release_buffer(self) -> None:
        """Free what the encoder needs only while it computes."""
        if self._cache is not None:
            self._cache.release_buffer()

    @property
    def nbytes(self) -> int:
        """Bytes of the encoder's cache."""
        return self._cache.nbytes if self._cache is not None else 0

    def next(self, frames: int) -> Tensor:
        """Return mask and latents [1, 4+16, frames, h, w] of the next latent frames."""
        encode = min(frames, max(self._constant_from + 1 - self._latents_done, 0))
        latents: list[Tensor] = []
        if encode:
            if self._cache is None:
                self._restore_cache()
            with self._encoding():
                latents = self._encode(encode)
            self._requests += (frames,)
            self._tail = latents[-1][:, :, -1:]
            if self._latents_done + encode > self._constant_from:
                self._cache = StillStream()  # no later latent needs what it carries
        if encode < frames:
            assert self._tail is not None
            latents.append(self._tail.expand(-1, -1, frames - encode, -1, -1))
        y = torch.cat(latents, dim=2)
        mask = y.new_zeros(1, 4, *y.shape[2:])
        if self._latents_done == 0:
            mask[:, :, 0] = 1.0
        self._latents_done += frames
        return torch.cat([mask, y], dim=1)

    def forget_cache(self) -> None:
        """Drop what the encoder carries, after a call that failed; the next call computes it again."""
        self._cache = None

    def _restore_cache(self) -> None:
        self._cache, self._latents_done = StillStream(), 0
        requests, self._requests = self._requests, ()
        for frames in requests:
            self.next(frames)

    def _encode(self, frames: int) -> list[Tensor]:
        """Encode the next latents, in batches that fit memory at this size."""
        height, width = self._image.shape[1:]
        parts = []
        for start in range(0, frames, self._batch):
            video = self._image.new_zeros(1, 3, 4 * min(self._batch, frames - start), height, width)
            if start == 0 and self._latents_done == 0:
                video = video[:, :, 3:]
                video[:, :, 0] = self._image
            parts.append(self._vae.encode(video, self._cache))
        return parts
