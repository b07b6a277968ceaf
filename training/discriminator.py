"""Patch discriminator (Isola et al., 2017) at two scales, and the decoder's adversarial loss."""

import itertools
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from training.workers import DEVICE, average_gradients

ADVERSARIAL_SHARE = 0.3  # of the reconstruction loss's gradient at the decoder's last layer
FEATURE_WEIGHT = 0.1
_WIDTHS = (3, 32, 64, 96)


class Discriminator(nn.Module):
    """Patch discriminators of frames [N, 3, H, W] at full and at half size."""

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.ModuleList([nn.ModuleList(_layers()) for _ in range(2)])

    def forward(self, frames: Tensor) -> list[list[Tensor]]:
        """Return the feature maps of each scale; the last is its logit per patch, high for real frames."""
        outputs = []
        x = frames.contiguous(memory_format=torch.channels_last)
        for layers in self.scales:
            y, maps = x, []
            for layer in cast(nn.ModuleList, layers):
                y = layer(y)
                maps.append(y)
                y = F.leaky_relu(y, 0.2)
            outputs.append(maps)
            x = F.avg_pool2d(x, 2)
        return outputs


def _layers() -> list[nn.Module]:
    convolutions = [
        spectral_norm(nn.Conv2d(before, after, 4, stride=2 if i < 2 else 1, padding=1))
        for i, (before, after) in enumerate(itertools.pairwise(_WIDTHS))
    ]
    return [*convolutions, spectral_norm(nn.Conv2d(_WIDTHS[-1], 1, 3, padding=1))]


class AdversarialLoss:
    """The discriminator with its optimiser: a loss for the decoder, and the discriminator's own steps."""

    def __init__(self) -> None:
        self.discriminator = Discriminator().to(DEVICE)
        self.optimiser = torch.optim.Adam(self.discriminator.parameters(), lr=4e-4, betas=(0.5, 0.9))

    def decoder_loss(
        self, last_layer: nn.Parameter, reconstruction: Tensor, made: Tensor, video: Tensor
    ) -> Tensor:
        """Return adversarial and feature loss of videos [B, 3, T, H, W].

        The adversarial gradient at `last_layer` is a fixed share of that of `reconstruction`.
        """
        self.discriminator.requires_grad_(False)
        with torch.autocast(made.device.type, dtype=torch.bfloat16):
            adversarial, features = self._losses(_frames(made), _frames(video))
        norms = [
            torch.autograd.grad(x, last_layer, retain_graph=True)[0].norm()
            for x in (reconstruction, adversarial)
        ]
        weight = (ADVERSARIAL_SHARE * norms[0] / (norms[1] + 1e-6)).clamp(max=1.0)
        return weight * adversarial + FEATURE_WEIGHT * features

    def _losses(self, made: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            target = self.discriminator(real)
        adversarial, features = made.new_zeros(()), made.new_zeros(())
        for ours, theirs in zip(self.discriminator(made), target, strict=True):
            adversarial = adversarial - ours[-1].float().mean()
            for a, b in zip(ours[:-1], theirs[:-1], strict=True):
                features = features + F.l1_loss(a.float(), b.float()) / b.float().abs().mean().clamp_min(1e-3)
        return adversarial, features

    def step(self, made: Tensor, video: Tensor) -> None:
        """Train the discriminator on made and real videos with the hinge loss."""
        self.discriminator.requires_grad_(True)
        loss = made.new_zeros(())
        with torch.autocast(made.device.type, dtype=torch.bfloat16):
            for maps in self.discriminator(torch.cat([_frames(made.detach()), _frames(video)])):
                ours, theirs = maps[-1].float().chunk(2)
                loss = loss + F.relu(1 + ours).mean() + F.relu(1 - theirs).mean()
        self.optimiser.zero_grad()
        loss.backward()
        average_gradients(self.discriminator)
        self.optimiser.step()

    def state_dict(self) -> dict[str, Any]:
        return {
            "discriminator": self.discriminator.state_dict(),
            "discriminator_optimiser": self.optimiser.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimiser.load_state_dict(state["discriminator_optimiser"])


def _frames(video: Tensor) -> Tensor:
    """Return all images or every fourth frame of a video [B, 3, T, H, W] as [N, 3, H, W]."""
    return video[:, :, :: 4 if video.shape[2] > 1 else 1].transpose(1, 2).flatten(0, 1)
