"""Clips as a batch to learn from: noise, prompts, and now and then a long silence after the beginning."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lingbot_cli.presets import PRESETS
from training.latents import Latents
from training.place.palette import MOODS
from training.prompts import prompt
from training.start_world import batched_rays
from training.teacher import CHUNK, SCHEDULE, Batch
from training.team import DEVICE
from training.train_text import encoder, rows

_PROMPTS_PER_MOOD = 250  # prompts of each mood, and of none
_PROMPTS_PER_CLIP = 3  # prompts a clip hears at most
_TEXT_LEN = PRESETS["built-in"].text_len


def prompt_pool(folder: Path, seed: int) -> Tensor:
    """Many prompts as rows [moods + 1, _POOL, 64, text_dim]; the last kind asks for no mood."""
    model = encoder(torch.load(folder / "text.pt", weights_only=True))
    rng = np.random.default_rng(seed)
    found = []
    for mood in (*range(len(MOODS)), None):
        with torch.no_grad():
            spoken = rows(model, [prompt(rng, mood) for _ in range(_PROMPTS_PER_MOOD)])
        found.append(torch.stack([torch.nn.functional.pad(r, (0, 0, 0, _TEXT_LEN - len(r))) for r in spoken]))
    return torch.stack(found).to(DEVICE)


@dataclass(frozen=True)
class BatchSampler:
    """All clips and prompts, where the training runs."""

    data: Latents
    prompts: Tensor

    @property
    def chunks(self) -> int:
        return self.data.clean.shape[2] // CHUNK

    def batch(self, rng: np.random.Generator, count: int) -> Batch:
        """`count` random clips.

        A third of them play far into a film: their sink is the beginning of some other clip, their condition
        has settled, and the two chunks that have no past are not learned from.
        """
        data, size = self.data, len(self.data.clean)
        i, j = (torch.from_numpy(rng.integers(size, size=count)).to(DEVICE) for _ in range(2))
        far = torch.from_numpy(rng.random(count) < 0.35).to(DEVICE)

        def spliced(x: Tensor, axis: int) -> Tensor:
            own, sink = x[i].float(), x[j].float().narrow(axis, 0, CHUNK)
            late = far.view(-1, *[1] * (own.dim() - 1))
            head = torch.where(late, sink, own.narrow(axis, 0, CHUNK))
            return torch.cat([head, own.narrow(axis, CHUNK, own.shape[axis] - CHUNK)], axis)

        told = spliced(data.told, 2)
        settled = (
            far.view(-1, 1, 1, 1, 1) & (torch.arange(told.shape[2], device=DEVICE) >= CHUNK)[:, None, None]
        )
        told = torch.where(settled, data.grey[:, None].float(), told)
        mask = torch.zeros_like(told[:, :4])
        mask[:, :, 0] = 1
        focal = torch.where(far[:, None], data.focal[j, None], data.focal[i, None]).expand(-1, CHUNK)
        focal = torch.cat([focal, data.focal[i, None].expand(-1, told.shape[2] - CHUNK)], 1)
        starts = (torch.arange(self.chunks, device=DEVICE) * CHUNK).repeat(count, 1)
        gap = CHUNK * np.exp(rng.uniform(0, np.log(1500), count)).astype(np.int64)
        starts[:, 1:] += (torch.from_numpy(gap).to(DEVICE) * far)[:, None]
        counts = torch.ones(count, self.chunks, device=DEVICE)
        counts[:, :2] -= far[:, None].float()
        moods = torch.cat(
            [torch.where(far, data.moods[j, 0], data.moods[i, 0])[:, None], data.moods[i, 1:]], 1
        )
        lines, said = self._said(moods.cpu().numpy(), rng)
        steps = spliced(data.steps, 1)
        moving = (steps - torch.eye(4, device=DEVICE)).abs().amax((2, 3)) > 1e-5
        return Batch(
            clean=_chunks(spliced(data.clean, 2)),
            condition=_chunks(torch.cat([mask, told], 1)),
            rays=_chunks(batched_rays(steps, focal.float())),
            rows=lines,
            said=said,
            starts=starts,
            counts=counts,
            stands=(~moving.unflatten(1, (-1, CHUNK)).any(2)).float(),
            where=spliced(data.where, 1).unflatten(1, (-1, CHUNK)),
        )

    def _said(self, moods: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Three lines a clip [B, 3, 64, text_dim] and which of them each chunk [B, J] hears.

        The beginning is often told nothing of its mood, and keeps it; a change is always named.
        """
        none = len(MOODS)
        kinds, heard = np.full((len(moods), _PROMPTS_PER_CLIP), none), np.zeros(moods.shape, np.int64)
        for b, clip in enumerate(moods):
            changes = [0] + [k for k in range(1, len(clip)) if clip[k] != clip[k - 1]]
            changes = changes[:_PROMPTS_PER_CLIP]
            for n, k in enumerate(changes):
                kinds[b, n] = none if n == 0 and rng.random() < 0.3 else clip[k]
                heard[b, k:] = n
            if len(changes) == 1 and rng.random() < 0.3:  # other words, the same light
                kinds[b, 1] = none if rng.random() < 0.5 else clip[0]
                heard[b, rng.integers(1, len(clip)) :] = 1
        which = torch.from_numpy(rng.integers(_PROMPTS_PER_MOOD, size=kinds.shape)).to(DEVICE)
        return self.prompts[torch.from_numpy(kinds).to(DEVICE), which], torch.from_numpy(heard).to(DEVICE)


def add_noise(clean: Tensor, copies: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy copies [S, B, J, …] of clean chunks [B, J, …], their sigmas and timesteps [S, B, J].

    Only the four noise levels that the sampler visits; nearly half at the first, where all must be imagined.
    """
    shape = (copies, *clean.shape[:2])
    odds = torch.tensor([0.46, 0.18, 0.18, 0.18])
    step = torch.multinomial(odds, int(np.prod(shape)), replacement=True, generator=generator).view(shape)
    sigma = torch.tensor(SCHEDULE.sigmas)[step].float().to(DEVICE)
    wide = sigma[..., None, None, None, None]
    noise = torch.randn(copies, *clean.shape, generator=generator).to(DEVICE)
    noisy = torch.where(wide > 0.999, noise, (1 - wide) * clean + wide * noise)
    return noisy, sigma, torch.tensor(SCHEDULE.timesteps)[step].float().to(DEVICE)


def _chunks(x: Tensor) -> Tensor:
    """[B, C, F, h, w] to [B, F/c, C, c, h, w]."""
    return x.unflatten(2, (-1, CHUNK)).movedim(2, 1)
