"""Exact rendering of the courtyard from camera poses."""

from collections.abc import Callable

import torch

from training.place import scene
from training.place.palette import SURFACES, mood_tables

_TABLES = mood_tables()
BATCH = 19  # divides the 57 frames of a training clip, so that all batches have one shape
_FINE = 2  # rays per pixel, along each axis


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
    fine = _FINE if antialias else 1
    rows, columns = height * fine, width * fine
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
        colour = _halve(_halve(colour, 1), 2)
    return (colour * 255).round().clamp(0, 255).to(torch.uint8)


def _halve(x: torch.Tensor, axis: int) -> torch.Tensor:
    """Halve an axis with weights 1, 3, 3, 1: softer edges than a mean of two."""
    even, odd = x.unflatten(axis, (-1, 2)).unbind(axis + 1)
    count = even.shape[axis]
    before = torch.cat([even.narrow(axis, 0, 1), odd.narrow(axis, 0, count - 1)], axis)
    after = torch.cat([even.narrow(axis, 1, count - 1), odd.narrow(axis, count - 1, 1)], axis)
    return (before + after) / 8 + (even + odd) * 0.375
