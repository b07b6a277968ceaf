"""Last VAE stage: the sharp VAE gets nearly the draft's latents, which the transformer has learned.

Both ends of the sharp VAE that touch latents are fitted by least squares, then all of it trains on with the latents'
distance to the draft's as a loss.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lingbot_cli.model.vae import LATENT_MEAN, LATENT_STD, VAE
from lingbot_cli.model.vae_layers import CausalConv3d
from training.fused import fuse_vae
from training.latents import normalised_vae
from training.train_vae import batches
from training.vae_loss import as_video, reconstruction_loss
from training.vae_training import VaeTraining, read_state
from training.views import ViewSampler
from training.workers import DEVICE

NEAR_WEIGHT = 0.12
LATENT_NOISE = 0.2  # highest, as a share of the latents' deviation: about the transformer's error
GREY_FRAMES = 16  # after the image of a condition, as the transformer's input has them
_FITTED_STEPS = 60  # of views for the least squares
_RIDGE = 1e-5
_MEAN, _STD = (torch.tensor(x, device=DEVICE).view(1, -1, 1, 1, 1) for x in (LATENT_MEAN, LATENT_STD))


class LeastSquares:
    """Weights of a causal 3×3×3 convolution from samples of its input and output."""

    def __init__(self) -> None:
        self._inner: Tensor | float = 0.0
        self._cross: Tensor | float = 0.0

    def add(self, x: Tensor, y: Tensor) -> None:
        """Add inputs [B, C, T, h, w] and outputs [B, D, T, h, w]."""
        padded = F.pad(x.float(), (1, 1, 1, 1, 2, 0))
        cells = padded.unfold(2, 3, 1).unfold(3, 3, 1).unfold(4, 3, 1)
        rows = cells.permute(0, 2, 3, 4, 1, 5, 6, 7).flatten(4).flatten(0, 3)
        rows = torch.cat([rows, rows.new_ones(len(rows), 1)], 1)
        self._inner = self._inner + (rows.T @ rows).double()
        self._cross = self._cross + (rows.T @ y.float().movedim(1, -1).flatten(0, 3)).double()

    def solve(self) -> tuple[Tensor, Tensor]:
        """Return weight [D, C, 3, 3, 3] and bias [D]."""
        assert isinstance(self._inner, Tensor)
        assert isinstance(self._cross, Tensor)
        ridge = _RIDGE * self._inner.diagonal().mean() * torch.eye(len(self._inner), device=DEVICE)
        found = torch.linalg.solve(self._inner + ridge, self._cross).float()
        return found[:-1].T.unflatten(1, (-1, 3, 3, 3)), found[-1]


@torch.no_grad()
def fit(vae: VAE, draft: VAE, views: ViewSampler) -> None:
    """Change the VAE's last encoding and first decoding convolution to the draft's latents."""
    head, first = vae.encoder.head[2], vae.decoder.conv1
    assert isinstance(head, CausalConv3d)
    videos = [as_video(x.to(DEVICE)) for i in range(_FITTED_STEPS) for x in batches(views, i, clips=True)]
    features: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, args: features.append(args[0]))
    encoding = LeastSquares()
    wanted = []  # the decoder's first features
    for video in videos:
        raw, _ = vae.moments(video)
        wanted.append(first(vae.conv2(raw, None), None))
        encoding.add(features.pop(), draft.moments(video)[0])
    hook.remove()
    weight, bias = encoding.solve()
    channels = len(bias)
    for layer in (head, vae.conv1, vae.conv2):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    head.weight[:channels], head.bias[:channels] = weight, bias
    vae.conv1.weight[:, :, 0, 0, 0] = torch.eye(2 * channels)
    vae.conv1.bias[channels:] = 2 * (0.05 * _STD).log().flatten()  # no spread is trained
    vae.conv2.weight[:, :, 0, 0, 0] = (1 / _STD).flatten().diag()
    vae.conv2.bias.copy_((-_MEAN / _STD).flatten())
    decoding = LeastSquares()
    for video, y in zip(videos, wanted, strict=True):
        decoding.add(vae.conv2(vae.moments(video)[0], None), y)
    for parameter, value in zip((first.weight, first.bias), decoding.solve(), strict=True):
        parameter.copy_(value)


def reconstructions(vae: VAE, draft: VAE, views: ViewSampler, step: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield reconstruction losses and the latents' squared distances to the draft's, of a step's parts."""
    for views_of_step in batches(views, step, clips=True):
        video = as_video(views_of_step.to(DEVICE))
        with torch.autocast(DEVICE.type, dtype=torch.bfloat16):
            mean, distance = _distance(vae, draft, video)
            share = LATENT_NOISE * torch.rand(len(mean), 1, 1, 1, 1, device=DEVICE)
            z = mean + share * _STD * torch.randn_like(mean)
            made = vae.decoder(vae.conv2(z, None), None).float()
        yield reconstruction_loss(made, video), distance
        if video.shape[2] == 1 and step % 2:
            told = torch.cat([video[:1], video.new_zeros(1, 3, GREY_FRAMES, *video.shape[3:])], 2)
            with torch.autocast(DEVICE.type, dtype=torch.bfloat16):
                told = told.contiguous(memory_format=torch.channels_last_3d)
                distance = _distance(vae, draft, told)[1]
            yield distance.new_zeros(()), distance


def _distance(vae: VAE, draft: VAE, video: Tensor) -> tuple[Tensor, Tensor]:
    """Return the raw latents of a video, and their squared distance to the draft's relative to the deviation."""
    with torch.no_grad():
        aim = draft.moments(video)[0].float()
    mean = vae.moments(video)[0].float()
    return mean, ((mean - aim) / _STD).square().mean()


def rate(progress: float) -> float:
    """Return the learning rate as a share of its peak: a warm-up, then falling to zero."""
    return min(1.0, 0.1 + progress / 0.01) * min(1.0, 1.4 * (1 - progress) + 0.002)


def train(rank: int, folder: Path, minutes: float, seed: int) -> None:
    """Align `sharp/` with `draft/` for that many minutes of the stage's clock, resuming from `vae.pt`."""
    fuse_vae()
    vae, draft = (normalised_vae(folder / name) for name in ("sharp", "draft"))
    state = read_state(folder / "vae.pt")
    if not state:
        fit(vae, draft, ViewSampler(np.random.default_rng(seed)))
    training = VaeTraining(rank, folder / "vae.pt", vae, state, lr=0.006, adam_lr=5e-4)
    views = ViewSampler(np.random.default_rng(training.seed(seed)))

    def losses_of_step(step: int, _: float) -> Iterator[tuple[Tensor, float]]:
        for loss, distance in reconstructions(vae, draft, views, step):
            yield loss + NEAR_WEIGHT * distance, float(loss.detach())

    training.run(minutes, rate, losses_of_step)
