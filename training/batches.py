"""Training batches: clips with prompts and noise, some of them placed far into a video."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lingbot_cli.presets import PRESETS
from training.init_transformer import batched_rays
from training.latents import Latents
from training.place.palette import MOODS
from training.prompts import prompt
from training.teacher_forcing import CHUNK, SCHEDULE, Batch
from training.train_text import encoder, rows
from training.workers import DEVICE

_PROMPTS_PER_MOOD = 250
_PROMPTS_PER_CLIP = 3
_TEXT_LEN = PRESETS["built-in"].text_len


def prompt_pool(folder: Path, seed: int) -> Tensor:
    """Return embeddings [moods + 1, _PROMPTS_PER_MOOD, 64, text_dim] of prompts; the last kind names no mood."""
    model = encoder(torch.load(folder / "text.pt", weights_only=True))
    rng = np.random.default_rng(seed)
    found = []
    for mood in (*range(len(MOODS)), None):
        with torch.no_grad():
            embeddings = rows(model, [prompt(rng, mood) for _ in range(_PROMPTS_PER_MOOD)])
        found.append(
            torch.stack([torch.nn.functional.pad(r, (0, 0, 0, _TEXT_LEN - len(r))) for r in embeddings])
        )
    return torch.stack(found).to(DEVICE)


@dataclass
class BatchSampler:
    """Sampler of batches from the clips of one size and all prompts, on the training device."""

    data: Latents
    prompts: Tensor
    opened: set[Path] = field(default_factory=set)

    @classmethod
    def of_files(cls, paths: list[Path], prompts: Tensor) -> "BatchSampler":
        return cls(Latents.open(paths), prompts, set(paths))

    def add(self, paths: list[Path]) -> None:
        """Add the clips of those files that are new."""
        if fresh := [path for path in paths if path not in self.opened]:
            self.data = self.data.joined(Latents.open(fresh))
            self.opened.update(fresh)

    @property
    def chunks(self) -> int:
        return self.data.clean.shape[2] // CHUNK

    def batch(self, rng: np.random.Generator, count: int) -> Batch:
        """Return `count` random clips.

        About a third are placed far into a video: the sink is the first chunk of another clip, the condition has
        become constant, and the two chunks without a past have no loss.
        """
        size = len(self.data.clean)
        i, j = (torch.from_numpy(rng.integers(size, size=count)).to(DEVICE) for _ in range(2))
        return self.gather(i, j, torch.from_numpy(rng.random(count) < 0.35).to(DEVICE), rng)

    def gather(self, i: Tensor, j: Tensor, far: Tensor, rng: np.random.Generator) -> Batch:
        """Return clips `i`; where `far`, long after the first chunk of clips `j`."""
        data, count = self.data, len(i)

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
        first = torch.where(far[:, None], data.optics[j], data.optics[i])
        rest = data.optics[i, None].expand(-1, told.shape[2] - CHUNK, -1)
        optics = torch.cat([first[:, None].expand(-1, CHUNK, -1), rest], 1)
        starts = (torch.arange(self.chunks, device=DEVICE) * CHUNK).repeat(count, 1)
        gap = CHUNK * np.exp(rng.uniform(0, np.log(1500), count)).astype(np.int64)
        starts[:, 1:] += (torch.from_numpy(gap).to(DEVICE) * far)[:, None]
        counts = torch.ones(count, self.chunks, device=DEVICE)
        counts[:, :2] -= far[:, None].float()
        moods = torch.cat(
            [torch.where(far, data.moods[j, 0], data.moods[i, 0])[:, None], data.moods[i, 1:]], 1
        )
        lines, prompt_index = self._prompts_of(moods.cpu().numpy(), rng)
        steps = spliced(data.steps, 1)
        moving = (steps - torch.eye(4, device=DEVICE)).abs().amax((2, 3)) > 1e-5
        return Batch(
            clean=_chunks(spliced(data.clean, 2)),
            condition=_chunks(torch.cat([mask, told], 1)),
            rays=_chunks(batched_rays(steps, optics, *data.size)),
            rows=lines,
            prompt_index=prompt_index,
            starts=starts,
            counts=counts,
            stands=(~moving.unflatten(1, (-1, CHUNK)).any(2)).float(),
            where=spliced(data.where, 1).unflatten(1, (-1, CHUNK)),
        )

    def _prompts_of(self, moods: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return three prompts per clip [B, 3, 64, text_dim] and each chunk's index [B, J] into them.

        The first prompt often names no mood, and the mood persists; every change of mood is named.
        """
        none = len(MOODS)
        kinds, heard = np.full((len(moods), _PROMPTS_PER_CLIP), none), np.zeros(moods.shape, np.int64)
        for b, clip in enumerate(moods):
            changes = [0] + [k for k in range(1, len(clip)) if clip[k] != clip[k - 1]]
            changes = changes[:_PROMPTS_PER_CLIP]
            for n, k in enumerate(changes):
                kinds[b, n] = none if n == 0 and rng.random() < 0.3 else clip[k]
                heard[b, k:] = n
            if len(changes) == 1 and rng.random() < 0.3:  # another prompt for the same mood
                kinds[b, 1] = none if rng.random() < 0.5 else clip[0]
                heard[b, rng.integers(1, len(clip)) :] = 1
        which = torch.from_numpy(rng.integers(_PROMPTS_PER_MOOD, size=kinds.shape)).to(DEVICE)
        return self.prompts[torch.from_numpy(kinds).to(DEVICE), which], torch.from_numpy(heard).to(DEVICE)


def add_noise(clean: Tensor, copies: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return noisy copies [S, B, J, …] of clean chunks [B, J, …], their sigmas and timesteps [S, B, J].

    Only the sampler's four noise levels occur; nearly half are the first, which is pure noise.
    """
    shape = (copies, *clean.shape[:2])
    odds = torch.tensor([0.46, 0.18, 0.18, 0.18], device=DEVICE)
    step = torch.multinomial(odds, int(np.prod(shape)), replacement=True, generator=generator).view(shape)
    sigma = torch.tensor(SCHEDULE.sigmas, device=DEVICE)[step].float()
    wide = sigma[..., None, None, None, None]
    noise = torch.randn(copies, *clean.shape, generator=generator, device=DEVICE)
    noisy = torch.where(wide > 0.999, noise, (1 - wide) * clean + wide * noise)
    return noisy, sigma, torch.tensor(SCHEDULE.timesteps, device=DEVICE)[step].float()


def _chunks(x: Tensor) -> Tensor:
    """Split [B, C, F, h, w] into chunks [B, F/c, C, c, h, w]."""
    return x.unflatten(2, (-1, CHUNK)).movedim(2, 1)
