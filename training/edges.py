"""Edge strength as a measure of sharpness and as a loss."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

STRONGEST = 0.03
_FAINT = 0.02  # added to a video's mean strength: a video without edges has no relative error
_AXES = {"vertical": -1, "horizontal": -2}  # a vertical edge is a difference between neighbours in a row


def edge_retention(made: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return the share of strength left at the strongest 3 % of the truth's vertical and horizontal edges.

    `made` and `truth` are images or frames uint8 [..., H, W, 3] of one size.
    """
    strong = {name: _strengths(made, truth, axis) for name, axis in _AXES.items()}
    out = {}
    for name, (ours, real) in strong.items():
        count = max(1, int(STRONGEST * real.shape[1]))
        best = real.topk(count, dim=1).indices
        out[name] = float(ours.gather(1, best).sum() / real.gather(1, best).sum())
    return out


def edge_strength_ratio(made: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return the strength of the strongest 3 % of edges relative to the truth's, at any position.

    For videos, as `edge_retention` is low for a sharp image from a slightly different camera.
    """
    strong = {name: _strengths(made, truth, axis) for name, axis in _AXES.items()}
    out = {}
    for name, (ours, real) in strong.items():
        count = max(1, int(STRONGEST * real.shape[1]))
        out[name] = float(ours.topk(count, dim=1).values.sum() / real.topk(count, dim=1).values.sum())
    return out


def _strengths(made: np.ndarray, truth: np.ndarray, axis: int) -> tuple[Tensor, Tensor]:
    """Return differences between neighbours, summed over colours, as rows [frames, positions]."""
    rows = []
    for x in (made, truth):
        frames = torch.from_numpy(np.ascontiguousarray(x)).float().movedim(-1, -3)
        rows.append(frames.reshape(-1, *frames.shape[-3:]).diff(dim=axis).abs().sum(1).flatten(1))
    return rows[0], rows[1]


def edge_loss(made: Tensor, truth: Tensor) -> Tensor:
    """Return the relative difference of local edge strength between videos [B, 3, T, H, W], summed over both axes.

    Strength is the root mean square over 4×4 differences, which falls with blur as a mean of them would not, and
    hardly changes with a small shift. It is relative to each video's mean, as faint edges are edges too.
    """
    total = made.new_zeros(())
    for axis in _AXES.values():
        ours, real = (_local(x.diff(dim=axis)) for x in (made, truth))
        error, mean = (
            x.unflatten(0, (len(made), -1)).mean(dim=(1, 2, 3, 4)) for x in ((ours - real).abs(), real)
        )
        total = total + (error / (mean + _FAINT)).mean()
    return total


def _local(differences: Tensor) -> Tensor:
    """Return the root mean square over 4×4 places of differences [B, 3, T, H, W], summed over colours, per frame."""
    strength = differences.abs().sum(1, keepdim=True).transpose(1, 2).flatten(0, 1)
    return (F.avg_pool2d(strength * strength, 4, stride=2) + 1e-5).sqrt()
