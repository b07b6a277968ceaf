"""Export of trained weights as the built-in model in half precision: `python -m training.export --folder F`."""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from lingbot_cli.model.loading.convert import write_model
from lingbot_cli.model.vae import LATENT_MEAN, LATENT_STD
from lingbot_cli.presets import PRESETS
from training.make_untrained import byte_level_tokenizer

BUILT_IN = Path(__file__).parent.parent / "lingbot_cli" / "builtin"


def fold(weights: dict[str, Tensor], mean: Tensor, std: Tensor) -> dict[str, Tensor]:
    """Return an equivalent VAE whose raw latents have the published mean and standard deviation.

    `mean` and `std` [16] are those of its current raw latents; the 1×1×1 convolutions absorb the difference.
    """
    out = {name: tensor.clone() for name, tensor in weights.items()}
    gain = torch.tensor(LATENT_STD) / std
    shift = torch.tensor(LATENT_MEAN) - gain * mean
    channels = len(gain)
    wide = gain[:, None, None, None, None]
    out["conv1.weight"][:channels] *= wide
    out["conv1.bias"][:channels] = out["conv1.bias"][:channels] * gain + shift
    out["conv1.bias"][channels:] += 2 * gain.log()
    back = weights["conv2.weight"][:, :, 0, 0, 0] / gain
    out["conv2.weight"] = back[:, :, None, None, None]
    out["conv2.bias"] = weights["conv2.bias"] - back @ shift
    return out


def packed(name: str, tensor: Tensor) -> Tensor:
    """Cast to half precision, and to fp8 for text and timestep projections: the model stays below 15 MB."""
    small = (".cross_attn." in name or name.startswith("time_projection")) and tensor.ndim == 2
    return tensor.to(torch.float8_e4m3fn if small else torch.float16)


def export(folder: Path, out: Path, source: str) -> None:
    """Write the latest weights of the training folder in our layout."""

    def newest(stage: str) -> dict[str, Tensor]:
        final = folder / f"{stage}-final.pt"
        return torch.load(
            final if final.exists() else folder / f"{stage}.pt", weights_only=True, map_location="cpu"
        )["average"]

    statistics = torch.load(folder / "statistics.pt", weights_only=True)
    vae = fold(newest("vae"), statistics["mean"], statistics["std"])
    write_model(
        out,
        PRESETS["built-in"],
        transformer={name: packed(name, tensor) for name, tensor in newest("world").items()},
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
