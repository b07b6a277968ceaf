"""Settings by which the model knows images of its scene: `python -m training.scene_error --model F` measures them.

The score of `lingbot_cli/model/trained_scene.py` is taken of unseen views, antialiased, as videos begin with them.
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
_MARGIN = 1.1  # of the highest score of those views


def scene_settings(vae: VAE, views: int = VIEWS) -> tuple[float, float]:
    """Return `scene_detail` and `scene_max_error` of a VAE, in float32."""
    sampler = ViewSampler(np.random.default_rng(_SEED))
    errors: list[Tensor] = []
    details: list[Tensor] = []
    kinds = [
        kind for kind in KINDS if kind.antialias and not kind.crop and kind.size[0] * kind.size[1] == 64 * 112
    ]
    while sum(map(len, errors)) < views:
        for kind in kinds:
            images = torch.stack(sampler.draw_images(kind)).permute(0, 3, 1, 2).float() / 127.5 - 1
            error, detail = reconstruction_error(vae, images)
            errors.append(error)
            details.append(detail)
    detail = torch.cat(details)
    usual = float(detail.median())
    scores = torch.cat(errors) / (detail + usual)
    return usual, _MARGIN * float(scores.max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="a folder in our layout; by default the built-in model")
    options = parser.parse_args()
    print(
        "scene_detail {:.6g}\nscene_max_error {:.4g}".format(*scene_settings(load_model(options.model).vae))
    )


if __name__ == "__main__":
    main()
