"""Recognition of folders and files that hold another model, or half of one, each with the way out."""

from collections.abc import Iterable
from pathlib import Path

from lingbot_cli.errors import SetupError

UNFINISHED = (".incomplete", ".part", ".aria2", ".crdownload")
"""Suffixes that downloaders give to files they have not finished."""
LFS_POINTER = b"version https://git-lfs"
LORA_MARKS = (".lora_A.", ".lora_B.", ".lora_up.", ".lora_down.", "lora_unet_")
_CAUSAL = "use lingbot-world-fast, lingbot-world-v2-14b-causal-fast or lingbot-world-v2-1.3b-causal-fast"


def other_folder(root: Path) -> SetupError | None:
    """Return the error for a folder of a known model that cannot be rendered with, None for any other folder."""
    if (root / "transformer_causal").exists():
        return SetupError(
            f"{root}: the causal-pretrain model of v2 14B (transformer_causal/), which needs 40 UniPC steps with "
            "guidance and is not supported",
            hint=_CAUSAL,
        )
    if (root / "high_noise_model").exists() or (root / "low_noise_model").exists():
        return SetupError(
            f"{root}: a bidirectional base model (high_noise_model/, low_noise_model/), which renders a whole clip "
            "at once; only causal models are supported",
            hint=_CAUSAL,
        )
    return None


def other_tensors(place: Path, names: Iterable[str]) -> SetupError | None:
    """Return the error for tensors of a known kind that are no transformer's, None for any others."""
    known = list(names)
    if any(mark in name for name in known for mark in LORA_MARKS):
        return SetupError(
            f"{place} is a LoRA, which changes a model and is none; --model needs the model itself",
            hint="name the model with --model and the LoRA with --lora",
        )
    if any(name.startswith(("encoder.block.", "enc.blk.", "token_embedding.")) for name in known):
        return SetupError(
            f"{place} is a text encoder; --model needs the transformer",
            hint="put the text encoder in --assets DIR",
        )
    if any(name.startswith(("decoder.", "encoder.conv", "encoder.down")) for name in known):
        return SetupError(
            f"{place} is a VAE; --model needs the transformer", hint="put the VAE in --assets DIR"
        )
    return None


def unfinished_files(root: Path) -> list[str]:
    """Return the names of files under a folder whose download has not finished."""
    return sorted(file.name for file in root.rglob("*") if file.suffix in UNFINISHED)


def is_lfs_pointer(file: Path) -> bool:
    """Return whether a file is the pointer that Git leaves without its large-file extension."""
    with file.open("rb") as source:
        return source.read(len(LFS_POINTER)) == LFS_POINTER
