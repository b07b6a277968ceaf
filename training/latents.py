"""Encoded training clips: latents, conditions, relative poses and labels."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from lingbot_cli.camera.pose import CameraPose, relative_poses
from lingbot_cli.model.image_conditioning import resize_image
from lingbot_cli.model.vae import VAE
from lingbot_cli.model.vae_layers import CausalConvCache
from training.data import LATENTS, Clips
from training.fused import fuse_norms
from training.place.palette import MOODS
from training.place.render import draw_batch, render
from training.samples import HEIGHT, WIDTH
from training.vae_loss import CONFIG, as_video, fold
from training.workers import DEVICE, load_average, save

# Latents of an image followed by grey that are encoded; later ones are constant.
_ENCODED_LATENTS = 6


@dataclass(frozen=True)
class Latents:
    """`clean` and `told` [N, 16, 15, 8, 14] float16: latents of the video and of the condition.

    `steps` [N, 15, 4, 4] are the requested relative poses. `where` [N, 15, 6] is the actual camera: x, z, y, sine
    and cosine of the heading, and pitch, each of magnitude about 1. `focal` [N], `moods` [N, 5]; `grey`
    [16, 8, 14] is the constant latent of the condition.
    """

    clean: Tensor
    told: Tensor
    steps: Tensor
    where: Tensor
    focal: Tensor
    moods: Tensor
    grey: Tensor

    @classmethod
    def open(cls, paths: list[Path]) -> "Latents":
        """Load and join all parts."""
        parts = [torch.load(path, weights_only=True, mmap=True) for path in paths]
        names = [f.name for f in fields(cls) if f.name != "grey"]
        joined = {name: torch.cat([part[name] for part in parts]).to(DEVICE) for name in names}
        return cls(**joined, grey=parts[0]["grey"].to(DEVICE))


def pose_targets(poses: np.ndarray) -> Tensor:
    """Return the pose head's targets [..., 6] for camera-to-world poses [..., 4, 4]."""
    rows = []
    for pose in poses.reshape(-1, 4, 4):
        s = CameraPose.from_matrix(pose)
        yaw = np.radians(s.yaw)
        rows.append([s.x / 3, s.z / 3, (s.y + 1) * 2, np.sin(yaw), np.cos(yaw), s.pitch / 10])
    return torch.tensor(rows, dtype=torch.float32).view(*poses.shape[:-2], 6)


@torch.no_grad()
def encode(vae: VAE, clips: Clips, which: range, path: Path, seed: int) -> None:
    """Encode some clips to a file; half of the first images are rendered large and resized."""
    rng = np.random.default_rng([seed, which.start])
    grey = _constant_latent(vae, clips.video.shape[2:4])
    fast = torch.compile(draw_batch, dynamic=False)
    clean, told = [], []
    for i in which:
        video = as_video(torch.from_numpy(clips.video[i].copy())[None].to(DEVICE))
        image = video[:, :, 0]
        if rng.random() < 0.5:
            optics = torch.tensor([[clips.focal[i], clips.focal[i], 416.0, 240.0]])
            mood = torch.eye(len(MOODS))[[int(clips.moods[i, 0])]]
            large = render(
                torch.from_numpy(clips.actual[i, :1]), optics, mood, height=HEIGHT, width=WIDTH, draw=fast
            )
            image = resize_image(large[0], *clips.video.shape[2:4])[None].to(DEVICE)
        begin = torch.cat(
            [image[:, :, None], video.new_zeros(1, 3, 4 * _ENCODED_LATENTS - 4, *image.shape[-2:])], 2
        )
        with torch.autocast(DEVICE.type, dtype=torch.bfloat16):
            clean.append(vae.encode(video)[0].half().cpu())
            first = vae.encode(begin.contiguous(memory_format=torch.channels_last_3d))[0].half().cpu()
        rest = grey[:, None].expand(-1, LATENTS - first.shape[1], -1, -1).half()
        told.append(torch.cat([first, rest], 1))
    part = slice(which.start, which.stop)
    save(
        path,
        {
            "clean": torch.stack(clean),
            "told": torch.stack(told),
            "steps": torch.from_numpy(
                np.stack([relative_poses(path) for path in clips.requested[part]])
            ).float(),
            "where": pose_targets(clips.actual[part]),
            "focal": torch.from_numpy(clips.focal[part]).float(),
            "moods": torch.from_numpy(clips.moods[part]),
            "grey": grey.half(),
        },
    )


def _constant_latent(vae: VAE, size: tuple[int, int]) -> Tensor:
    """Return the latent [16, h, w] of grey beyond the encoder's receptive field."""
    cache, latent = CausalConvCache(), torch.empty(0)
    for step in range(vae.config.encoder_receptive_field // 4 + 2):
        latent = vae.encode(torch.zeros(1, 3, 4 if step else 1, *size, device=DEVICE), cache)
    return latent[0, :, -1].cpu()


@torch.no_grad()
def statistics(vae: VAE, clips: Clips, count: int = 40) -> dict[str, Tensor]:
    """Return mean and standard deviation [16] of the raw latents' channels over some clips."""
    means = []
    for i in range(count):
        with torch.autocast(DEVICE.type, dtype=torch.bfloat16):
            video = as_video(torch.from_numpy(clips.video[i].copy())[None].to(DEVICE))
            means.append(vae.moments(video)[0].float().cpu())
    values = torch.cat(means).transpose(0, 1).flatten(1)
    return {"mean": values.mean(1), "std": values.std(1)}


def latents_folder(folder: Path) -> Path:
    """Return the folder of the VAE's latents, named by its step: further training changes them."""
    step = torch.load(folder / "vae.pt", weights_only=True, map_location="cpu", mmap=True)["step"]
    return folder / f"latents-{step}"


def normalised_vae(folder: Path) -> VAE:
    """Load the VAE with latents of the published mean and standard deviation."""
    measured = torch.load(latents_folder(folder) / "statistics.pt", weights_only=True)
    vae = VAE(CONFIG)
    vae.load_state_dict(fold(load_average(folder, "vae"), measured["mean"], measured["std"]))
    return vae.to(DEVICE)


def encode_share(rank: int, folder: Path, clips: int, seed: int) -> None:
    """Encode this process's share of the clips, fifty per file; existing files are kept."""
    fuse_norms()
    seen, out = Clips.open(folder / "data"), latents_folder(folder)
    out.mkdir(exist_ok=True)
    place = out / "statistics.pt"
    if rank == 0 and not place.exists():
        vae = VAE(CONFIG).to(DEVICE)
        vae.load_state_dict(load_average(folder, "vae"))
        save(place, statistics(vae, seen))
    dist.barrier()
    vae = normalised_vae(folder)
    if rank == 0 and not (out / "held-out.pt").exists():
        encode(vae, Clips.open(folder / "held-out"), range(16), out / "held-out.pt", seed)
    for part in range(rank, clips // 50, dist.get_world_size()):
        path = out / f"{part:03d}.pt"
        if not path.exists():
            encode(vae, seen, range(50 * part, 50 * part + 50), path, seed)
