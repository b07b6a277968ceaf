"""Sharpness of sample images, walks and turns in every mood, beside PSNR."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lingbot_cli.camera.pose import CameraPose
from lingbot_cli.model.image_conditioning import resize_image
from lingbot_cli.model.vae import VAE
from lingbot_cli.model.world_model import WorldModel
from training.data import LARGE, PORTRAIT, SIZE
from training.edges import edge_retention, edge_strength_ratio
from training.place.palette import MOODS
from training.videos import FPS, Video, render_video

SAMPLES = Path(__file__).parent.parent / "samples"
PROMPTS = {
    "day": "a courtyard at day",
    "dusk": "a courtyard at dusk",
    "night": "a courtyard at night",
    "snow": "a courtyard in the snow",
}
_START = CameraPose(1.0, -1.0, -1.0)
_YAW = {"day": 0.0, "dusk": 250.0, "night": 20.0, "snow": 170.0}


@torch.inference_mode()
def measure_samples(vae: VAE, *, antialias: bool) -> dict[str, dict[str, float]]:
    """Measure PSNR in dB and edge retention of each mood's sample image after the VAE."""
    out = {}
    for mood in MOODS:
        image = np.array(Image.open(SAMPLES / f"courtyard-{mood}.png").convert("RGB"))
        pixels = resize_image(torch.from_numpy(image), *SIZE, antialias=antialias).clamp(-1, 1)
        decoded = vae.decode(vae.encode(pixels[None, :, None]))[0, :, 0].float()
        made, truth = (_to_bytes(x) for x in (decoded, pixels))
        error = (made.astype(np.float64) - truth) / 255
        out[mood] = {"psnr": float(-10 * np.log10((error**2).mean())), **edge_retention(made, truth)}
    return out


def measure_sharpness(world: WorldModel, seconds: int) -> dict[str, dict[str, float]]:
    """Measure a walk and a turn of that length in each mood."""
    out = {}
    for mood in MOODS:
        for name, keys in (("walk", ["w"] * 32 + ["s"] * 32), ("turn", ["l"])):
            held = (keys * (seconds * FPS // len(keys) + 1))[: seconds * FPS]
            start = replace(_START, yaw=_YAW[mood])
            video = render_video(world, held, start, [mood], [PROMPTS[mood]])
            out[f"{name}, {mood}"] = measure_edges(video)
    return out


def measure_sizes(world: WorldModel) -> dict[str, dict[str, float]]:
    """Measure a walk and a turn of four seconds by day at the other sizes of training."""
    out = {}
    for size in (LARGE, PORTRAIT):
        for name, key in (("walk", "w"), ("turn", "l")):
            video = render_video(world, [key] * 4 * FPS, _START, ["day"], [PROMPTS["day"]], size=size)
            out[f"{name}, {size[1]}x{size[0]}"] = measure_edges(video)
    return out


def measure_edges(video: Video) -> dict[str, float]:
    """Measure PSNR over 3 s, and edge strength over 3 s and in the last second relative to the truth."""
    parts = {"3s": slice(1, 3 * FPS + 1), "end": slice(-FPS, None)}
    out = {"psnr_3s": video.psnr(0, 3 * FPS + 1)}
    for name, part in parts.items():
        for axis, ratio in edge_strength_ratio(video.made[part], video.truth[part]).items():
            out[f"{axis}_{name}"] = ratio
    return out


def _to_bytes(x: torch.Tensor) -> np.ndarray:
    return ((x + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
