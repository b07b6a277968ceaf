"""Header of a GGUF file: its metadata and the place of every tensor; no torch here.

Layout: the GGUF specification of ggml, versions 2 and 3, little-endian.
"""

import math
import struct
from pathlib import Path
from typing import Any, BinaryIO

from lingbot_cli.checkpoints.headers import TensorEntry
from lingbot_cli.errors import SetupError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_TENSORS, MAX_KEYS, MAX_ITEMS = 100_000, 100_000, 10_000_000
MAX_STRING_BYTES, MAX_HEADER_BYTES, MAX_DIMENSIONS = 64 * 2**20, 256 * 2**20, 8

# Number in files: name, values a block, bytes a block.
TYPES = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    30: ("BF16", 1, 2),
}
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


def is_gguf(file: Path) -> bool:
    """Return whether a file begins as GGUF files do."""
    try:
        with file.open("rb") as source:
            return source.read(4) == MAGIC
    except OSError:
        return False


def read_gguf(file: Path) -> tuple[str, dict[str, TensorEntry]]:
    """Return the architecture that a file names, if any, and its tensors by name, each of a GGUF type.

    Errors: SetupError for a file that is cut short, too large in its counts or of an unknown type.
    """
    size = file.stat().st_size
    with file.open("rb") as source:
        reader = _Reader(file, source, size)
        if reader.bytes(4) != MAGIC:
            raise reader.damaged("it does not begin with GGUF")
        (version,) = reader.take("I")
        if version not in VERSIONS:
            raise SetupError(f"{file}: GGUF version {version}, expected {VERSIONS[0]} or {VERSIONS[1]}")
        count, keys = reader.take("QQ")
        if count > MAX_TENSORS or keys > MAX_KEYS:
            raise reader.damaged(f"its header promises {count:,} tensors and {keys:,} keys")
        metadata = {}
        for _ in range(keys):
            key = reader.string()
            (kind,) = reader.take("I")
            metadata[key] = reader.value(kind)
        rows = [_tensor_row(reader) for _ in range(count)]
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 1 <= alignment <= 2**20:
            raise reader.damaged(f"its alignment is {alignment!r}")
        base = -(-source.tell() // alignment) * alignment
    tensors: dict[str, TensorEntry] = {}
    for name, kind, shape, offset in rows:
        if name in tensors:
            raise reader.damaged(f"{name} is there twice")
        tensors[name] = _placed(reader, name, kind, _original_shape(metadata, name, shape), base + offset)
    return str(metadata.get("general.architecture", "")), tensors


def _tensor_row(reader: "_Reader") -> tuple[str, int, tuple[int, ...], int]:
    name = reader.string()
    (dimensions,) = reader.take("I")
    if dimensions > MAX_DIMENSIONS:
        raise reader.damaged(f"{name} has {dimensions} dimensions")
    shape = tuple(reversed(reader.take(f"{dimensions}Q")))
    kind, offset = reader.take("IQ")
    return name, kind, shape, offset


def _original_shape(metadata: dict[str, Any], name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape before conversion, which ComfyUI's converter stores for tensors of more than 4 axes."""
    stored = metadata.get(f"comfy.gguf.orig_shape.{name}")
    if isinstance(stored, list) and all(isinstance(side, int) for side in stored):
        original = tuple(stored)
        if math.prod(original) == math.prod(shape):
            return original
    return shape


def _placed(reader: "_Reader", name: str, kind: int, shape: tuple[int, ...], start: int) -> TensorEntry:
    """Return a tensor whose bytes lie within the file."""
    if kind not in TYPES:
        raise SetupError(
            f"{reader.file}: {name} has the quantisation type {kind}, which is not supported",
            hint=f"use a file of {', '.join(name for name, _, _ in TYPES.values())}",
        )
    type_name, values, width = TYPES[kind]
    elements = math.prod(shape)
    if elements % values:
        raise reader.damaged(f"{name} of {type_name} has {elements} values, no multiple of {values}")
    end = start + elements // values * width
    if end > reader.size:
        raise reader.damaged(f"{name} reaches past its end")
    return TensorEntry(name, type_name, shape, reader.file, start, end)


class _Reader:
    """Numbers and strings of a header, within the limits of the file."""

    def __init__(self, file: Path, source: BinaryIO, size: int) -> None:
        self.file, self.size, self._source = file, size, source

    def damaged(self, why: str) -> SetupError:
        """Return the error for a file that cannot be what it says."""
        return SetupError(f"{self.file} is damaged: {why}", hint="fetch that file again")

    def bytes(self, count: int) -> bytes:
        """Read exactly `count` bytes."""
        if self._source.tell() + count > min(self.size, MAX_HEADER_BYTES):
            raise self.damaged("it ends within its header")
        return self._source.read(count)

    def take(self, form: str) -> tuple[Any, ...]:
        """Read the numbers of a struct format."""
        return struct.unpack(f"<{form}", self.bytes(struct.calcsize(f"<{form}")))

    def string(self) -> str:
        """Read a string with its length before it."""
        (length,) = self.take("Q")
        if length > MAX_STRING_BYTES:
            raise self.damaged(f"a string of {length:,} bytes")
        return self.bytes(length).decode("utf-8", "replace")

    def value(self, kind: int, depth: int = 0) -> Any:
        """Read a value of a metadata type."""
        if kind in _SCALARS:
            return self.take(_SCALARS[kind])[0]
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY or depth > 2:
            raise self.damaged(f"a value of the unknown type {kind}")
        item, count = self.take("IQ")
        if count > MAX_ITEMS:
            raise self.damaged(f"a list of {count:,} values")
        if item in _SCALARS:
            return list(self.take(f"{count}{_SCALARS[item]}"))
        return [self.value(item, depth + 1) for _ in range(count)]
