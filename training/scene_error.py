"""Setting by which the model knows images of its scene: `python -m training.scene_error --model F` measures it.

The error of `lingbot_cli/model/trained_scene.py` is taken of unseen views, antialiased, as videos begin with them.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lingbot_cli.model.loading.loader import load_model
from lingbot_cli.model.trained_scene import reconstruction_error
from lingbot_cli.model.vae import VAE
from training.views import KINDS, ViewSampler

VIEWS = 2000
_SEED = 61
_MARGIN = 1.5  # an image of 32 pixels, the smallest, is reconstructed worst


def scene_max_error(vae: VAE, views: int = VIEWS) -> float:
    """Return the setting for a VAE in float32: the highest error of unseen views, and half of it."""
    sampler = ViewSampler(np.random.default_rng(_SEED))
    found: list[Tensor] = []
    while sum(map(len, found)) < views:
        for kind in (KINDS["usual"], KINDS["portrait"]):
            images = torch.stack(sampler.draw_images(kind)).permute(0, 3, 1, 2).float() / 127.5 - 1
            found.append(reconstruction_error(vae, images))
    return _MARGIN * float(torch.cat(found).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="a folder in our layout; by default the built-in model")
    options = parser.parse_args()
    print(f"scene_max_error {scene_max_error(load_model(options.model).vae):.4g}")


if __name__ == "__main__":
    main()
