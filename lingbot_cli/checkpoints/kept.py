"""Where the rows of prompts that were read before lie; no torch."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from lingbot_cli.checkpoints.cache_dir import cache_folder
from lingbot_cli.prompt_cleaning import clean_prompt


def prompts_folder() -> Path:
    """The folder of all prompts' rows."""
    return cache_folder() / "prompts"


def prompt_file(folder: Path, identity: str, cleaned: str) -> Path:
    """The file of a cleaned prompt's rows; `identity` names the encoder, its tokenizer and the longest prompt."""
    key = hashlib.sha256(f"{identity}\0{cleaned}".encode()).hexdigest()
    return folder / f"{key}.safetensors"


def all_prompts_cached(prompts: Iterable[str], identity: str) -> bool:
    """Whether every one of these prompts was read before, so that no text encoder is loaded."""
    folder = prompts_folder()
    return all(prompt_file(folder, identity, clean_prompt(prompt)).is_file() for prompt in prompts)
