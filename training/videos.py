"""Videos of the model with their ground truth, and camera poses estimated from frames."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lingbot_cli.camera.lens import square_lens
from lingbot_cli.camera.pose import CameraPose
from lingbot_cli.control import Control
from lingbot_cli.model.session import Session
from lingbot_cli.model.world_model import WorldModel
from training.data import CHUNK, SIZE, chunk_start, light
from training.place.palette import MOODS
from training.place.render import render
from training.place.walk import Walk, walk_of_keys

FPS = 16


@dataclass(frozen=True)
class Video:
    """A rendered video [T, H, W, 3] uint8, its ground truth and the requested walk."""

    made: np.ndarray
    truth: np.ndarray
    walk: Walk

    def psnr(self, first: int, last: int) -> float:
        """Return the PSNR in dB over frames first…last−1."""
        a, b = (x[first:last].astype(np.float64) / 255 for x in (self.made, self.truth))
        return float(-10 * np.log10(((a - b) ** 2).mean()))


def render_video(
    world: WorldModel,
    keys: list[str],
    start: CameraPose,
    moods: list[str],
    prompts: list[str],
    *,
    size: tuple[int, int] = SIZE,
    seed: int = 42,
) -> Video:
    """Render one key set per video frame from `start`, with a mood and a prompt per chunk; the last ones persist."""
    chunks = 1
    while chunk_start(chunks) < len(keys) + 1:
        chunks += 1
    frames = chunk_start(chunks)
    walk = walk_of_keys([(k, 1.0) for k in keys + [keys[-1]] * (frames - 1 - len(keys))], start)
    shown = np.array([MOODS.index(moods[min(i, len(moods) - 1)]) for i in range(chunks)])
    truth = ground_truth(torch.from_numpy(walk.actual), light(shown), size).numpy()
    session = Session(world, truth[0], height=size[0], width=size[1], seed=seed)
    made = []
    for i in range(chunks):
        poses = walk.requested[::4][CHUNK * i : CHUNK * (i + 1)]
        control = Control(
            poses=poses,
            intrinsics=np.tile(square_lens(None, *size), (CHUNK, 1)),
            actions=np.zeros((CHUNK, 4), np.float32),
            prompt=prompts[min(i, len(prompts) - 1)],
            frames=chunk_start(i + 1) - chunk_start(i),
        )
        made.append(session.step(control).cpu().numpy())
    count = len(keys) + 1
    return Video(
        np.concatenate(made)[:count], truth[:count], Walk(walk.requested[:count], walk.actual[:count])
    )


def ground_truth(poses: Tensor, moods: Tensor, size: tuple[int, int]) -> Tensor:
    """Render the scene [F, H, W, 3] uint8 exactly, from poses [F, 4, 4] in moods [F, 4]."""
    optics = torch.tensor(square_lens(None, *size)).expand(len(poses), -1)
    return render(poses, optics, moods, height=size[0], width=size[1])


def estimate_poses(film: Video, mood: str, every: int = 4) -> list[CameraPose]:
    """Estimate the camera pose of every `every`-th frame by matching it with the exact scene.

    Gauss–Newton over x, z and heading on blurred images, started at the previous frame's pose, and at half and
    all of the requested step from it; the best match wins.
    """
    weights = torch.eye(len(MOODS))[MOODS.index(mood)]
    found, at = [], CameraPose.from_matrix(film.walk.actual[0])
    for i in range(0, len(film.made), every):
        guesses = [at]
        if i:
            before, now = (
                CameraPose.from_matrix(film.walk.actual[i - every]),
                CameraPose.from_matrix(film.walk.actual[i]),
            )
            guesses = [_extrapolate(at, before, now, share) for share in (0.0, 0.5, 1.0)]
        shown = _blur(torch.from_numpy(film.made[i])[None])
        at = min((_match(shown, guess, weights) for guess in guesses), key=lambda found: found[0])[1]
        found.append(at)
    return found


def _extrapolate(at: CameraPose, before: CameraPose, now: CameraPose, share: float) -> CameraPose:
    """Move a pose by a share of the step between two others, relative to its own heading."""
    turned = np.radians(at.yaw - before.yaw)
    dx, dz = share * (now.x - before.x), share * (now.z - before.z)
    x, z = at.x + dx * np.cos(turned) + dz * np.sin(turned), at.z - dx * np.sin(turned) + dz * np.cos(turned)
    return CameraPose(float(x), now.y, float(z), at.yaw + share * (now.yaw - before.yaw), now.pitch)


def _match(shown: Tensor, at: CameraPose, mood: Tensor) -> tuple[float, CameraPose]:
    """Return the error and pose of the best match near a pose."""
    best = (float("inf"), at)
    steps = np.array([0.03, 0.03, 0.5])
    for _ in range(5):
        moved = [at] + [_moved(at, *(steps * np.eye(3)[k] * sign)) for k in range(3) for sign in (1, -1)]
        poses = torch.from_numpy(np.stack([s.matrix() for s in moved]))
        height, width = shown.shape[2:]
        drawn = _blur(ground_truth(poses, mood.expand(7, -1), (height, width)))
        slope = torch.stack(
            [(drawn[1 + 2 * k] - drawn[2 + 2 * k]).flatten() / 2 for k in range(3)], 1
        ).double()
        miss = (shown[0] - drawn[0]).flatten().double()
        best = min(best, (float(miss.abs().mean()), at), key=lambda found: found[0])
        trust = 1 / (0.1 + miss.abs())
        normal = slope.T @ (slope * trust[:, None])
        step = torch.linalg.solve(normal + 1e-4 * normal.trace() * torch.eye(3), slope.T @ (miss * trust))
        at = _moved(at, *(steps * step.numpy().clip(-8, 8)))
    return best


def _moved(at: CameraPose, x: float, z: float, yaw: float) -> CameraPose:
    return CameraPose(at.x + float(x), at.y, at.z + float(z), at.yaw + float(yaw), at.pitch)


def _blur(pictures: Tensor) -> Tensor:
    """Convert images [F, H, W, 3] uint8 to [F, 3, H, W] in 0…1, blurred over five pixels."""
    return F.avg_pool2d(pictures.permute(0, 3, 1, 2).float() / 255, 5, stride=1, padding=2)
