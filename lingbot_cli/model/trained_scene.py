"""Check of an image against the only scene that a small model was trained on.

A VAE trained on one scene reconstructs other images badly. A smooth or dark image has a small error all the same, so
the mean squared error of its reconstruction is divided by that of its means over 8×8 pixels.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lingbot_cli.model.image_conditioning import resize_image
from lingbot_cli.model.vae import VAE
from lingbot_cli.model.world_model import WorldModel
from lingbot_cli.video_size import fit_size

_LEAST_DETAIL = 2 * 2 / 255  # two grey levels, in −1…1: a plain wall has no detail


def shows_trained_scene(model: WorldModel, image: np.ndarray) -> bool:
    """Return whether an image [H, W, 3] uint8 may show the model's scene; True for a model of many scenes."""
    preset = model.preset
    if not model.trained or preset.scene_max_error is None:
        return True
    # Only the VAE's training size separates scenes: a larger image of anything is smoother.
    height, width = fit_size(image.shape[0], image.shape[1], preset.area)
    pixels = resize_image(torch.from_numpy(image), height, width, antialias=preset.antialias)
    error = reconstruction_error(model.vae, pixels[None].clamp(-1, 1).to(model.device))
    return float(error) <= preset.scene_max_error


@torch.inference_mode()
def reconstruction_error(vae: VAE, images: Tensor) -> Tensor:
    """Return the mean squared error [N] of images [N, 3, H, W] in −1…1 after the VAE, relative to their detail.

    The detail is the mean squared difference to the means over 8×8 pixels, and two grey levels.
    """
    decoded = vae.decode(vae.encode(images[:, :, None])).to(images)[:, :, 0]
    coarse = F.interpolate(F.avg_pool2d(images, 8), scale_factor=8, mode="bilinear")
    error, detail = ((made - images).square().mean((1, 2, 3)) for made in (decoded, coarse))
    return error / (detail + _LEAST_DETAIL**2)
