"""The user's cache folder: downloaded models and text embeddings of known prompts."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from lingbot_cli.prompt_cleaning import clean_prompt

PACKAGED_PROMPTS = Path(__file__).parents[1] / "builtin" / "prompts"
"""Text embeddings that come with the built-in model: those of the samples and recipes."""


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return LINGBOT_CACHE_DIR, else `lingbot` in the XDG cache folder, else `~/.cache/lingbot`."""
    if own := environ.get("LINGBOT_CACHE_DIR"):
        return Path(os.path.expanduser(own))
    base = environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else home_folder(environ) / ".cache") / "lingbot"


def home_folder(environ: Mapping[str, str]) -> Path:
    """Return the user's home folder; for a user without one, the folder that stands for none."""
    home = environ.get("HOME") or os.path.expanduser("~")
    return Path("/nonexistent" if home == "~" else home)


def model_folder(name: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of a downloaded model; it exists only once the download is complete."""
    return cache_folder(environ) / "models" / name


def prompts_folder() -> Path:
    """Return the folder of all cached text embeddings."""
    return cache_folder() / "prompts"


def prompt_file(folder: Path, identity: str, cleaned: str) -> Path:
    """Return the file of a cleaned prompt's embeddings.

    `identity` stands for the text encoder, its tokenizer and the prompt's maximal length.
    """
    key = hashlib.sha256(f"{identity}\0{cleaned}".encode()).hexdigest()
    return folder / f"{key}.safetensors"


def all_prompts_cached(prompts: Iterable[str], identity: str) -> bool:
    """Return whether every prompt's embeddings are cached, so that no text encoder is loaded."""
    folders = (prompts_folder(), PACKAGED_PROMPTS)
    return all(
        any(prompt_file(folder, identity, clean_prompt(prompt)).is_file() for folder in folders)
        for prompt in prompts
    )
