"""A session: the state of one video, rendered chunk by chunk along a camera path under a changing prompt."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lingbot_cli.camera.plucker import plucker_rays
from lingbot_cli.camera.pose import FIXED_SCALE, relative_poses
from lingbot_cli.control import Control
from lingbot_cli.errors import UsageError
from lingbot_cli.model import rope
from lingbot_cli.model.accel.quantised_kv_cache import new_kv_cache
from lingbot_cli.model.chunk_decoder import ChunkDecoder
from lingbot_cli.model.device import current_device
from lingbot_cli.model.image_conditioning import ImageCondition, resize_image
from lingbot_cli.model.kv_cache import KVCache, KVCacheShape
from lingbot_cli.model.sampler import ChunkNoise, NoiseSource, seeded_noise, sigma_schedule
from lingbot_cli.model.transfer import AsyncCopy, download, upload
from lingbot_cli.model.transformer import BlockPairs, LayerAttention
from lingbot_cli.model.vae import default_latent_batch
from lingbot_cli.model.world_model import WorldModel
from lingbot_cli.presets import check_window

# Returns a context manager around a phase of a step, for measurements: encode, denoise, commit or decode.
PhaseHook = Callable[[str], AbstractContextManager[object]]
OnClean = Callable[[Tensor], object]


@dataclass(frozen=True)
class CameraInput:
    """The camera in one chunk: relative poses `steps` [c, 4, 4], intrinsics [c, 4] and held keys [c, 4]."""

    steps: np.ndarray
    intrinsics: np.ndarray
    actions: np.ndarray


@dataclass(frozen=True)
class ChunkInputs:
    """Inputs shared by all forwards over a chunk; `modulation` is the embedded camera, `rotation` the positions."""

    camera: CameraInput
    condition: Tensor
    modulation: BlockPairs
    rotation: Tensor
    attend: LayerAttention


@dataclass(frozen=True)
class PastChunk:
    """A chunk in the KV cache, with the inputs that rebuild its entries; `start` is its first latent frame."""

    start: int
    latents: Tensor
    condition: Tensor
    camera: CameraInput


class Session:
    """The state of one video: KV cache, positions, prompt, camera, noise and VAE streaming caches.

    After a `start`, `denoise`, `decode` or `set_window` that failed, the same call may be made again.
    """

    def __init__(
        self,
        model: WorldModel,
        image: np.ndarray,
        *,
        height: int,
        width: int,
        seed: int = 42,
        scale: float = FIXED_SCALE,
        noise: NoiseSource | None = None,
        max_attention_tokens: int | None = None,
        decode_batch: int | None = None,
        phase: PhaseHook = nullcontext,
    ) -> None:
        """`image` [H, W, 3] uint8 RGB of any size; `height` and `width` of the video are multiples of 16.

        `scale` divides the camera's translations (model §7); `noise` replaces the seeded noise. `decode_batch` is
        the number of latents decoded per call; by default as many as fit any device at this size.
        """
        if height % 16 or width % 16 or min(height, width) < 16:
            raise UsageError(f"size {width}x{height}: width and height must be multiples of 16")
        self.model = model
        self.shape = (16, height // 8, width // 8)
        self.latent = self.chunk = 0
        self._size = (height, width)
        self._scale = scale
        ahead = noise is None and model.device.type == "cuda"  # recorded noise ends with its video
        self._noise = ChunkNoise(noise or seeded_noise(seed), self.shape, ahead=ahead)
        self._phase = phase
        self._schedule = sigma_schedule(model.preset.steps, model.preset.shift)
        self._pose: np.ndarray | None = None
        self._prompt: str | None = None
        self._text: BlockPairs
        self._decoder = ChunkDecoder(model, decode_batch or default_latent_batch(height, width))
        self._undecoded: Tensor | None = None
        with current_device(model.device):
            first_image = resize_image(
                torch.from_numpy(image), height, width, antialias=model.preset.antialias
            ).to(model.device)
        self._condition = ImageCondition(model.vae, first_image, model.encoding)
        config = model.transformer.config
        self._cache_shape = KVCacheShape(
            layers=config.layers,
            tokens=self.shape[1] * self.shape[2] // 4,
            heads=config.heads // model.parallel.size,
            head_dim=config.head_dim,
            window=model.preset.window,
            sink=model.preset.sink,
            max_attention_tokens=max_attention_tokens,
        )
        check_window(model.preset.window, model.preset.sink, model.preset.chunk)
        self._cache = self._new_cache()
        self._past_chunks: tuple[PastChunk, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of the KV cache, the prompt's keys and values, and what the VAE carries, on the model's device."""
        decoder = self._decoder.nbytes if self.model.decodes_in_place else 0
        return self._cache.nbytes + self._text.nbytes + self._condition.nbytes + decoder

    def step(self, control: Control) -> Tensor:
        """Render the next chunk to frames [T, H, W, 3] uint8 RGB; T is 4(c−1)+1 for the first chunk, then 4c."""
        return self.decode(self.denoise(control))

    def start(self, control: Control) -> tuple[AsyncCopy, AsyncCopy]:
        """Start the next chunk; return copies of its latents [16, c, h, w] and frames [T, H, W, 3] to the host.

        They are complete before the pass that writes the KV cache: a GPU runs that pass while the host sends the
        frames and prepares the next chunk's rays. Not so with another device that decodes, or in a process group,
        whose other processes would wait for the decoder.
        """
        copies: list[AsyncCopy] = []

        def finish(latents: Tensor) -> None:
            copies.extend((download(latents), download(self.decode(latents))))

        with self._decoder.undoing_failure():
            if self.model.leader is None and self.model.decodes_in_place:
                self.denoise(control, finish)
            else:
                if self._undecoded is None:
                    self._undecoded = self.denoise(control)
                finish(self._undecoded)
        self._undecoded = None
        for part in (self._condition, self._decoder):  # for the other sessions
            part.release_buffer()
        return copies[0], copies[1]

    @torch.inference_mode()
    def denoise(self, control: Control, on_clean: OnClean | None = None) -> Tensor:
        """Denoise the next chunk to clean latents [16, c, h, w] float32 and write it to the KV cache.

        `on_clean` is called with the latents before the pass that writes them, so that decoding need not wait for it.
        """
        with current_device(self.model.device), self._undoing_failure():
            inputs = self._begin_chunk(control)
            with self._phase("denoise"):
                latents = self._denoise(inputs)
            if on_clean is not None:
                on_clean(latents[0])
            self._commit(inputs, control, latents)
            self._draw_ahead(len(control.poses))
            return latents[0]

    def _denoise(self, inputs: ChunkInputs) -> Tensor:
        """Return the clean latents [1, 16, c, h, w] of a chunk."""
        frames = len(inputs.camera.steps)
        latents = self._draw_noise(0, frames)
        for step, t in enumerate(self._schedule.timesteps):
            if step:
                latents = self._schedule.renoise(latents, self._draw_noise(step, frames), step - 1)
            flow = self._forward(inputs, latents, t)
            latents = self._schedule.predict_clean(latents, flow, step)
        return latents

    @torch.inference_mode()
    def replay(self, control: Control, latents: np.ndarray | Tensor) -> None:
        """Write an already denoised chunk to the KV cache: `latents` [16, c, h, w] float32 from `denoise`.

        After a replay of all chunks so far, in order, `denoise` continues bit-equal to the original session. Keys of
        the last denoising step do not follow from the clean latents: the chunk is denoised again for them.
        """
        if self.model.reuse_keys:
            self.denoise(control)
            return
        with current_device(self.model.device):
            inputs = self._begin_chunk(control)
            self._commit(inputs, control, torch.as_tensor(latents, device=self.model.device)[None])

    @torch.inference_mode()
    def skip(self, control: Control) -> None:
        """Advance position, prompt and condition over the next chunk without writing it to the KV cache."""
        with current_device(self.model.device):
            self._set_prompt(replace(control, recache=False))
            self._condition.next(len(control.poses))
            self._advance(control)

    @torch.inference_mode()
    def set_window(self, frames: int) -> None:
        """Change the attention window from the next chunk on; the KV cache keeps its sink and newest frames.

        A larger window fills with the chunks to come. Errors: UsageError for one without room for a chunk.
        """
        check_window(frames, self._cache_shape.sink, self.model.preset.chunk)
        self._cache_shape = replace(self._cache_shape, window=frames)
        with current_device(self.model.device):
            self._cache.resize(frames)
        self._forget_evicted()

    @torch.inference_mode()
    def decode(self, latents: np.ndarray | Tensor) -> Tensor:
        """Decode the next chunk's latents [16, c, h, w] to frames [T, H, W, 3] uint8 RGB, on the decoder's device."""
        device = self.model.decode_device
        with current_device(device), self._phase("decode"), self.model.vae_lock:
            return self._decoder.decode(torch.as_tensor(latents, device=device))

    @contextmanager
    def _undoing_failure(self) -> Iterator[None]:
        """Restore the state before the block if it fails, so that the same chunk can be denoised again.

        The KV cache needs nothing: the same rows are written again. The encoder's cache is computed again.
        """
        before = vars(self) | {"_condition": copy(self._condition)}
        try:
            yield
        except BaseException:
            vars(self).update(before)
            self._condition.forget_cache()
            raise

    def _begin_chunk(self, control: Control) -> ChunkInputs:
        self._set_prompt(control)
        camera = CameraInput(
            relative_poses(control.poses, self._pose, self._scale), control.intrinsics, control.actions
        )
        with self._phase("encode"):
            condition = self._condition.next(len(camera.steps))
        with self._phase("denoise"):
            return self._prepare(self.latent, camera, condition)

    def _commit(self, inputs: ChunkInputs, control: Control, latents: Tensor) -> None:
        """Write the clean keys and values of latents [1, 16, c, h, w] to the KV cache and advance."""
        if not self.model.reuse_keys:
            with self._phase("commit"):
                self._forward(inputs, latents, 0, flow=False)
        self._past_chunks += (PastChunk(self.latent, latents, inputs.condition, inputs.camera),)
        self._forget_evicted()
        self._advance(control)

    def _advance(self, control: Control) -> None:
        self._pose = control.poses[-1]
        self.latent += len(control.poses)
        self.chunk += 1

    def _set_prompt(self, control: Control) -> None:
        """Encode a changed prompt, and rebuild the KV cache under it if the control asks for that."""
        if control.prompt == self._prompt:
            return
        self._prompt = control.prompt
        fitted = self.model.fit_prompt(control.prompt, control.action_text)
        embeddings = self.model.text_encoder.encode(fitted)
        self._text = self.model.transformer.embed_text(upload(embeddings, self.model.device))
        if control.recache and self._past_chunks:
            self._rebuild_cache()

    def _rebuild_cache(self) -> None:
        """Write the keys and values of all past chunks again, into the same buffers."""
        self._cache.clear()
        for past in self._past_chunks:
            inputs = self._prepare(past.start, past.camera, past.condition)
            self._forward(inputs, past.latents, 0, flow=False)

    def _new_cache(self) -> KVCache:
        model = self.model
        with current_device(model.device):
            return new_kv_cache(
                model.kv_cache, self._cache_shape, model.device, model.transformer.dtype, model.attend
            )

    def _prepare(self, start: int, camera: CameraInput, condition: Tensor) -> ChunkInputs:
        model = self.model
        actions = camera.actions if model.transformer.config.control == "act" else None
        rays = plucker_rays(camera.steps, camera.intrinsics, *self._size, actions)
        rays_on_device = upload(torch.from_numpy(rays)[None], model.device)
        modulation = model.transformer.embed_camera(rays_on_device, model.parallel)
        frames, rows, columns = len(camera.steps), self.shape[1] // 2, self.shape[2] // 2
        table = rope.rotation_table(start, frames, rows, columns, self._cache_shape.head_dim, model.device)
        rotation = model.parallel.shard(table).contiguous()
        return ChunkInputs(camera, condition, modulation, rotation, self._attention_over(start, frames))

    def _forward(self, inputs: ChunkInputs, latents: Tensor, t: int, *, flow: bool = True) -> Tensor:
        return self.model.transformer(
            latents,
            inputs.condition,
            torch.full((1,), float(t)),
            inputs.modulation,
            self._text,
            inputs.rotation,
            inputs.attend,
            flow=flow,
            parallel=self.model.parallel,
        )

    def _attention_over(self, start: int, frames: int) -> LayerAttention:
        """Reserve a chunk's slots and return its attention: write to the cache, attend to all visible."""
        cache = self._cache
        cache.begin(start, frames)
        parallel = self.model.parallel
        count = frames * self._cache_shape.tokens

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            if not q.shape[1]:  # a commit needs no attention after the last block's keys and values
                k, v = parallel.to_heads([k, v], count)
                cache.write(layer, k, v)
                return q
            return parallel.to_tokens(cache.attend(layer, *parallel.to_heads([q, k, v], count)))

        return attend

    def _forget_evicted(self) -> None:
        """Drop the inputs of chunks that have no frame in the KV cache."""
        cached = set(self._cache.slot_frames.values())
        self._past_chunks = tuple(
            past
            for past in self._past_chunks
            if cached & set(range(past.start, past.start + past.latents.shape[2]))
        )

    def _draw_noise(self, step: int, frames: int) -> Tensor:
        return upload(self._noise.draw(self.chunk, step, frames)[None], self.model.device)

    def _draw_ahead(self, frames: int) -> None:
        self._noise.draw_ahead(self.chunk, len(self._schedule.timesteps), frames)
