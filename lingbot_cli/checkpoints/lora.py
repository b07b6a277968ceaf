"""LoRA files: the changes that they make to a transformer's tensors, found by name and checked by shape; no torch."""

import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lingbot_cli.checkpoints.config_values import is_finite
from lingbot_cli.checkpoints.headers import TensorEntry, read_header, read_json, read_metadata
from lingbot_cli.checkpoints.packed import PREFIXES, Entry
from lingbot_cli.errors import SetupError, UsageError

_DOWN = (".lora_A.weight", ".lora_A.default.weight", ".lora_down.weight", ".lora.down.weight")
_UP = (".lora_B.weight", ".lora_B.default.weight", ".lora_up.weight", ".lora.up.weight")
_DIFFERENCES = {".diff": ".weight", ".diff_b": ".bias", ".diff_m": ".modulation"}
ENDS = (*_DOWN, *_UP, *_DIFFERENCES, ".alpha")
"""Ends of the names in a LoRA: factors, whole differences, and the number that a rank is divided by."""
KOHYA = "lora_unet_"
_PREFIXES = ("base_model.model.", *PREFIXES, "transformer.")
_DIFFUSERS = (
    (r"\.attn1\.", ".self_attn."),
    (r"\.attn2\.", ".cross_attn."),
    (r"\.to_([qkv])$", r".\1"),
    (r"\.to_out\.0$", ".o"),
    (r"\.net\.0\.proj$", ".0"),
    (r"\.net\.2$", ".2"),
    (r"^condition_embedder\.(time|text)_embedder\.linear_1$", r"\1_embedding.0"),
    (r"^condition_embedder\.(time|text)_embedder\.linear_2$", r"\1_embedding.2"),
    (r"^condition_embedder\.time_proj$", "time_projection.1"),
    (r"^proj_out$", "head.head"),
)
"""Layers as diffusers names them → as the transformer does."""


@dataclass(frozen=True)
class TensorChange:
    """An addition to a tensor: `scale` times the product of two factors, up and down, or a whole difference."""

    scale: float
    factors: tuple[TensorEntry, ...]


Changes = Mapping[str, tuple[TensorChange, ...]]
"""Additions by the name of the tensor that they change."""


def parse_lora(text: str) -> tuple[Path, float]:
    """Return the file and the strength of FILE[:STRENGTH]. Errors: UsageError."""
    name, strength = text, 1.0
    if not os.path.exists(os.path.expanduser(text)) and ":" in text:
        name, _, number = text.rpartition(":")
        try:
            strength = float(number)
        except ValueError:
            strength = math.nan
        if not math.isfinite(strength):
            raise UsageError(f"--lora {text}: {number!r} is no strength", hint="write FILE or FILE:0.8")
    path = Path(os.path.expanduser(name))
    inside = sorted(path.glob("*.safetensors")) if os.path.isdir(path) else [path]
    if len(inside) != 1 or not os.path.isfile(inside[0]):
        raise UsageError(f"--lora {text}: no such file", hint="name a LoRA's .safetensors file")
    if inside[0].suffix != ".safetensors":
        raise UsageError(f"--lora {text}: not a .safetensors file", hint="convert it to safetensors")
    return inside[0], strength


def read_loras(texts: Iterable[str], tensors: Mapping[str, Entry], place: Path) -> Changes:
    """Return the changes of LoRAs to the tensors of the model at `place`.

    Errors: UsageError for a missing file, SetupError with the first key that does not fit the model.
    """
    changes: dict[str, tuple[TensorChange, ...]] = {}
    for text in texts:
        file, strength = parse_lora(text)
        for name, added in _read_lora(file, strength, tensors, place).items():
            changes[name] = changes.get(name, ()) + added
    return changes


def lora_files(text: str) -> list[Path]:
    """Return the files that decide what FILE[:STRENGTH] changes: its tensors and PEFT's config beside them."""
    file = parse_lora(text)[0]
    config = file.with_name("adapter_config.json")
    return [file, config] if file.name == "adapter_model.safetensors" and config.is_file() else [file]


def lora_identity(model: str, fingerprints: Iterable[str], changes: Changes) -> str:
    """Return the fingerprint of a model's weights with LoRAs merged, which their scales decide too."""
    scales = [f"{name}:{each.scale!r}" for name, changed in changes.items() for each in changed]
    parts = [model, *fingerprints, *scales]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:32]


def _read_lora(
    file: Path, strength: float, tensors: Mapping[str, Entry], place: Path
) -> dict[str, tuple[TensorChange, ...]]:
    """Return one LoRA's changes of each tensor."""
    header = read_header(file)
    layers = {_flat(name.rpartition(".")[0]): name.rpartition(".")[0] for name in tensors}
    found: dict[str, dict[str, TensorEntry]] = {}
    for key, entry in header.items():
        end = next((end for end in ENDS if key.endswith(end)), None)
        layer = None if end is None else layers.get(_flat(_plain_layer(key.removesuffix(end))))
        kind = "down" if end in _DOWN else "up" if end in _UP else end
        if end is None or kind is None:
            raise _misfit(file, key, place, "is of a kind that is not supported")
        target = f"{layer}{_DIFFERENCES.get(end, '.weight')}".lstrip(".")
        if layer is None or target not in tensors:
            raise _misfit(file, key, place, "changes a layer that the model does not have")
        if kind in found.setdefault(target, {}):
            raise _misfit(file, key, place, "changes a layer that another key changes too")
        found[target][kind] = entry
    if not found:
        raise SetupError(f"{file} holds no tensors", hint="name a LoRA's file")
    settings = _peft_settings(file)
    return {
        name: _changes(file, parts, strength, settings, tensors[name], place) for name, parts in found.items()
    }


def _changes(
    file: Path,
    parts: dict[str, TensorEntry],
    strength: float,
    settings: Mapping[str, Any],
    tensor: Entry,
    place: Path,
) -> tuple[TensorChange, ...]:
    """Return the changes of one tensor, each of its shape."""
    differences = tuple(
        TensorChange(strength, (entry,)) for kind, entry in parts.items() if kind in _DIFFERENCES
    )
    for change in differences:
        if change.factors[0].shape != tensor.shape:
            raise _misshapen(file, change.factors[0], place, tensor)
    if "up" not in parts and "down" not in parts and ".alpha" not in parts:
        return differences
    if "up" not in parts or "down" not in parts:
        raise _misfit(file, next(iter(parts.values())).name, place, "has no counterpart")
    up, down = parts["up"], parts["down"]
    rank = down.shape[0] if down.shape else 0
    if len(tensor.shape) < 2 or not rank or down.elements != rank * math.prod(tensor.shape[1:]):
        raise _misshapen(file, down, place, tensor)
    if up.shape[:2] != (tensor.shape[0], rank) or up.elements != tensor.shape[0] * rank:
        raise _misshapen(file, up, place, tensor)
    alpha = _number(parts[".alpha"]) if ".alpha" in parts else settings.get("lora_alpha", rank)
    scale = strength * alpha / (rank**0.5 if settings.get("use_rslora") else rank)
    if not math.isfinite(scale):
        raise _misfit(file, down.name, place, f"has a scale of {scale}")
    return (*differences, TensorChange(scale, (up, down)))


def _plain_layer(name: str) -> str:
    """Return a layer's name without the prefix of its style, as the transformer names it."""
    if name.startswith(KOHYA):
        return name.removeprefix(KOHYA)
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    for pattern, plain in _DIFFUSERS:
        name = re.sub(pattern, plain, name)
    return name


def _flat(layer: str) -> str:
    """Return a layer's name as kohya's files write it."""
    return layer.replace(".", "_")


def _peft_settings(file: Path) -> Mapping[str, Any]:
    """Return the adapter's settings, from its own metadata or the config beside it; empty where it has none."""
    settings: dict[str, Any] = {}
    if config := lora_files(str(file))[1:]:
        settings = read_json(config[0])
    elif text := read_metadata(file).get("lora_adapter_metadata"):
        try:
            stored = json.loads(text)
            settings = {key.removeprefix("transformer."): value for key, value in stored.items()}
        except (ValueError, AttributeError, TypeError, RecursionError) as problem:
            raise SetupError(f"{file}: its lora_adapter_metadata cannot be read: {problem}") from problem
    unsupported = [key for key in ("alpha_pattern", "use_dora") if settings.get(key)]
    if unsupported or not is_finite(settings.get("lora_alpha", 1)):
        key = unsupported[0] if unsupported else "lora_alpha"
        raise SetupError(f"{file}: its setting {key} is not supported", hint="merge it with its own program")
    return settings


def _number(entry: TensorEntry) -> float:
    """Read a tensor of one number. Errors: SetupError."""
    import numpy as np

    kinds = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"}
    if entry.elements != 1 or entry.dtype not in kinds:
        raise SetupError(f"{entry.file}: {entry.name} is not one number")
    with entry.file.open("rb") as source:
        source.seek(entry.start)
        value = np.frombuffer(source.read(entry.bytes), kinds[entry.dtype])
    if entry.dtype == "BF16":
        value = (value.astype("<u4") << 16).view("<f4")
    return float(value[0])


def _misshapen(file: Path, entry: TensorEntry, place: Path, tensor: Entry) -> SetupError:
    return _misfit(file, entry.name, place, f"is {list(entry.shape)}, its layer {list(tensor.shape)}")


def _misfit(file: Path, key: str, place: Path, reason: str) -> SetupError:
    return SetupError(
        f"--lora {file} does not fit {place}: {key} {reason}",
        hint="use a LoRA that was trained for this model",
    )
