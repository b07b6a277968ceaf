"""Teacher forcing over whole clips: a clean stream and noisy copies of every chunk in one pass.

Every chunk of every stream is a row of the batch, so the model runs unchanged; only attention differs: a chunk
attends to the clean sink, the clean chunks of its window, and itself.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lingbot_cli.model import attention, rope
from lingbot_cli.model.sampler import sigma_schedule
from lingbot_cli.model.transformer import Block, BlockPairs, Transformer
from lingbot_cli.presets import PRESETS

PRESET = PRESETS["built-in"]
SCHEDULE = sigma_schedule(PRESET.steps, PRESET.shift)
CHUNK = PRESET.chunk
PAST = (PRESET.window - PRESET.sink) // CHUNK - 1  # chunks visible to a query beside the sink and its own


@dataclass(frozen=True)
class Batch:
    """B clips of J chunks: all [B, J, …], latents cut into chunks [B, J, channels, c, h, w].

    `rows` [B, P, 64, text_dim] are each clip's text embeddings, `prompt_index` [B, J] each chunk's index into them;
    `starts` [B, J] the absolute index of each chunk's first latent; `counts` [B, J] its weight in the loss;
    `stands` [B, J] whether the camera stands still in it; `where` [B, J, c, 6] are the pose head's targets.
    """

    clean: Tensor
    condition: Tensor
    rays: Tensor
    rows: Tensor
    prompt_index: Tensor
    starts: Tensor
    counts: Tensor
    stands: Tensor
    where: Tensor


def visible_chunks(chunk: int) -> list[int]:
    """Return the clean chunks visible to a chunk beside itself: the sink, which is chunk 0, and the window."""
    return sorted({0, *range(max(chunk - PAST, 0), chunk)} - {chunk})


def attend_streams(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend among streams [S, B, J, tokens, heads, d], the first of which is clean."""
    streams, clips, chunks, tokens, heads, dim = q.shape
    out = []
    for j in range(chunks):
        past = visible_chunks(j)
        keys, values = (x[0][:, past].flatten(1, 2)[None].expand(streams, -1, -1, -1, -1) for x in (k, v))
        keys, values = (torch.cat([p, x[:, :, j]], 2).flatten(0, 1) for p, x in ((keys, k), (values, v)))
        out.append(
            attention.attend_all(q[:, :, j].flatten(0, 1), keys, values).view(
                streams, clips, tokens, heads, dim
            )
        )
    return torch.stack(out, 2)


class TeacherForcing:
    """Camera, text and position embeddings of a batch, computed once for all passes."""

    attend_streams = staticmethod(attend_streams)

    def __init__(self, model: Transformer, batch: Batch) -> None:
        self.model, self.batch = model, batch
        clips, _, _, frames, height, width = batch.clean.shape
        tokens = model.text_embedding(batch.rows.flatten(0, 1))
        prompt_index = (
            batch.prompt_index
            + torch.arange(clips, device=batch.prompt_index.device)[:, None] * batch.rows.shape[1]
        ).flatten()

        def text_pair(block: Block) -> tuple[Tensor, Tensor]:
            k, v = block.cross_attn.keys_values(tokens)
            return k[prompt_index], v[prompt_index]

        camera = model.embed_camera(batch.rays.flatten(0, 1))
        blocks = list(model.iter_blocks())
        self.camera = _ComputedPairs([camera.of(layer, block) for layer, block in enumerate(blocks)])
        self.text = _ComputedPairs([text_pair(block) for block in blocks])
        self.turn = rotation_tables(
            batch.starts.flatten(), frames, height // 2, width // 2, model.config.head_dim
        )

    def run(self, streams: list[Tensor], t: list[Tensor]) -> Tensor:
        """Return flow [S, B, J, 16, c, h, w] of streams [B, J, 16, c, h, w] at t [B, J]; the first is clean."""
        count, shape = len(streams), self.batch.clean.shape
        latents = torch.cat(streams).flatten(0, 1)
        condition = self.batch.condition.flatten(0, 1).repeat(count, 1, 1, 1, 1)
        times = torch.cat(t).flatten()

        def attend(_: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            parts = [x.view(count, *shape[:2], *x.shape[1:]) for x in (q, k, v.to(q.dtype))]
            return self.attend_streams(*parts).flatten(0, 2)

        flow = self.model(
            latents,
            condition,
            times,
            self.camera.each(lambda x: x.repeat(count, *[1] * (x.dim() - 1))),
            self.text.each(lambda x: x.repeat(count, *[1] * (x.dim() - 1))),
            self.turn.unflatten(1, (len(condition) // count, -1)).repeat(1, count, 1, 1),
            attend,
        )
        return flow.view(count, *shape)

    @torch.no_grad()
    def rollout(self, first: int, again: bool) -> Tensor:
        """Return the clips as the model continues them itself from chunk `first`, with one or two steps per chunk."""
        past: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        made = []
        clips, chunks = self.batch.clean.shape[:2]
        for j in range(chunks):
            camera, text = (pairs.of_chunk(clips, j) for pairs in (self.camera, self.text))
            condition = self.batch.condition[:, j]
            tokens = self.turn.shape[1] // (clips * chunks)
            turn = self.turn.view(2, clips, chunks, tokens, -1)[:, :, j]

            def attend(layer: int, q: Tensor, k: Tensor, v: Tensor, j: int = j) -> Tensor:
                past[layer, j] = (k, v.to(k.dtype))
                if not q.shape[1]:
                    return q
                seen = [past[layer, i] for i in (*visible_chunks(j), j)]
                keys, values = (torch.cat([pair[n] for pair in seen], 1) for n in (0, 1))
                return attention.attend_all(q, keys, values)

            clean = self.batch.clean[:, j]
            if j >= first:
                for step in (0, 2) if again else (0,):
                    sigma, t = SCHEDULE.sigmas[step], torch.full((clips,), float(SCHEDULE.timesteps[step]))
                    noise = torch.randn_like(clean)
                    noisy = (1 - sigma) * clean + sigma * noise if step else noise
                    clean = noisy - sigma * self.model(noisy, condition, t, camera, text, turn, attend)
            made.append(clean)
            self.model(clean, condition, torch.zeros(clips), camera, text, turn, attend, flow=False)
        return torch.stack(made, 1)


def rotation_tables(starts: Tensor, frames: int, height: int, width: int, head_dim: int) -> Tensor:
    """Return rotation tables [2, N·frames·height·width, head_dim/2] of N chunks that start at `starts` [N]."""
    size, device = (len(starts), frames, height, width), starts.device
    places = [
        starts[:, None] + torch.arange(frames, device=device),
        torch.arange(height),
        torch.arange(width),
    ]
    shapes = [(-1, frames, 1, 1), (1, 1, height, 1), (1, 1, 1, width)]
    angles = []
    for place, shape, channels in zip(places, shapes, rope.axis_widths(head_dim), strict=True):
        rates = rope.FREQUENCY_BASE ** -(
            torch.arange(0, channels, 2, dtype=torch.float64, device=device) / channels
        )
        angles.append((place.to(device).double().view(shape)[..., None] * rates).expand(*size, -1))
    flat = torch.cat(angles, -1).flatten(0, 3)
    return torch.stack([flat.cos(), flat.sin()]).float()


class _ComputedPairs(BlockPairs):
    """The pair of every block, computed before a pass without gradients can be the first to use it."""

    def __init__(self, pairs: list[tuple[Tensor, Tensor]]) -> None:
        self._every = pairs

    def of(self, layer: int, block: Block) -> tuple[Tensor, Tensor]:  # noqa: ARG002 - as BlockPairs
        return self._every[layer]

    def each(self, change: Callable[[Tensor], Tensor]) -> "_ComputedPairs":
        """Return the pairs with every tensor changed."""
        return _ComputedPairs([(change(first), change(second)) for first, second in self._every])

    def of_chunk(self, clips: int, chunk: int) -> "_ComputedPairs":
        """Return one chunk's rows of pairs [clips · chunks, …]."""
        return self.each(lambda x: x.view(clips, -1, *x.shape[1:])[:, chunk])


def loss(made: Tensor, noisy: Tensor, sigma: Tensor, batch: Batch) -> Tensor:
    """Return the weighted mean squared error of x0 = noisy − σ·flow; all tensors are [S, B, J, …]."""
    clean = noisy - sigma[..., None, None, None, None] * made
    error = F.mse_loss(clean, batch.clean.expand_as(clean), reduction="none").mean(dim=(3, 4, 5, 6))
    return (error * batch.counts).sum() / batch.counts.sum() / len(made)


def compile_training(*, dynamic: bool) -> None:
    """Compile attention among streams, and what the blocks of this process do before and after attention.

    `dynamic` compiles once for all numbers of rows, with gradients and without, rather than for each.
    """
    torch._dynamo.config.recompile_limit = 64
    TeacherForcing.attend_streams = staticmethod(torch.compile(attend_streams, dynamic=dynamic))
    Block.before_attention = torch.compile(Block.before_attention, dynamic=dynamic)  # type: ignore[method-assign]
    Block.after_attention = torch.compile(Block.after_attention, dynamic=dynamic)  # type: ignore[method-assign]
