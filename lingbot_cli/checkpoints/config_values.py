"""Values of a checkpoint's configs and tensor shapes under the names of the preset's fields, each checked."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from lingbot_cli.checkpoints.headers import DOWNLOAD_AGAIN, read_json, read_shards
from lingbot_cli.checkpoints.layouts import Layout, shards
from lingbot_cli.checkpoints.other_models import other_tensors
from lingbot_cli.checkpoints.packed import Entry
from lingbot_cli.checkpoints.tensor_names import vae_name
from lingbot_cli.errors import SetupError, UsageError
from lingbot_cli.presets import PRESETS, Preset
from lingbot_cli.video_size import parse_size

ARCHITECTURE = (
    "dim",
    "heads",
    "layers",
    "ffn",
    "text_dim",
    "text_len",
    "freq_dim",
    "control",
    "vae_dim",
    "vae_blocks",
    "vae_mult",
)
"""Preset fields that the weights decide; the others are run settings."""

CONFIG_FIELDS = {
    "dim": "dim",
    "num_heads": "heads",
    "num_attention_heads": "heads",
    "num_layers": "layers",
    "ffn_dim": "ffn",
    "text_dim": "text_dim",
    "text_len": "text_len",
    "freq_dim": "freq_dim",
    "control_type": "control",
    "local_attn_size": "window",
    "sliding_window_num_frames": "window",
    "sink_size": "sink",
    "num_frames_per_block": "chunk",
}
"""Published config key → preset field; a later key wins over an earlier one."""

VAE_LEVELS = 4
_LEAST = {"window": -1, "sink": 0}
_MAX_INTEGER = 2**24
_OPTIONAL = ("scene_max_error",)


def config_values(config: Mapping[str, Any], place: Path | None) -> dict[str, Any]:
    """Return a config's values. Errors: SetupError that names `place` and the first value of a wrong type."""
    values = {field: config[key] for key, field in CONFIG_FIELDS.items() if config.get(key) is not None}
    width = config.get("attention_head_dim")
    if width is not None and "heads" in values:
        check_value("attention_head_dim", width, 1, place)
        check_value("heads", values["heads"], 1, place)
        values["dim"] = values["heads"] * width
    names = {field.name for field in fields(Preset)}
    settings = config.get("settings", {})
    if not isinstance(settings, dict):
        raise SetupError(f"{place}: settings is no JSON object", hint=DOWNLOAD_AGAIN)
    values |= {key: value for key, value in settings.items() if key in names}
    for name, value in values.items():
        if name not in _OPTIONAL:
            check_value(name, value, getattr(PRESETS["built-in"], name), place)
        elif value is not None:
            check_value(name, value, 1.0, place)
    for name in ("steps", "sizes", "vae_mult"):
        if name in values:
            values[name] = tuple(values[name])
    return values


def check_value(name: str, value: object, like: object, place: Path | None) -> None:
    """Raise SetupError unless a value has the type of `like` and is in its range."""
    if isinstance(like, str | bool):
        valid = type(value) is type(like)
    elif name == "sizes":
        valid = isinstance(value, list) and all(map(_is_video_size, value))
    elif isinstance(like, tuple):
        least = 0 if name.endswith("steps") else 1
        counts = (VAE_LEVELS,) if name == "vae_mult" else range(1, 1001)
        valid = isinstance(value, list) and len(value) in counts
        valid = valid and all(_is_integer(each, least, 1000) for each in value)  # type: ignore[attr-defined]
    elif isinstance(like, float):
        valid = is_finite(value)
    else:
        valid = _is_integer(value, _LEAST.get(name, 1), _MAX_INTEGER)
    if not valid:
        raise SetupError(f"{place}: {name} is {str(value)[:40]!r}", hint=DOWNLOAD_AGAIN)


def is_finite(value: object) -> bool:
    """Return whether a value is a number that a float can hold, neither NaN nor infinite."""
    try:
        return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]
    except OverflowError:
        return False


def _is_video_size(value: object) -> bool:
    try:
        parse_size(value if isinstance(value, str) else "")
    except UsageError:
        return False
    return True


def _is_integer(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def scheduler_values(root: Path) -> dict[str, Any]:
    """Return shift and steps of a diffusers layout's scheduler, under the names of the preset's fields.

    Steps are published as indices from the schedule's start or as timesteps that fall from 1000. Errors: SetupError
    for a value of a wrong type or out of range.
    """
    file = root / "scheduler" / "scheduler_config.json"
    if not file.is_file():
        return {}
    config = read_json(file)
    values: dict[str, Any] = {}
    shift = config.get("flow_shift", config.get("shift"))
    if shift is not None:
        check_value("shift", shift, 1.0, file)
        values["shift"] = float(shift)
    steps = config.get("dmd_denoising_steps")
    if steps is not None:
        check_value("dmd_denoising_steps", steps, (0,), file)
        values["steps"] = tuple(steps if steps == sorted(steps) else [1000 - step for step in steps])
    return values


def tensor_values(tensors: dict[str, Entry], layout: Layout) -> dict[str, Any]:
    """Return the architecture that tensor shapes imply, of the VAE too unless it is a `.pth` file."""
    try:
        values: dict[str, Any] = {
            "dim": tensors["patch_embedding.weight"].shape[0],
            "ffn": tensors["blocks.0.ffn.0.weight"].shape[0],
            "layers": sum(name.endswith(".ffn.0.weight") for name in tensors),
            "text_dim": tensors["text_embedding.0.weight"].shape[1],
            "freq_dim": tensors["time_embedding.0.weight"].shape[1],
        }
    except (KeyError, IndexError) as error:
        if (other := other_tensors(layout.transformer, tensors)) is not None:
            raise other from error
        raise SetupError(
            f"{layout.transformer} holds no LingBot transformer: {error} is missing or misshapen",
            hint="name the folder of a complete model",
        ) from error
    values["control"] = _control_kind(tensors)
    if layout.vae.suffix == ".pth":
        return values
    vae = {vae_name(name): entry for name, entry in read_shards(*shards(layout.vae)).items()}
    if "encoder.conv1.weight" not in vae:
        raise SetupError(f"{layout.vae} holds no Wan VAE: encoder.conv1.weight is missing")
    widths = level_widths({name: entry.shape for name, entry in vae.items()}, "encoder.downsamples")
    dim, blocks = vae["encoder.conv1.weight"].shape[0], len(widths) // VAE_LEVELS
    values |= {"vae_dim": dim, "vae_blocks": blocks}
    if dim and len(widths) == blocks * VAE_LEVELS > 0:  # else tensors are missing, which loading reports
        values["vae_mult"] = tuple(width // dim for width in widths[::blocks])
    return values


def level_widths(shapes: Mapping[str, Sequence[int]], part: str) -> list[int]:
    """Return the channels after each residual block of the VAE's encoder or decoder, in the order of its layers."""
    widths = [
        (int(name.split(".")[2]), shape[0])
        for name, shape in shapes.items()
        if name.startswith(f"{part}.") and name.endswith(".residual.2.weight")
    ]
    return [width for _, width in sorted(widths)]


def _control_kind(tensors: dict[str, Entry]) -> str:
    projection = tensors.get("patch_embedding_wancamctrl.weight")
    channels = projection.shape[-1] if projection else 0
    kinds = {4 * 384: "cam", 4 * 448: "act"}
    if projection is None:
        raise SetupError(
            "not a LingBot-World model: a Wan transformer without a camera (no patch_embedding_wancamctrl.weight)",
            hint="name a LingBot-World model; `lingbot models list` has their names",
        )
    if channels not in kinds:
        raise SetupError(f"transformer with {channels} control channels: only {list(kinds)} are supported")
    return kinds[channels]
