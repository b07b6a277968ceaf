"""Published models and decoders: hub repositories, revisions, needed files and licence terms."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from lingbot_cli.checkpoints.cache_dir import cache_folder
from lingbot_cli.errors import SetupError, UsageError


@dataclass(frozen=True)
class HubSource:
    """Files of one repository at one revision, stored in the subfolder `into` of the model's folder.

    `revision` is a commit; None takes the newest one and pins it for later downloads.
    `files` are `fnmatch` patterns.
    """

    repository: str
    revision: str | None
    files: tuple[str, ...]
    into: str = ""


@dataclass(frozen=True)
class PublishedModel:
    """A model on the hub: its sources, their approximate size in bytes and the licence terms."""

    name: str
    sources: tuple[HubSource, ...]
    bytes: int
    terms: str


DECODERS = {"taew2_1": "taew2_1", "lighttaew2_1": "lighttaew2_1", "lightvae": "lightvaew2_1"}
"""Smaller decoders of Wan 2.1 latents, by name: their files without the suffix."""
DECODER_SUFFIXES = (".safetensors", ".pth")
DECODER_REPOSITORY = "lightx2v/Autoencoders"

_ASSETS = ("Wan2.1_VAE.pth", "models_t5_umt5-xxl-enc-bf16.pth", "google/umt5-xxl/tokenizer.json")
_V2_14B = HubSource(
    repository="robbyant/lingbot-world-v2-14b-causal-fast",
    revision="5c33dd40b213598c418fd25bff30fdbd23fd38a7",
    files=("transformers/*.json", "transformers/*.safetensors", *_ASSETS),
)
NON_COMMERCIAL = (
    "CC BY-NC-SA 4.0: for non-commercial use; share what you derive under the same terms, naming the authors. "
    "https://creativecommons.org/licenses/by-nc-sa/4.0/"
)

PUBLISHED = {
    model.name: model
    for model in (
        PublishedModel(
            name="lingbot-world-fast",
            sources=(
                HubSource(
                    repository="robbyant/lingbot-world-fast-diffusers",
                    revision=None,
                    files=(
                        "model_index.json",
                        "transformer/*.json",
                        "transformer/*.safetensors",
                        "vae/*.json",
                        "vae/*.safetensors",
                        "text_encoder/*.json",
                        "text_encoder/*.safetensors",
                        "tokenizer/tokenizer.json",
                    ),
                ),
            ),
            bytes=70_000_000_000,
            terms="Apache-2.0 code; for the weights read the model card: "
            "https://huggingface.co/robbyant/lingbot-world-fast",
        ),
        PublishedModel(
            name="lingbot-world-v2-14b-causal-fast",
            sources=(_V2_14B,),
            bytes=86_000_000_000,
            terms=NON_COMMERCIAL,
        ),
        PublishedModel(
            name="lingbot-world-v2-1.3b-causal-fast",
            sources=(
                HubSource(
                    repository="robbyant/lingbot-world-v2-1.3b-causal-fast",
                    revision="7e36a5f919f86cb4255cc9bfc30adb44963fbde1",
                    files=("model-*.safetensors", "model.safetensors.index.json"),
                ),
                replace(_V2_14B, files=_ASSETS, into="assets"),
            ),
            bytes=18_700_000_000,
            terms=NON_COMMERCIAL,
        ),
    )
}


def decoders_folder() -> Path:
    """Return the folder of downloaded decoders."""
    return cache_folder() / "decoders"


def find_decoder(text: str, folders: Iterable[Path]) -> Path:
    """Return the file of a decoder, named by itself or by a decoder's name, in the given folders or the cache.

    Errors: UsageError for neither a file nor a known name, SetupError for a decoder that is not on this machine.
    """
    path = Path(os.path.expanduser(text))
    if path.is_file():
        return path
    if text not in DECODERS:
        raise UsageError(
            f"--decoder {text}: neither a file nor a known decoder",
            hint=f"use a file or {', '.join(DECODERS)}",
        )
    places = [*folders, decoders_folder()]
    files = [folder / f"{DECODERS[text]}{suffix}" for folder in places for suffix in DECODER_SUFFIXES]
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        raise SetupError(
            f"--decoder {text} is not on this machine",
            hint=f"run: lingbot models pull {text}, or name its file",
        )
    return found
