"""Export of trained weights as the built-in model in half precision: `python -m training.export --folder F`."""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from lingbot_cli.model.loading.convert import write_model
from lingbot_cli.presets import PRESETS
from training.latents import normalised_vae
from training.make_untrained import byte_level_tokenizer
from training.scene_error import scene_max_error
from training.vae_loss import restored_vae
from training.workers import load_average

BUILT_IN = Path(__file__).parent.parent / "lingbot_cli" / "builtin"


def packed(name: str, tensor: Tensor) -> Tensor:
    """Cast to half precision, and to fp8 for text and timestep projections, for a smaller file."""
    small = (".cross_attn." in name or name.startswith("time_projection")) and tensor.ndim == 2
    return tensor.to(torch.float8_e4m3fn if small else torch.float16)


def export(folder: Path, out: Path, source: str) -> None:
    """Write the latest weights of the training folder in our layout."""
    transformer = load_average(folder, "world")
    decoder = folder / "decoder.pt"
    vae = load_average(folder, "decoder") if decoder.exists() else normalised_vae(folder).state_dict()
    model = restored_vae(vae)
    preset = replace(
        PRESETS["built-in"],
        scene_max_error=scene_max_error(model),
    )
    write_model(
        out,
        preset,
        transformer={name: packed(name, tensor) for name, tensor in transformer.items()},
        vae={name: tensor.half() for name, tensor in vae.items()},
        text=torch.load(folder / "text.pt", weights_only=True),
        tokenizer=byte_level_tokenizer().to_str(),
        precision="float16",
        trained=True,
        source=source,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=BUILT_IN)
    parser.add_argument("--source", default="trained on the courtyard, see training/README.md")
    options = parser.parse_args()
    export(options.folder, options.out, options.source)


if __name__ == "__main__":
    main()
