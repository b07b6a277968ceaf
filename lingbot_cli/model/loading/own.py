"""Our own layout: one folder, one safetensors file a part, one `lingbot.json` that says what they are."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from lingbot_cli.presets import Preset

FORMAT_VERSION = 1


def write_config(folder: Path, preset: Preset, *, precision: str, trained: bool, source: str) -> None:
    """Write `lingbot.json`: the preset by name and every value the folder runs with."""
    config = {
        "format": FORMAT_VERSION,
        "preset": preset.name,
        "precision": precision,
        "trained": trained,
        "licence": preset.licence,
        "source": source,
        "settings": asdict(preset),
    }
    (folder / "lingbot.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def write_model(
    folder: Path,
    preset: Preset,
    *,
    transformer: Mapping[str, Tensor],
    vae: Mapping[str, Tensor],
    text: Mapping[str, Tensor],
    tokenizer: str,
    precision: str,
    trained: bool,
    source: str,
) -> None:
    """Write a small world in our layout; the names are the original ones, the text encoder's UMT5's.

    `tokenizer` is the JSON of a tokenizer of the tokenizers library.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for part, tensors in (("transformer", transformer), ("vae", vae), ("text_encoder", text)):
        file = folder / f"{part}.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
        file.chmod(0o644)
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    write_config(folder, preset, precision=precision, trained=trained, source=source)
