"""What a checkpoint is, read from its configs and headers before anything is loaded; no torch here."""

import os
from dataclasses import dataclass, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from lingbot_cli.checkpoints.cache_dir import model_folder
from lingbot_cli.checkpoints.fingerprint import fingerprint
from lingbot_cli.checkpoints.headers import TensorEntry, read_json, read_shards
from lingbot_cli.checkpoints.layouts import Layout, detect_layout, shards
from lingbot_cli.checkpoints.tensor_names import vae_name
from lingbot_cli.errors import SetupError, UsageError
from lingbot_cli.presets import PRESETS, Preset

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
)
"""What the weights themselves decide; the rest of a preset is how it is run."""

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
"""Names of a preset's fields in the published configs; a later key wins over an earlier one."""


@dataclass(frozen=True)
class Difference:
    """A value that the preset and `said_by` do not share; `used` is the one the run takes."""

    name: str
    preset: Any
    checkpoint: Any
    used: Any
    source: str = "checkpoint"

    def __str__(self) -> str:
        return f"{self.name}: preset {self.preset}, {self.source} {self.checkpoint}; {self.used} is used"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that can be loaded: its files, its settings, and where its own config disagrees.

    `preset` holds the architecture of the weights and the run settings of the published preset.
    `identity` changes when any weight does; `text_identity` when a prompt's rows would.
    `stored` is the type of most of the transformer's weights in its files, as safetensors names it; `fp8` says
    that its blocks are eight bits with scales.
    """

    layout: Layout
    preset: Preset
    differences: tuple[Difference, ...]
    trained: bool
    stored: str
    fp8: bool
    identity: str
    text_identity: str


def find_layout(model: str | Path | None, assets: Path | None = None) -> Layout:
    """The layout of a model given as a folder, a name (fetched before) or nothing (the built-in world).

    Errors: UsageError for an unknown name, SetupError for a model that is not here or not whole.
    """
    if model is None or model == "built-in":
        return detect_layout(Path(str(files("lingbot_cli.builtin"))), assets)
    check_name(model)
    folder = Path(os.path.expanduser(model))
    if folder.is_dir():
        return detect_layout(folder, assets)
    kept = model_folder(str(model))
    if not kept.is_dir():
        raise SetupError(
            f"{model} is not on this machine.", hint=f"Fetch it first: lingbot models pull {model}"
        )
    return detect_layout(kept, assets or (kept / "assets" if (kept / "assets").is_dir() else None))


def check_name(model: str | Path) -> None:
    """Raise UsageError unless it is a folder or the name of a model we know."""
    if not Path(os.path.expanduser(model)).is_dir() and str(model) not in PRESETS:
        raise UsageError(
            f"--model {model} is neither a folder nor a model we know.", hint=f"Known: {', '.join(PRESETS)}."
        )


def read_checkpoint(model: str | Path | None, assets: Path | None = None) -> Checkpoint:
    """Everything about a model that can be said without loading it.

    Errors: those of `find`; SetupError for damaged files or a config that contradicts its own tensors.
    """
    layout = find_layout(model, assets)
    config = read_json(layout.config) if layout.config is not None else {}
    tensors = read_shards(*shards(layout.transformer))
    base = _base_preset(layout, config)
    seen = _tensor_values(tensors, layout) | _control_kind(tensors)
    said = _config_values(config)
    for name, value in said.items():
        if name in seen and seen[name] != value:
            raise SetupError(
                f"{layout.config} says {name} {value}, and the tensors beside it have {seen[name]}.",
                hint="The config belongs to another model: fetch it again.",
            )
    settings = {} if layout.kind != "lingbot" else {k: v for k, v in said.items() if k not in ARCHITECTURE}
    heads = said.get("heads", base.heads)
    if not isinstance(heads, int) or heads < 1 or seen["dim"] % heads:
        raise SetupError(
            f"{layout.root}: {heads} heads cannot share the transformer's width of {seen['dim']}."
        )
    actual = replace(base, **{k: v for k, v in (said | seen).items() if k in ARCHITECTURE}, **settings)
    differences = tuple(
        Difference(name, getattr(base, name), value, getattr(actual, name))
        for name, value in (said | seen).items()
        if getattr(base, name) != value
    )
    parts = [file for part in (layout.transformer, layout.vae) for file in part_files(part)]
    text = fingerprint([*part_files(layout.text), layout.tokenizer])
    return Checkpoint(
        layout=layout,
        preset=actual,
        differences=differences,
        trained=bool(config.get("trained", True)),
        stored=max(tensors.values(), key=lambda entry: entry.elements).dtype,
        fp8=any(name.endswith(".weight_scale") for name in tensors),
        identity=fingerprint(parts),
        text_identity=f"{text}-{actual.text_len}",
    )


def part_files(part: Path) -> list[Path]:
    """The files that hold a part's tensors."""
    return [part] if part.is_file() else shards(part)[0]


def _base_preset(layout: Layout, config: dict[str, Any]) -> Preset:
    """The preset a folder belongs to: its layout's, the one its config names, or the nearest by shape."""
    name = layout.preset or config.get("preset")
    if name is not None:
        if name not in PRESETS:
            raise SetupError(f"{layout.config} names the preset {name}, which is none of ours.")
        return PRESETS[name]
    said = _config_values(config)
    published = [preset for preset in PRESETS.values() if preset.name != "built-in"]
    keys = ("chunk", "dim", "layers", "sink")
    return max(published, key=lambda preset: [getattr(preset, key) == said.get(key) for key in keys])


def _config_values(config: dict[str, Any]) -> dict[str, Any]:
    said = {field: config[key] for key, field in CONFIG_FIELDS.items() if config.get(key) is not None}
    if "attention_head_dim" in config and "heads" in said:
        said["dim"] = said["heads"] * config["attention_head_dim"]
    names = {field.name for field in fields(Preset)}
    said |= {key: value for key, value in config.get("settings", {}).items() if key in names}
    if "steps" in said:
        said["steps"] = tuple(said["steps"])
    return said


def _tensor_values(tensors: dict[str, TensorEntry], layout: Layout) -> dict[str, Any]:
    """What the shapes of the transformer's and, where its files have headers, the VAE's tensors say."""
    try:
        seen: dict[str, Any] = {
            "dim": tensors["patch_embedding.weight"].shape[0],
            "ffn": tensors["blocks.0.ffn.0.weight"].shape[0],
            "layers": sum(name.endswith(".ffn.0.weight") for name in tensors),
            "text_dim": tensors["text_embedding.0.weight"].shape[1],
            "freq_dim": tensors["time_embedding.0.weight"].shape[1],
        }
    except (KeyError, IndexError) as lack:
        raise SetupError(
            f"{layout.transformer} holds no LingBot world: {lack} is not as it should be.",
            hint="Name the folder of a whole model.",
        ) from lack
    if layout.vae.suffix == ".pth":
        return seen
    vae = {vae_name(name): entry for name, entry in read_shards(*shards(layout.vae)).items()}
    if "encoder.conv1.weight" not in vae:
        raise SetupError(f"{layout.vae} holds no Wan VAE: encoder.conv1.weight is missing.")
    blocks = sum(
        name.startswith("encoder.downsamples.") and name.endswith("residual.2.weight") for name in vae
    )
    return seen | {"vae_dim": vae["encoder.conv1.weight"].shape[0], "vae_blocks": blocks // 4}


def _control_kind(tensors: dict[str, TensorEntry]) -> dict[str, Any]:
    projection = tensors.get("patch_embedding_wancamctrl.weight")
    channels = projection.shape[-1] if projection else 0
    kinds = {4 * 384: "cam", 4 * 448: "act"}
    if channels not in kinds:
        raise SetupError(f"This transformer takes {channels} control channels; {list(kinds)} are known.")
    return {"control": kinds[channels]}
