"""Exact rendering of the courtyard from camera poses."""

from collections.abc import Callable

import torch

from training.place import scene
from training.place.palette import SURFACES, mood_tables

_TABLES = mood_tables()
BATCH = 19  # divides the 57 frames of a training clip, so that all batches have one shape
_FINE = (4, 2)  # rays per pixel, down and across: edges that are nearly level show steps at two


def render(
    poses: torch.Tensor,
    intrinsics: torch.Tensor,
    moods: torch.Tensor,
    *,
    height: int = 64,
    width: int = 112,
    draw: Callable[..., torch.Tensor] | None = None,
) -> torch.Tensor:
    """Return images uint8 [F, H, W, 3] for camera-to-world poses [F, 4, 4] in the scene's axes.

    `intrinsics` [F, 4]: fx, fy, cx, cy in pixels of 832×480. `moods` [F, 4]: shares of day, dusk, night and
    snow. `draw` may be a compiled `draw_batch`, which is twenty times as fast.
    """
    draw = draw or draw_batch
    return torch.cat(
        [
            draw(poses[i : i + BATCH], intrinsics[i : i + BATCH], moods[i : i + BATCH], height, width)
            for i in range(0, len(poses), BATCH)
        ]
    )


def draw_batch(
    poses: torch.Tensor,
    intrinsics: torch.Tensor,
    moods: torch.Tensor,
    height: int,
    width: int,
    *,
    antialias: bool = True,
) -> torch.Tensor:
    """Render one batch of `render`; without antialiasing, as the published resizing leaves a large image."""
    poses, intrinsics, moods = poses.float(), intrinsics.float(), moods.float()
    down, across = _FINE if antialias else (1, 1)
    rows, columns = height * down, width * across
    device = poses.device
    u = (torch.arange(columns, device=device) + 0.5) * (832 / columns)
    v = (torch.arange(rows, device=device) + 0.5) * (480 / rows)
    fx, fy, cx, cy = (intrinsics[:, i, None, None] for i in range(4))
    a = ((u[None, None] - cx) / fx).expand(-1, rows, -1)
    b = ((v[None, :, None] - cy) / fy).expand(-1, -1, columns)
    r = poses[:, :3, :3, None, None]
    ray = torch.stack([r[:, k, 0] * a + r[:, k, 1] * b + r[:, k, 2] for k in range(3)])
    code = scene.shade_rays(poses[:, :3, 3].T[:, :, None, None], ray)
    surface = code.to(torch.int32)
    light = (code - surface).reshape(-1, 1)
    ends = torch.einsum("fm,mspc->fspc", moods, _TABLES.to(device))
    base, slope = ends[:, :, 0], (ends[:, :, 1] - ends[:, :, 0]) / 0.999
    table = torch.cat([base, slope], dim=2).reshape(-1, 6)
    first = torch.arange(len(poses), dtype=torch.int32, device=device)[:, None, None] * len(SURFACES)
    found = table.index_select(0, (surface + first).reshape(-1))
    colour = torch.addcmul(found[:, :3], found[:, 3:], light)
    colour = colour.reshape(len(poses), rows, columns, 3)
    if antialias:
        colour = _reduce(_reduce(colour, 1, down), 2, across)
    return (colour * 255).round().clamp(0, 255).to(torch.uint8)


def _reduce(x: torch.Tensor, axis: int, factor: int) -> torch.Tensor:
    """Reduce an axis by an even factor with a triangle over two pixels: softer edges than a mean over one."""
    samples = x.unflatten(axis, (-1, factor)).unbind(axis + 1)
    half, count = factor // 2, samples[0].shape[axis]
    rising = [2 * k + 1 for k in range(factor)]
    own, outer = [*rising[half:], *reversed(rising[half:])], rising[:half]
    total = sum(w * sample for w, sample in zip(own, samples, strict=True))
    for k, weight in enumerate(outer):
        before, after = samples[half + k], samples[half - 1 - k]
        total = total + weight * torch.cat(
            [before.narrow(axis, 0, 1), before.narrow(axis, 0, count - 1)], axis
        )
        total = total + weight * torch.cat(
            [after.narrow(axis, 1, count - 1), after.narrow(axis, count - 1, 1)], axis
        )
    return total / (2 * sum(rising))
