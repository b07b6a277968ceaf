"""A checkpoint's settings, architecture and fingerprint, read from configs and headers without loading tensors."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from lingbot_cli.checkpoints.cache_dir import model_folder
from lingbot_cli.checkpoints.config_values import ARCHITECTURE, config_values, scheduler_values, tensor_values
from lingbot_cli.checkpoints.headers import read_json
from lingbot_cli.checkpoints.layouts import Layout, detect_layout, shards
from lingbot_cli.checkpoints.lora import Changes, lora_identity, parse_lora, read_loras
from lingbot_cli.checkpoints.packed import packing_of, read_entries
from lingbot_cli.checkpoints.preset_choice import PresetEvidence, choose_preset
from lingbot_cli.checkpoints.tensor_names import text_name
from lingbot_cli.errors import SetupError, UsageError
from lingbot_cli.files import file_state
from lingbot_cli.presets import DESCRIPTIVE, PRESETS, Preset

FULL_HASH_BYTES = 8 * 2**20
SAMPLE_COUNT = 64
SAMPLE_BYTES = 64 * 2**10


@dataclass(frozen=True)
class Difference:
    """A setting on which the preset and `source` disagree; `used` is the value of the run."""

    name: str
    preset: Any
    checkpoint: Any
    used: Any
    source: str = "checkpoint"

    def __str__(self) -> str:
        return f"{self.name}: preset {self.preset}, {self.source} {self.checkpoint}; {self.used} is used"


@dataclass(frozen=True)
class Checkpoint:
    """A loadable checkpoint: its files, its settings and its config's differences from the preset.

    `preset` holds the weights' architecture and the published preset's run settings.
    `identity` is the weights' fingerprint, `text_identity` that of everything a text embedding depends on.
    `stored` is the safetensors type of most of the transformer's weights; `fp8` says that its blocks are eight
    bits with scales, `packing` names any other scheme in which they stay packed. `block_bytes` are those of packed
    blocks, `text_bytes` those of a packed text encoder. `preset_source` says what decided for the preset.
    `changes` are those of LoRAs, merged while the weights load. `decoder`: a file that decodes in
    place of the VAE, and `decoder_identity` its fingerprint.
    """

    layout: Layout
    preset: Preset
    differences: tuple[Difference, ...]
    trained: bool
    stored: str
    fp8: bool
    identity: str
    text_identity: str
    preset_source: str = ""
    packing: str | None = None
    block_bytes: int | None = None
    text_bytes: int | None = None
    changes: Changes = field(default_factory=dict)
    decoder: Path | None = None
    decoder_identity: str | None = None


def find_layout(
    model: str | Path | None, assets: Path | None = None, text_encoder: Path | None = None
) -> Layout:
    """Return the layout of a model: a folder, a downloaded model's name, or None for the built-in one.

    Errors: UsageError for an unknown name, SetupError for a model that is missing or incomplete.
    """
    if model is None or model == "built-in":
        return detect_layout(Path(str(files("lingbot_cli.builtin"))), assets, text_encoder)
    check_name(model)
    folder = Path(os.path.expanduser(model))
    if folder.is_dir() or folder.is_file():
        return detect_layout(folder, assets, text_encoder)
    if folder.exists():
        raise SetupError(f"--model {model}: neither a file nor a folder", hint="name the folder of a model")
    downloaded = model_folder(str(model))
    if not downloaded.is_dir():
        raise SetupError(f"{model} is not on this machine", hint=f"run: lingbot models pull {model}")
    return detect_layout(
        downloaded,
        assets or (downloaded / "assets" if (downloaded / "assets").is_dir() else None),
        text_encoder,
    )


def absent_checkpoint(name: str) -> Checkpoint:
    """Return a checkpoint of a preset's settings without files: it can be planned with, not loaded."""
    folder = model_folder(name)
    return Checkpoint(
        layout=Layout("absent", folder, name, folder, None, folder, folder, folder),
        preset=PRESETS[name],
        differences=(),
        trained=True,
        stored="F32",
        fp8=False,
        identity="absent",
        text_identity="absent",
    )


def is_absent(model: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether a model is known by name, but not on this machine."""
    return (
        model in PRESETS
        and model != "built-in"
        and not Path(model).exists()
        and not model_folder(model, environ).is_dir()
    )


def check_name(model: str | Path) -> None:
    """Raise UsageError unless `model` is a folder, a file or a known model's name."""
    if not Path(os.path.expanduser(model)).exists() and str(model) not in PRESETS:
        raise UsageError(
            f"--model {model}: neither a folder, a file nor a known model",
            hint=f"known models: {', '.join(PRESETS)}",
        )


def read_checkpoint(
    model: str | Path | None,
    assets: Path | None = None,
    preset: str | None = None,
    text_encoder: Path | None = None,
) -> Checkpoint:
    """Read a model's settings and fingerprints without loading it; `preset` is the one asked for by name.

    `text_encoder`: a file or folder in place of the model's own.

    Errors: those of `find_layout` and `choose_preset`; SetupError for damaged files or a config that contradicts
    its own tensors.
    """
    layout = find_layout(model, assets, text_encoder)
    config = read_json(layout.config) if layout.config is not None else {}
    tensors = read_entries(layout.transformer)
    configured = config_values(config, layout.config)
    if layout.kind == "diffusers":
        configured |= scheduler_values(layout.root)
    stored = tensor_values(tensors, layout)
    base, preset_source = choose_preset(_preset_evidence(model, layout, config, configured, stored), preset)
    if preset is not None and layout.kind == "lingbot" and config.get("preset") != preset:
        configured = {name: value for name, value in configured.items() if name in ARCHITECTURE}
    _check_config(layout, configured, stored, configured.get("heads", base.heads))
    actual = replace(base, **_used_values(layout, configured, stored))
    differences = tuple(
        Difference(name, getattr(base, name), value, getattr(actual, name))
        for name, value in (configured | stored).items()
        if getattr(base, name) != value and name not in DESCRIPTIVE
    )
    blocks = [entry for name, entry in tensors.items() if name.startswith("blocks.")]
    packing = packing_of(blocks)
    parts = [file for part in (layout.transformer, layout.vae) for file in part_files(part)]
    text = fingerprint([*part_files(layout.text), layout.tokenizer])
    return Checkpoint(
        layout=layout,
        preset=actual,
        differences=differences,
        trained=bool(config.get("trained", True)),
        stored=packing or max(tensors.values(), key=lambda entry: entry.elements).dtype,
        fp8=packing == "fp8",
        packing=None if packing == "fp8" else packing,
        block_bytes=None if packing is None else sum(entry.bytes for entry in blocks),
        text_bytes=_packed_text_bytes(layout.text),
        identity=fingerprint(parts),
        text_identity=f"{text}-{actual.text_len}",
        preset_source=preset_source,
    )


def with_loras(checkpoint: Checkpoint, loras: tuple[str, ...]) -> Checkpoint:
    """Return the checkpoint with LoRAs, each FILE[:STRENGTH], among its changes and in its fingerprint.

    Errors: those of `read_loras`.
    """
    if not loras:
        return checkpoint
    place = checkpoint.layout.transformer
    changes = read_loras(loras, read_entries(place), place)
    fingerprints = [fingerprint([parse_lora(text)[0]]) for text in loras]
    factors = sum(
        4 * factor.elements
        for name, changed in changes.items()
        for change in changed
        for factor in change.factors
        if name.startswith("blocks.")
    )
    packed = checkpoint.block_bytes
    return replace(
        checkpoint,
        changes=changes,
        identity=lora_identity(checkpoint.identity, fingerprints, changes),
        block_bytes=None if packed is None else packed + factors * (checkpoint.packing is not None),
    )


def part_files(part: Path) -> list[Path]:
    """Return the files that hold a part's tensors."""
    return [part] if part.is_file() else shards(part)[0]


def fingerprint(files: list[Path]) -> str:
    """Hash the names, sizes and contents of files to 32 hexadecimal digits, within seconds at any size.

    A file of up to 8 MiB counts whole, a larger one by 64 evenly spread samples that include its header. This
    distinguishes models; `lingbot models verify` compares every byte. Files that have not changed are not read
    again.
    """
    return _fingerprint(tuple(files), tuple(map(file_state, files)))


@lru_cache(maxsize=64)
def _fingerprint(files: tuple[Path, ...], _states: object) -> str:
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name}\0{size}\0".encode())
        with file.open("rb") as source:
            if size <= FULL_HASH_BYTES:
                digest.update(source.read())
                continue
            for sample in range(SAMPLE_COUNT):
                source.seek((size - SAMPLE_BYTES) * sample // (SAMPLE_COUNT - 1))
                digest.update(source.read(SAMPLE_BYTES))
    return digest.hexdigest()[:32]


def _check_config(layout: Layout, configured: dict[str, Any], stored: dict[str, Any], heads: object) -> None:
    """Raise SetupError for a config that contradicts the tensors beside it."""
    for name, value in configured.items():
        if name in stored and stored[name] != value:
            raise SetupError(
                f"{layout.config} says {name} {value}, but its tensors have {stored[name]}",
                hint="the config belongs to another model: download it again",
            )
    if not isinstance(heads, int) or heads < 1 or stored["dim"] % heads:
        raise SetupError(
            f"{layout.root}: {heads} heads cannot share the transformer's width of {stored['dim']}"
        )


def _used_values(layout: Layout, configured: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    """Return the values that replace the preset's: the architecture, and in our own layout the run settings."""
    architecture = {key: value for key, value in (configured | stored).items() if key in ARCHITECTURE}
    return configured | architecture if layout.kind == "lingbot" else architecture


def _preset_evidence(
    model: str | Path | None,
    layout: Layout,
    config: dict[str, Any],
    configured: dict[str, Any],
    stored: dict[str, Any],
) -> PresetEvidence:
    """Return what names the preset: a download's own name, the layout, the config; else its settings."""
    settings = dict(configured)
    if config.get("sliding_window_num_frames") is None:
        settings.pop("window", None)  # the originals leave the window to the program that runs them
    if config.get("num_frames_per_block") is None:
        settings.pop("sink", None)
    downloaded = (
        str(model) if str(model) in PRESETS and not Path(os.path.expanduser(str(model))).is_dir() else None
    )
    by_config = config.get("preset")
    named_by = (
        f"downloaded as {downloaded}"
        if downloaded
        else f"layout {layout.kind}"
        if layout.preset
        else str(layout.config)
    )
    return PresetEvidence(
        place=str(layout.root),
        named=by_config or downloaded or layout.preset,
        named_by=str(layout.config) if by_config else named_by,
        settings=settings,
        stored=stored,
    )


def _packed_text_bytes(part: Path) -> int | None:
    """Return the bytes of a packed text encoder, its embeddings as bfloat16; None for a plain one."""
    if part.suffix == ".pth":
        return None
    try:
        entries = read_entries(part)
    except SetupError:
        return None  # reported when it is loaded; cached prompts do not need it
    if packing_of(entries.values()) is None:
        return None
    vocabulary = [entry for name, entry in entries.items() if text_name(name) == "shared.weight"]
    unpacked = sum(2 * entry.elements - entry.bytes for entry in vocabulary)
    return sum(entry.bytes for entry in entries.values()) + unpacked
