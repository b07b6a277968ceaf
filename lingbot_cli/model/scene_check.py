"""Check of a first image against the one scene that a small model was trained on."""

import numpy as np
import torch

from lingbot_cli.model.image_conditioning import resize_image
from lingbot_cli.model.world_model import WorldModel
from lingbot_cli.video_size import fit_size


def shows_trained_scene(model: WorldModel, image: np.ndarray) -> bool:
    """Return whether an image [H, W, 3] uint8 may show the model's scene; True for a model of many scenes."""
    threshold = model.preset.scene_min_psnr_db
    if threshold is None or not model.trained:
        return True
    return reconstruction_psnr(model, image) >= threshold


@torch.inference_mode()
def reconstruction_psnr(model: WorldModel, image: np.ndarray) -> float:
    """Return the PSNR in dB of an image [H, W, 3] uint8 encoded and decoded by the VAE at its training size.

    A VAE trained on one scene reconstructs other images badly. Only its training size separates scenes: a larger
    image of anything is smoother, a smaller one of the scene has too little detail.
    """
    height, width = fit_size(image.shape[0], image.shape[1], model.preset.area)
    video = resize_image(torch.from_numpy(image), height, width).clamp(-1, 1).to(model.device)[None, :, None]
    decoded = model.vae.decode(model.vae.encode(video)).float().to(model.device)
    return float(-10 * torch.log10(((decoded - video) / 2).square().mean().clamp_min(1e-10)))
