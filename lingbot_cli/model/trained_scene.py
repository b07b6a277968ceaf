"""Check of an image against the only scene that a small model was trained on.

A VAE trained on one scene reconstructs other images badly, unless they have little detail. So the score of an image
is the mean squared error of its reconstruction, divided by that of the image averaged over 8×8 pixels plus
`Preset.scene_detail`, which is the median of the same for the scene: a plain image needs a smaller error.
"""

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
    if preset.scene_max_error is None or preset.scene_detail is None or not model.trained:
        return True
    # Only the VAE's training size separates scenes: a larger image of anything is smoother.
    height, width = fit_size(image.shape[0], image.shape[1], preset.area)
    pixels = resize_image(torch.from_numpy(image), height, width, antialias=preset.antialias)
    error, detail = reconstruction_error(model.vae, pixels[None].clamp(-1, 1).to(model.device))
    return float(error / (detail + preset.scene_detail)) <= preset.scene_max_error


@torch.inference_mode()
def reconstruction_error(vae: VAE, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean squared errors [N] of images [N, 3, H, W] in −1…1 after the VAE, and averaged over 8×8 pixels.

    Both are those of values in 0…1.
    """
    decoded = vae.decode(vae.encode(images[:, :, None])).to(images)[:, :, 0]
    coarse = F.interpolate(F.avg_pool2d(images, 8), scale_factor=8, mode="bilinear")
    errors = [((made - images) / 2).square().mean((1, 2, 3)) for made in (decoded, coarse)]
    return errors[0], errors[1]
