"""Tensors of a checkpoint's part by their plain names, packed weights of GGUF, NVFP4 and scaled fp8 among them."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from lingbot_cli.checkpoints.gguf import is_gguf, read_gguf
from lingbot_cli.checkpoints.headers import TensorEntry, read_metadata, read_shards
from lingbot_cli.checkpoints.layouts import shards
from lingbot_cli.errors import SetupError

PREFIXES = ("model.diffusion_model.", "diffusion_model.")
"""Prefixes of ComfyUI's single files."""
ARCHITECTURES = ("", "wan", "t5", "t5encoder", "umt5")
"""Architectures of GGUF files that can hold a transformer or a text encoder."""
COMFY_QUANT = ".comfy_quant"
"""End of the name of a tensor that holds a layer's settings as JSON, in ComfyUI's packed files."""
_FORMATS = {"U8": ("nvfp4",), "F8_E4M3": ("float8_e4m3fn",), "F8_E5M2": ("float8_e5m2",)}
_HARMLESS_SETTINGS = ("format", "full_precision_matrix_mult", "orig_dtype", "orig_shape")
_TILE_ROWS, _TILE_COLUMNS = 128, 4
_NO_WEIGHTS = (".scale_input", ".input_scale", COMFY_QUANT)
_NO_WEIGHT_NAMES = ("scaled_fp8", "spiece_model")
_MAX_SETTINGS_BYTES = 4096
_PLAIN_GGUF = ("F32", "F16", "BF16")
_FP8 = ("F8_E4M3", "F8_E5M2")


@dataclass(frozen=True)
class PackedEntry:
    """A weight in fewer bits than its type.

    `scheme`: a GGUF type, nvfp4 or fp8. `data` holds the packed values, `scale` a scale for the tensor or one a
    row, `block_scale` one for each block of 16 values (nvfp4). `tiled`: these are in ComfyUI's arrangement, in tiles
    of 128 rows and 4 blocks as cuBLAS takes them, and the upper four bits of a byte are the value of the even column.
    """

    name: str
    scheme: str
    shape: tuple[int, ...]
    data: TensorEntry
    scale: TensorEntry | None = None
    block_scale: TensorEntry | None = None
    tiled: bool = False

    @property
    def elements(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def dtype(self) -> str:
        """Name of the scheme, where a plain tensor has its type."""
        return self.scheme

    @property
    def parts(self) -> dict[str, TensorEntry]:
        """The stored tensors by field name."""
        found = {"data": self.data, "scale": self.scale, "block_scale": self.block_scale}
        return {name: entry for name, entry in found.items() if entry is not None}

    @property
    def bytes(self) -> int:
        """Size in the file, scales included."""
        return sum(entry.bytes for entry in self.parts.values())


Entry = TensorEntry | PackedEntry
_Value = TypeVar("_Value")


def read_entries(part: Path) -> dict[str, Entry]:
    """Return every tensor of a part by its name without ComfyUI's prefix, each packed weight as one.

    Errors: SetupError for damaged files, another architecture, and packings that are not supported.
    """
    if is_gguf(part):
        return _read_gguf_entries(part)
    files, index = shards(part)
    tensors = read_shards(files, index)
    return group_packed(_without_prefix(tensors), _without_prefix(_comfy_settings(files, tensors)))


def group_packed(tensors: Mapping[str, TensorEntry], settings: Mapping[str, Any]) -> dict[str, Entry]:
    """Join packed weights with their scales, and drop markers that are no weights.

    `settings`: ComfyUI's of packed layers, by layer. Errors: SetupError for packings that are not supported.
    """
    entries: dict[str, Entry] = {}
    scales: set[str] = set()
    for name, tensor in tensors.items():
        layer = name.removesuffix(".weight")
        packed = _pack(name, tensor, tensors, settings.get(layer)) if layer != name else None
        entries[name] = packed or tensor
        if packed is not None:
            scales |= {entry.name for part, entry in packed.parts.items() if part != "data"}
    return {
        name: entry
        for name, entry in entries.items()
        if tensors[name].name not in scales
        and not name.endswith(_NO_WEIGHTS)
        and name not in _NO_WEIGHT_NAMES
    }


def packing_of(entries: Iterable[Entry]) -> str | None:
    """Return the scheme of most packed values, None without any."""
    counts: Counter[str] = Counter()
    for entry in entries:
        if isinstance(entry, PackedEntry):
            counts[entry.scheme] += entry.elements
    return counts.most_common(1)[0][0] if counts else None


def _pack(
    name: str, tensor: TensorEntry, tensors: Mapping[str, TensorEntry], settings: Any
) -> PackedEntry | None:
    """Return a packed weight with its scales, None for a plain one; fp8 without scales is a plain, short type."""
    layer = name.removesuffix(".weight")
    if settings is not None and (
        not isinstance(settings, dict)
        or settings.get("format") not in _FORMATS.get(tensor.dtype, ())
        or any(value and key not in _HARMLESS_SETTINGS for key, value in settings.items())
    ):
        raise _unsupported(tensor, f"with the settings {str(settings)[:80]}")
    scale = tensors.get(f"{layer}.scale_weight") or tensors.get(f"{name}_scale")
    if tensor.dtype in _FP8 and scale is not None:
        rows = tensor.shape[:1]
        if scale.shape not in ((), (1,), (1, 1), rows, (*rows, 1)):
            raise SetupError(
                f"{tensor.file}: {scale.name} has shape {list(scale.shape)}, for {list(tensor.shape)}"
            )
        return PackedEntry(name, "fp8", tensor.shape, tensor, scale)
    if not tensor.dtype.startswith(("U", "I")):
        return None
    whole = tensors.get(f"{name}_scale_2")
    if scale is None or whole is None or tensor.dtype != "U8" or len(tensor.shape) != 2:
        raise _unsupported(tensor, f"as {tensor.dtype}")
    count, columns = tensor.shape[0], 2 * tensor.shape[1]
    plain = (count, columns // 16)
    tiles = (-(-count // _TILE_ROWS) * _TILE_ROWS, -(-plain[1] // _TILE_COLUMNS) * _TILE_COLUMNS)
    tiled = settings is not None or scale.shape != plain
    if scale.dtype != "F8_E4M3" or scale.shape != (tiles if tiled else plain) or whole.elements != 1:
        raise SetupError(f"{tensor.file}: {name} has NVFP4 scales of shape {list(scale.shape)} {scale.dtype}")
    return PackedEntry(name, "nvfp4", (count, columns), tensor, whole, scale, tiled)


def _comfy_settings(files: Iterable[Path], tensors: Mapping[str, TensorEntry]) -> dict[str, Any]:
    """Return ComfyUI's settings of packed layers by layer, from the files' metadata and from tensors of JSON.

    Errors: SetupError for settings that cannot be read.
    """
    settings: dict[str, Any] = {}
    try:
        for file in files:
            if text := read_metadata(file).get("_quantization_metadata"):
                settings |= json.loads(text)["layers"]
        for name, tensor in tensors.items():
            if name.endswith(COMFY_QUANT):
                with tensor.file.open("rb") as source:
                    source.seek(tensor.start)
                    text = source.read(min(tensor.bytes, _MAX_SETTINGS_BYTES))
                settings[name.removesuffix(COMFY_QUANT)] = json.loads(text)
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        place = next(iter(files), "")
        raise SetupError(f"{place}: its settings of packed layers cannot be read: {problem}") from problem
    return settings


def _unsupported(tensor: TensorEntry, how: str) -> SetupError:
    return SetupError(
        f"{tensor.file}: {tensor.name} is packed in a way that is not supported, {how}",
        hint="use a file in GGUF, NVFP4 or scaled fp8",
    )


def _without_prefix(tensors: dict[str, _Value]) -> dict[str, _Value]:
    for prefix in PREFIXES:
        if any(name.startswith(prefix) for name in tensors):
            return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _read_gguf_entries(file: Path) -> dict[str, Entry]:
    architecture, tensors = read_gguf(file)
    if architecture not in ARCHITECTURES:
        raise SetupError(
            f"{file}: a GGUF file of the architecture {architecture}, not of a LingBot-World model",
            hint="name a GGUF file of its transformer (wan) or text encoder (t5encoder)",
        )
    entries: dict[str, Entry] = {}
    for full_name, tensor in tensors.items():
        name = next((full_name.removeprefix(p) for p in PREFIXES if full_name.startswith(p)), full_name)
        tensor = replace(tensor, name=name)
        if tensor.dtype not in _PLAIN_GGUF:
            raw = replace(tensor, dtype="U8", shape=(tensor.bytes,))
            entries[name] = PackedEntry(name, tensor.dtype, tensor.shape, raw)
        else:
            entries[name] = tensor
    return entries
