"""A training folder that starts from an exported model: `python -m training.init_folder --folder F`.

The text encoder and the VAE count as trained; the transformer starts from these weights.
"""

import argparse
import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from lingbot_cli.model.vae import VAE
from training.export import BUILT_IN
from training.latents import write_normalised_statistics
from training.vae_loss import CONFIG
from training.workers import save


def init_folder(model: Path, folder: Path) -> None:
    """Write the weights of a model in our layout into a training folder; existing files are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"text.pt": "text_encoder", "vae.pt": "vae", "world-start.pt": "transformer"}
    for name, part in parts.items():
        if not (folder / name).exists():
            weights = load_file(model / f"{part}.safetensors")
            if part == "text_encoder":
                save(folder / name, weights)
                continue
            average = {key: tensor.float() for key, tensor in weights.items()}
            if part == "vae" and _shapes(average) != _shapes(VAE(CONFIG).state_dict()):
                raise SystemExit(
                    f"{model}: its VAE has other widths than this training's; train from nothing"
                )
            save(folder / name, {"average": average, "step": 0, "spent": math.inf})
            if part == "vae":
                write_normalised_statistics(folder)


def _shapes(weights: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in weights.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=BUILT_IN, help="a folder in our layout")
    options = parser.parse_args()
    init_folder(options.model, options.folder)


if __name__ == "__main__":
    main()
