"""Encoded training clips: latents, conditions, relative poses and labels."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from lingbot_cli.camera.pose import CameraPose, relative_poses
from lingbot_cli.model.vae import LATENT_MEAN, LATENT_STD, VAE
from training.data import LARGE, LATENTS, PORTRAIT, SIZE, Clip, ClipRenderer
from training.fused import fuse_vae
from training.vae_loss import as_video, fold, restored_vae
from training.workers import DEVICE, load_average, save

CLIPS_PER_FILE = 50
CLIPS_TOGETHER = 1 if DEVICE.type == "cpu" else 10  # encoded
SHARES = {SIZE: 1.0, PORTRAIT: 0.2, LARGE: 0.15}  # clips of each size relative to the first
_HELD_OUT = 16  # clips
_STATISTICS_CLIPS = 40
# Latents of an image followed by grey that are encoded; later ones are constant.
_ENCODED_LATENTS = 6
_SHARED = ("size", "grey")


@dataclass(frozen=True)
class Latents:
    """Clips of one size; of its h·w latent cells.

    `clean` and `told` [N, 16, 15, h, w] float16: latents of the video and of the condition. `steps` [N, 15, 4, 4] are
    the requested relative poses, `optics` [N, 4] the lenses. `where` [N, 15, 6] is the actual camera: x, z, y, sine
    and cosine of the heading, and pitch, each of magnitude about 1. `moods` [N, 5]; `grey` [16, h, w] is the constant
    latent of the condition. `actual` [N, 57, 4, 4] are the poses from which the frames are rendered again.
    """

    size: tuple[int, int]
    clean: Tensor
    told: Tensor
    steps: Tensor
    where: Tensor
    optics: Tensor
    moods: Tensor
    actual: Tensor
    grey: Tensor

    @classmethod
    def open(cls, paths: list[Path]) -> "Latents":
        """Load and join the files of one size."""
        parts = [torch.load(path, weights_only=True, mmap=True) for path in paths]
        names = [name for name in parts[0] if name not in _SHARED]
        joined = {name: torch.cat([part[name] for part in parts]).to(DEVICE) for name in names}
        return cls(size=tuple(parts[0]["size"]), grey=parts[0]["grey"].to(DEVICE), **joined)

    def joined(self, more: "Latents") -> "Latents":
        """Return these clips and others of the same size."""
        both: dict[str, Any] = {
            field.name: torch.cat([getattr(self, field.name), getattr(more, field.name)])
            for field in fields(self)
            if field.name not in _SHARED
        }
        return replace(self, **both)


def pose_targets(poses: np.ndarray) -> Tensor:
    """Return the pose head's targets [..., 6] for camera-to-world poses [..., 4, 4]."""
    rows = []
    for pose in poses.reshape(-1, 4, 4):
        s = CameraPose.from_matrix(pose)
        yaw = np.radians(s.yaw)
        rows.append([s.x / 3, s.z / 3, (s.y + 1) * 2, np.sin(yaw), np.cos(yaw), s.pitch / 10])
    return torch.tensor(rows, dtype=torch.float32).view(*poses.shape[:-2], 6)


@torch.no_grad()
def encode(vae: VAE, clips: Iterable[Clip], size: tuple[int, int], path: Path) -> None:
    """Encode clips of a size to a file."""
    grey = _constant_latent(vae, size)
    columns: dict[str, list[Tensor]] = {}
    remaining = iter(clips)
    while together := list(islice(remaining, CLIPS_TOGETHER)):
        clean, first = encode_together(vae, torch.stack([clip.video for clip in together]))
        rest = grey[:, None].expand(-1, LATENTS - first.shape[2], -1, -1).half()
        for clip, latents, told in zip(together, clean, first, strict=True):
            row = {
                "clean": latents,
                "told": torch.cat([told, rest], 1),
                "steps": torch.from_numpy(relative_poses(clip.requested[::4])).float(),
                "where": pose_targets(clip.actual[::4]),
                "optics": torch.from_numpy(clip.optics).float(),
                "moods": torch.from_numpy(clip.moods),
                "actual": torch.from_numpy(clip.actual).float(),
            }
            for name, value in row.items():
                columns.setdefault(name, []).append(value)
    stacked = {name: torch.stack(values) for name, values in columns.items()}
    save(path, {**stacked, "size": list(size), "grey": grey.half()})


def encode_together(vae: VAE, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Return the latents of clips uint8 [N, T, H, W, 3] and of their first images followed by grey."""
    video = as_video(pictures.to(DEVICE))
    grey = video.new_zeros(*video.shape[:2], 4 * _ENCODED_LATENTS - 4, *video.shape[3:])
    begin = torch.cat([video[:, :, :1], grey], 2).contiguous(memory_format=torch.channels_last_3d)
    with torch.autocast(DEVICE.type, dtype=torch.bfloat16):
        return vae.encode(video).half().cpu(), vae.encode(begin).half().cpu()


def _constant_latent(vae: VAE, size: tuple[int, int]) -> Tensor:
    """Return the latent [16, h, w] of grey beyond the encoder's receptive field."""
    frames = 4 * (vae.config.encoder_receptive_field // 4 + 1) + 1
    return vae.encode(torch.zeros(1, 3, frames, *size, device=DEVICE))[0, :, -1].cpu()


@torch.no_grad()
def statistics(vae: VAE, clips: Iterable[Clip]) -> dict[str, Tensor]:
    """Return mean and standard deviation [16] of the raw latents' channels over some clips."""
    means = []
    for clip in clips:
        with torch.autocast(DEVICE.type, dtype=torch.bfloat16):
            means.append(vae.moments(as_video(clip.video[None].to(DEVICE)))[0].float().cpu())
    values = torch.cat(means).transpose(0, 1).flatten(1)
    return {"mean": values.mean(1), "std": values.std(1)}


def measure_statistics(folder: Path, seed: int) -> None:
    """Write the statistics of the VAE's latents; those of an aligned VAE are the draft's, which are normalised."""
    path = latents_folder(folder) / "statistics.pt"
    path.parent.mkdir(exist_ok=True)
    if path.exists():
        return
    if (folder / "draft").exists():
        write_normalised_statistics(folder)
        return
    clips = _random_clips(ClipRenderer(), _STATISTICS_CLIPS, SIZE, [seed, 1])
    save(path, statistics(restored_vae(load_average(folder, "vae")).to(DEVICE), clips))


def write_normalised_statistics(folder: Path) -> None:
    """Write the statistics of a VAE whose latents have the published ones, as an exported one's have."""
    path = latents_folder(folder) / "statistics.pt"
    path.parent.mkdir(exist_ok=True)
    save(path, {"mean": torch.tensor(LATENT_MEAN), "std": torch.tensor(LATENT_STD)})


def _random_clips(
    renderer: ClipRenderer, count: int, size: tuple[int, int], seed: list[int]
) -> Iterable[Clip]:
    rng = np.random.default_rng([*seed, *size])
    return (renderer.random(rng, size) for _ in range(count))


def latents_folder(folder: Path) -> Path:
    """Return the folder of the VAE's latents, named by its step: further training changes them."""
    step = torch.load(folder / "vae.pt", weights_only=True, map_location="cpu", mmap=True)["step"]
    return folder / f"latents-{step}"


def size_folder(folder: Path, size: tuple[int, int]) -> Path:
    """Return the folder of one size's latents."""
    return latents_folder(folder) / f"{size[1]}x{size[0]}"


def clip_files(folder: Path, size: tuple[int, int]) -> list[Path]:
    """Return the files of one size's clips for training, in order."""
    return sorted(size_folder(folder, size).glob("[0-9]*.pt"))


def normalised_vae(folder: Path) -> VAE:
    """Load the VAE with latents of the published mean and standard deviation."""
    measured = torch.load(latents_folder(folder) / "statistics.pt", weights_only=True)
    weights = fold(load_average(folder, "vae"), measured["mean"], measured["std"])
    return restored_vae(weights).to(DEVICE)


def encode_share(rank: int, folder: Path, clips: int, seed: int) -> None:
    """Render and encode this process's share of the clips, fifty per file; existing files are kept.

    All sizes progress together, since training on a GPU begins before the last clip.
    """
    if DEVICE.type == "cpu":
        fuse_vae()
    torch.backends.cudnn.benchmark = True
    renderer = ClipRenderer()
    if rank == 0:
        measure_statistics(folder, seed)
    dist.barrier()
    vae = normalised_vae(folder)
    for size in SHARES:
        size_folder(folder, size).mkdir(exist_ok=True)
        if rank == 0:
            encode_missing(
                vae, renderer, size_folder(folder, size) / "held-out.pt", size, [seed, 2], _HELD_OUT
            )
    for size, part in clip_parts(clips)[rank :: dist.get_world_size()]:
        path = size_folder(folder, size) / f"{part:03d}.pt"
        encode_missing(vae, renderer, path, size, [seed, 3, part])


def encode_missing(
    vae: VAE,
    renderer: ClipRenderer,
    path: Path,
    size: tuple[int, int],
    seed: list[int],
    count: int = CLIPS_PER_FILE,
) -> None:
    """Render and encode random clips to a file unless it exists."""
    if not path.exists():
        encode(vae, _random_clips(renderer, count, size, seed), size, path)


def clip_parts(clips: int) -> list[tuple[tuple[int, int], int]]:
    """Return the size and number of every file of clips, in the order of their encoding."""
    parts = []
    for size, share in SHARES.items():
        count = max(1, int(share * clips) // CLIPS_PER_FILE)
        parts += [((part + 1) / count, size, part) for part in range(count)]
    return [(size, part) for _, size, part in sorted(parts)]


def encoded(folder: Path, clips: int) -> bool:
    """Return whether that many clips are encoded, with their share in every size."""
    wanted = [size_folder(folder, size) / f"{part:03d}.pt" for size, part in clip_parts(clips)]
    wanted += [size_folder(folder, size) / "held-out.pt" for size in SHARES]
    return all(path.exists() for path in wanted)
