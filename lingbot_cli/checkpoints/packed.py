"""Tensors of a checkpoint's part by their plain names, packed weights of GGUF, NVFP4 and scaled fp8 among them."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lingbot_cli.checkpoints.gguf import is_gguf, read_gguf
from lingbot_cli.checkpoints.headers import TensorEntry, read_shards
from lingbot_cli.checkpoints.layouts import shards
from lingbot_cli.errors import SetupError

PREFIXES = ("model.diffusion_model.", "diffusion_model.")
"""Prefixes of ComfyUI's single files."""
ARCHITECTURES = ("", "wan", "t5", "t5encoder", "umt5")
"""Architectures of GGUF files that can hold a transformer or a text encoder."""
_NO_WEIGHTS = (".scale_input", ".input_scale", ".comfy_quant")
_NO_WEIGHT_NAMES = ("scaled_fp8", "spiece_model")
_PLAIN_GGUF = ("F32", "F16", "BF16")
_FP8 = ("F8_E4M3", "F8_E5M2")


@dataclass(frozen=True)
class PackedEntry:
    """A weight in fewer bits than its type.

    `scheme`: a GGUF type, nvfp4 or fp8. `data` holds the packed values, `scale` a scale for the tensor or one a
    row, `block_scale` one for each block of 16 values (nvfp4).
    """

    name: str
    scheme: str
    shape: tuple[int, ...]
    data: TensorEntry
    scale: TensorEntry | None = None
    block_scale: TensorEntry | None = None

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
        return sum(entry.end - entry.start for entry in self.parts.values())


Entry = TensorEntry | PackedEntry


def read_entries(part: Path) -> dict[str, Entry]:
    """Return every tensor of a part by its name without ComfyUI's prefix, each packed weight as one.

    Errors: SetupError for damaged files, another architecture, and packings that are not supported.
    """
    if is_gguf(part):
        return _read_gguf_entries(part)
    return group_packed(_without_prefix(read_shards(*shards(part))))


def group_packed(tensors: Mapping[str, TensorEntry]) -> dict[str, Entry]:
    """Join packed weights with their scales, and drop markers that are no weights."""
    entries: dict[str, Entry] = {}
    scales: set[str] = set()
    for name, tensor in tensors.items():
        packed = _pack(name, tensor, tensors) if name.endswith(".weight") else None
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


def entry_bytes(entry: Entry) -> int:
    """Return an entry's size in its file."""
    return entry.bytes if isinstance(entry, PackedEntry) else entry.end - entry.start


def _pack(name: str, tensor: TensorEntry, tensors: Mapping[str, TensorEntry]) -> PackedEntry | None:
    """Return a packed weight with its scales, None for a plain one; fp8 without scales is a plain, short type."""
    stem = name.removesuffix(".weight")
    scale = tensors.get(f"{stem}.scale_weight") or tensors.get(f"{name}_scale")
    if tensor.dtype in _FP8 and scale is not None:
        _check_scale(tensor, scale)
        return PackedEntry(name, "fp8", tensor.shape, tensor, scale)
    whole = tensors.get(f"{name}_scale_2")
    if tensor.dtype != "U8" or scale is None:
        return None
    if whole is None or f"{stem}.comfy_quant" in tensors:
        raise SetupError(
            f"{tensor.file}: {name} is packed in a way that is not supported",
            hint="use a file in GGUF, scaled fp8, or NVFP4 with weight_scale and weight_scale_2 in rows",
        )
    rows, columns = tensor.shape[0], 2 * tensor.shape[1] if len(tensor.shape) == 2 else 0
    if scale.dtype != "F8_E4M3" or scale.shape != (rows, columns // 16) or whole.elements != 1:
        raise SetupError(f"{tensor.file}: {name} has NVFP4 scales of shape {list(scale.shape)} {scale.dtype}")
    return PackedEntry(name, "nvfp4", (rows, columns), tensor, whole, scale)


def _check_scale(tensor: TensorEntry, scale: TensorEntry) -> None:
    rows = tensor.shape[:1]
    if scale.shape not in ((), (1,), (1, 1), rows, (*rows, 1)):
        raise SetupError(
            f"{tensor.file}: {scale.name} has shape {list(scale.shape)}, for {list(tensor.shape)}"
        )


def _without_prefix(tensors: dict[str, TensorEntry]) -> dict[str, TensorEntry]:
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
            raw = replace(tensor, dtype="U8", shape=(tensor.end - tensor.start,))
            entries[name] = PackedEntry(name, tensor.dtype, tensor.shape, raw)
        else:
            entries[name] = tensor
    return entries
