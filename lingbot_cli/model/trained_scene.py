"""Check of an image against the only scene that a small model was trained on.

A VAE trained on one scene reconstructs other images badly. A smooth or dark image has a small error all the same, so
the mean squared error of its reconstruction is divided by that of its means over 8×8 pixels.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lingbot_cli.model.image_conditioning import resize_image
from lingbot_cli.model.vae import VAE
from lingbot_cli.model.world_model import WorldModel
from lingbot_cli.video_size import fit_size


def shows_trained_scene(model: WorldModel, image: np.ndarray) -> bool:
    """Return whether an image [H, W, 3] uint8 may show the model's scene; True for a model of many scenes."""
    preset = model.preset
    if not model.trained or (preset.scene_max_error is None and preset.scene_min_psnr_db is None):
        return True
    # Only the VAE's training size separates scenes: a larger image of anything is smoother.
    height, width = fit_size(image.shape[0], image.shape[1], preset.area)
    pixels = resize_image(torch.from_numpy(image), height, width, antialias=preset.antialias)
    error, share = reconstruction_error(model.vae, pixels[None].clamp(-1, 1).to(model.device))
    if preset.scene_max_error is not None:
        return float(share) <= preset.scene_max_error
    return -10 * math.log10(max(float(error), 1e-10)) >= (preset.scene_min_psnr_db or 0)


@torch.inference_mode()
def reconstruction_error(vae: VAE, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean squared error [N] of images [N, 3, H, W] in −1…1 after the VAE, and relative to their detail.

    The first is that of values in 0…1. The detail is the mean squared difference to the means over 8×8 pixels.
    """
    decoded = vae.decode(vae.encode(images[:, :, None])).to(images)[:, :, 0]
    coarse = F.interpolate(F.avg_pool2d(images, 8), scale_factor=8, mode="bilinear")
    error, detail = ((made - images).square().mean((1, 2, 3)) for made in (decoded, coarse))
    return error / 4, error / detail.clamp_min(1e-9)
