"""Clips as a batch to learn from: noise, prompts, and now and then a long silence after the beginning."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lingbot_cli.world.presets import PRESETS
from training.latents import Latents
from training.place.palette import MOODS
from training.prompts import prompt
from training.start_world import told_rays
from training.teacher import CHUNK, SCHEDULE, Batch
from training.team import DEVICE
from training.train_text import encoder, rows

_POOL = 250
_TEXT_LEN = PRESETS["built-in"].text_len


class Prompts:
    """Many prompts for every mood, and for none, as rows [64, text_dim]."""

    def __init__(self, folder: Path, seed: int) -> None:
        model = encoder(torch.load(folder / "text.pt", weights_only=True))
        rng = np.random.default_rng(seed)
        self.rows = []
        for mood in (*range(len(MOODS)), None):
            with torch.no_grad():
                found = rows(model, [prompt(rng, mood) for _ in range(_POOL)])
            padded = [torch.nn.functional.pad(r, (0, 0, 0, _TEXT_LEN - len(r))) for r in found]
            self.rows.append(torch.stack(padded))

    def some(self, rng: np.random.Generator, mood: int | None) -> Tensor:
        return self.rows[len(MOODS) if mood is None else mood][rng.integers(_POOL)]


def batch(data: Latents, prompts: Prompts, rng: np.random.Generator, count: int) -> Batch:
    """`count` random clips.

    A third of them play far into a film: their sink is the beginning of some other clip, their condition has
    settled, and the two chunks that have no past are not learned from.
    """
    which = rng.integers(len(data.clean), size=count)
    other = rng.integers(len(data.clean), size=count)
    far = rng.random(count) < 0.35
    cut = data.clean.shape[2] // CHUNK
    clean, told, rays, where, text, said, starts, counts = [], [], [], [], [], [], [], []
    for i, j, late in zip(which, other, far, strict=True):
        film, condition = data.clean[i].float(), data.told[i].float()
        mask = torch.zeros(4, *condition.shape[1:])
        mask[:, 0] = 1
        camera = told_rays(data.asked[i].numpy(), float(data.focal[i]))
        moods, places = data.moods[i].clone(), data.where[i]
        start, learned = torch.arange(cut) * CHUNK, torch.ones(cut)
        if late:
            film, condition, camera, places = film.clone(), condition.clone(), camera.clone(), places.clone()
            film[:, :CHUNK], places[:CHUNK] = data.clean[j][:, :CHUNK].float(), data.where[j][:CHUNK]
            condition[:, :CHUNK] = data.told[j][:, :CHUNK].float()
            condition[:, CHUNK:] = data.grey[:, None].float()
            camera[:, :CHUNK] = told_rays(data.asked[j].numpy(), float(data.focal[j]))[:, :CHUNK]
            moods[0] = data.moods[j][0]
            start[1:] += CHUNK * int(np.exp(rng.uniform(0, np.log(1500))))
            learned[:2] = 0
        clean.append(_chunks(film))
        told.append(_chunks(torch.cat([mask, condition])))
        rays.append(_chunks(camera))
        where.append(places.view(cut, CHUNK, -1))
        heard, lines = _said(moods, prompts, rng)
        text.append(lines)
        said.append(heard)
        starts.append(start)
        counts.append(learned)
    stacked = [torch.stack(x) for x in (clean, told, rays, text, said, starts, counts, where)]
    return Batch(*(x.to(DEVICE) for x in stacked))


def _said(moods: Tensor, prompts: Prompts, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Which line each chunk hears [J], and three lines [3, 64, text_dim].

    The beginning is often told nothing of its mood, and keeps it; a change is always named.
    """
    changes = [0] + [j for j in range(1, len(moods)) if moods[j] != moods[j - 1]]
    lines = []
    for n, j in enumerate(changes):
        silent = n == 0 and rng.random() < 0.3
        lines.append(prompts.some(rng, None if silent else int(moods[j])))
    heard = torch.zeros(len(moods), dtype=torch.int64)
    for n, j in enumerate(changes):
        heard[j:] = n
    later = int(rng.integers(1, len(moods)))
    if len(changes) == 1 and rng.random() < 0.3:  # other words, the same light
        lines.append(prompts.some(rng, None if rng.random() < 0.5 else int(moods[0])))
        heard[later:] = 1
    lines += [torch.zeros_like(lines[0])] * (3 - len(lines))
    return heard, torch.stack(lines)


def noised(clean: Tensor, copies: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
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
    """[C, F, h, w] to [F/c, C, c, h, w]."""
    return x.unflatten(1, (-1, CHUNK)).movedim(1, 0)
