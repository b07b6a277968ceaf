"""One living world: it remembers what it has made, is told where the camera goes, and makes what comes next."""

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lingbot_cli.camera.plucker import plucker_rays
from lingbot_cli.camera.relative_pose import FIXED_SCALE, relative_poses
from lingbot_cli.control import Control
from lingbot_cli.errors import UsageError
from lingbot_cli.model import rope
from lingbot_cli.model.image_conditioning import ImageCondition, resize_image
from lingbot_cli.model.kv_cache import KVCache, KVCacheShape
from lingbot_cli.model.sampler import NoiseSource, seeded_noise, sigma_schedule
from lingbot_cli.model.transfer import upload
from lingbot_cli.model.transformer import BlockPairs, LayerAttention
from lingbot_cli.model.vae import default_latent_batch
from lingbot_cli.model.vae_layers import CausalConvCache
from lingbot_cli.model.world_model import WorldModel

# Names the phases of a step (encode, denoise, commit, decode) to whoever measures them.
PhaseHook = Callable[[str], AbstractContextManager[object]]


@dataclass(frozen=True)
class CameraInput:
    """Where the camera goes in one chunk: `steps` [c, 4, 4] relative poses, intrinsics and held keys [c, 4]."""

    steps: np.ndarray
    intrinsics: np.ndarray
    actions: np.ndarray


@dataclass(frozen=True)
class ChunkInputs:
    """A chunk about to be made: what every forward over it is given."""

    look: CameraInput
    condition: Tensor
    camera: BlockPairs
    attend: LayerAttention


@dataclass(frozen=True)
class PastChunk:
    """A chunk that memory still holds, and all it takes to remember it anew; `start` is its first latent."""

    start: int
    latents: Tensor
    condition: Tensor
    look: CameraInput


class Session:
    """All the state of one film: memory, positions, prompt, camera, noise and what the VAE carries."""

    def __init__(
        self,
        world: WorldModel,
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
        """`image` [H, W, 3] uint8 RGB of any size; the film's size must be a multiple of 16.

        `scale` divides the camera's steps (model §7), `noise` replaces the seeded source. `decode_batch`: how many
        latents are decoded in one call; else as many as any device takes at this size.
        """
        if height % 16 or width % 16 or min(height, width) < 16:
            raise UsageError(f"size {width}x{height} is not made of 16-pixel cells")
        self.model = world
        self.shape = (16, height // 8, width // 8)
        self.latent = 0
        self.chunk = 0
        self._size = (height, width)
        self._decode_batch = decode_batch or default_latent_batch(height, width)
        self._scale = scale
        self._noise = noise or seeded_noise(seed)
        self._phase = phase
        self._schedule = sigma_schedule(world.preset.steps, world.preset.shift)
        self._pose: np.ndarray | None = None
        self._prompt: str | None = None
        self._text: BlockPairs = []
        self._carry = CausalConvCache()
        picture = resize_image(torch.from_numpy(image), height, width).to(world.device)
        self._condition = ImageCondition(world.vae, picture, world.vae_lock)
        config = world.transformer.config
        self._cache_shape = KVCacheShape(
            layers=config.layers,
            tokens=self.shape[1] * self.shape[2] // 4,
            heads=config.heads // world.parallel.size,
            head_dim=config.head_dim,
            window=world.preset.window,
            sink=world.preset.sink,
            max_attention_tokens=max_attention_tokens,
        )
        self._cache_shape.check(world.preset.chunk)
        self._cache = self._new_cache()
        self._seen: deque[PastChunk] = deque()

    def step(self, control: Control) -> Tensor:
        """The chunk's video frames [T, H, W, 3] uint8 RGB: 4(c−1)+1 of a first chunk, 4c of a later one."""
        return self.decode(self.denoise(control))

    @torch.inference_mode()
    def denoise(self, control: Control) -> Tensor:
        """The next chunk's clean latents [16, c, h, w] float32, left in memory for what follows."""
        ahead = self._begin_chunk(control)
        frames = len(ahead.look.steps)
        with self._phase("denoise"):
            latents = self._draw_noise(0, frames)
            for step, t in enumerate(self._schedule.timesteps):
                if step:
                    latents = self._schedule.renoise(latents, self._draw_noise(step, frames), step - 1)
                flow = self._forward(ahead, latents, t)
                latents = self._schedule.clean(latents, flow, step)
        self._commit(ahead, control, latents)
        return latents[0]

    @torch.inference_mode()
    def replay(self, control: Control, latents: np.ndarray | Tensor) -> None:
        """Take up the next chunk as it was made before: `latents` [16, c, h, w] float32, what denoise gave.

        After every chunk so far was recalled in order, denoise goes on bit-equal to the session that made them.
        """
        self._commit(
            self._begin_chunk(control), control, torch.as_tensor(latents, device=self.model.device)[None]
        )

    @torch.inference_mode()
    def skip(self, control: Control) -> None:
        """Pass over the next chunk: positions, prompt and condition move on, memory does not hold it."""
        self._set_prompt(replace(control, recache=False))
        self._condition.next(len(control.poses))
        self._advance(control)

    @torch.inference_mode()
    def decode(self, latents: np.ndarray | Tensor) -> Tensor:
        """Latents [16, c, h, w] of the next chunk to frames [T, H, W, 3] uint8 RGB, where the VAE decodes."""
        with self._phase("decode"), self.model.vae_lock:
            parts = torch.as_tensor(latents, device=self.model.decode_device)[None].split(
                self._decode_batch, dim=2
            )
            decoder = self.model.tiny_decoder or self.model.vae
            return torch.cat([self._pixels(decoder.decode(part, self._carry)[0]) for part in parts])

    @staticmethod
    def _pixels(video: Tensor) -> Tensor:
        """Video [3, T, H, W] in −1…1 to frames [T, H, W, 3] uint8."""
        return ((video.float() + 1.0) * 127.5).round().to(torch.uint8).permute(1, 2, 3, 0).contiguous()

    def _begin_chunk(self, control: Control) -> ChunkInputs:
        """Hear and look where the control says, and make room in memory."""
        self._set_prompt(control)
        look = CameraInput(
            relative_poses(control.poses, self._pose, self._scale), control.intrinsics, control.actions
        )
        with self._phase("encode"):
            condition = self._condition.next(len(look.steps))
        with self._phase("denoise"):
            return self._prepare(self._cache, self.latent, look, condition)

    def _commit(self, ahead: ChunkInputs, control: Control, latents: Tensor) -> None:
        """Leave the clean keys and values of latents [1, 16, c, h, w] in memory and move on."""
        with self._phase("commit"):
            self._forward(ahead, latents, 0, flow=False)
        self._remember(PastChunk(self.latent, latents, ahead.condition, ahead.look))
        self._advance(control)

    def _advance(self, control: Control) -> None:
        self._pose = control.poses[-1]
        self.latent += len(control.poses)
        self.chunk += 1

    def _set_prompt(self, control: Control) -> None:
        """Take a changed prompt; on request remember everything anew as it would look under it."""
        if control.prompt == self._prompt:
            return
        self._prompt = control.prompt
        rows = self.model.text_encoder.encode(control.prompt)
        self._text = self.model.transformer.text(upload(rows, self.model.device))
        if control.recache and self._seen:
            self._rebuild_cache()

    def _rebuild_cache(self) -> None:
        cache = self._new_cache()
        for seen in self._seen:
            self._forward(
                self._prepare(cache, seen.start, seen.look, seen.condition), seen.latents, 0, flow=False
            )
        self._cache = cache

    def _new_cache(self) -> KVCache:
        world = self.model
        return KVCache(self._cache_shape, world.device, world.transformer.dtype, world.attend)

    def _prepare(self, cache: KVCache, start: int, look: CameraInput, condition: Tensor) -> ChunkInputs:
        return ChunkInputs(
            look, condition, self._embed_camera(look), self._attention_over(cache, start, len(look.steps))
        )

    def _forward(self, ahead: ChunkInputs, latents: Tensor, t: int, *, flow: bool = True) -> Tensor:
        return self.model.transformer(
            *(latents, ahead.condition, torch.full((1,), float(t), device=self.model.device)),
            *(ahead.camera, self._text, ahead.attend),
            flow=flow,
            parallel=self.model.parallel,
        )

    def _embed_camera(self, look: CameraInput) -> BlockPairs:
        transformer = self.model.transformer
        actions = look.actions if transformer.config.control == "act" else None
        told = plucker_rays(look.steps, look.intrinsics, *self._size, actions)
        return transformer.camera(
            upload(torch.from_numpy(told)[None], self.model.device), self.model.parallel
        )

    def _attention_over(self, cache: KVCache, start: int, frames: int) -> LayerAttention:
        """How this chunk's tokens are placed, remembered and what they see; makes room for them first."""
        cache.begin(start, frames)
        _, height, width = self.shape
        turn = rope.rotation_table(
            start, frames, height // 2, width // 2, self._cache_shape.head_dim, self.model.device
        )
        part = self.model.parallel
        count = frames * self._cache_shape.tokens

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            if not q.shape[1]:  # a pass that only remembers
                k, v = part.to_heads([k, v], count)
                cache.write(layer, rope.rotate(k, turn), v)
                return q
            q, k, v = part.to_heads([q, k, v], count)
            return part.to_tokens(cache.attend(layer, rope.rotate(q, turn), rope.rotate(k, turn), v))

        return attend

    def _remember(self, seen: PastChunk) -> None:
        """Hold what was seen for as long as the cache holds a frame of it."""
        self._seen.append(seen)
        held = set(self._cache.held.values())
        self._seen = deque(
            past for past in self._seen if held & set(range(past.start, past.start + past.latents.shape[2]))
        )

    def _draw_noise(self, step: int, frames: int) -> Tensor:
        channels, height, width = self.shape
        noise = self._noise(self.chunk, step, (channels, frames, height, width))
        return upload(noise[None], self.model.device)
