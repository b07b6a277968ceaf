"""Whether a first picture is of the one place that a small world knows."""

import numpy as np
import torch

from lingbot_cli.model.image_conditioning import resize_image
from lingbot_cli.model.world_model import WorldModel
from lingbot_cli.video_size import fit_size


def shows_trained_scene(world: WorldModel, image: np.ndarray) -> bool:
    """Whether the world may know where an image [H, W, 3] uint8 was taken; a world of many places always may."""
    least = world.preset.scene_min_psnr_db
    if least is None or not world.trained:
        return True
    return reconstruction_psnr(world, image) >= least


@torch.inference_mode()
def reconstruction_psnr(world: WorldModel, image: np.ndarray) -> float:
    """PSNR in dB of an image [H, W, 3] uint8, at the world's own size, after the VAE has encoded and decoded it.

    A VAE that has seen one place only gives pictures of anything else back badly. At the size it was trained at
    that tells places apart; a larger picture of anything is smoother, a smaller one of its place has less to know.
    """
    height, width = fit_size(image.shape[0], image.shape[1], world.preset.area)
    picture = (
        resize_image(torch.from_numpy(image), height, width).clamp(-1, 1).to(world.device)[None, :, None]
    )
    again = world.vae.decode(world.vae.encode(picture)).float().to(world.device)
    return float(-10 * torch.log10(((again - picture) / 2).square().mean().clamp_min(1e-10)))
