"""Headers of safetensors files, read and checked without torch and without reading a tensor."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lingbot_cli.checkpoints.other_models import is_lfs_pointer
from lingbot_cli.errors import SetupError

ELEMENT_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
MAX_HEADER_BYTES = 100_000_000
"""Most bytes of JSON in a header; the same limit as in the safetensors library."""

DOWNLOAD_AGAIN = "download that file again"


@dataclass(frozen=True)
class TensorEntry:
    """One tensor's name, type, shape and place: `start` and `end` are byte offsets in `file`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    end: int

    @property
    def elements(self) -> int:
        """The number of values in the tensor."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size in the file."""
        return self.end - self.start


def read_header(file: Path) -> dict[str, TensorEntry]:
    """Return every tensor of one safetensors file by name.

    Errors: SetupError for a truncated file, overlapping tensors or any other format.
    """
    table, start = _read_table(file)
    table.pop("__metadata__", None)
    entries = {name: _entry(file, name, row, start) for name, row in table.items()}
    position = start
    for entry in sorted(entries.values(), key=lambda entry: entry.start):
        if entry.start != position:
            raise _damaged(file, f"{entry.name} does not start where the tensor before it ends")
        position = entry.end
    if position != (size := file.stat().st_size):
        raise _damaged(file, f"its header promises {position:,} bytes, the file has {size:,}")
    return entries


def read_metadata(file: Path) -> dict[str, Any]:
    """Return the metadata of a safetensors file, by key. Errors: those of `read_header`."""
    metadata = _read_table(file)[0].get("__metadata__", {})
    return metadata if isinstance(metadata, dict) else {}


def _read_table(file: Path) -> tuple[dict[str, Any], int]:
    """Return the header's table, and the offset of the first tensor."""
    size = file.stat().st_size
    if is_lfs_pointer(file):
        raise SetupError(f"{file} is a Git LFS pointer, not the file itself", hint="run: git lfs pull")
    with file.open("rb") as source:
        length = int.from_bytes(source.read(8), "little")
        if size < 8 or length > min(MAX_HEADER_BYTES, size - 8):
            raise _damaged(file, "its header reaches past the end of the file")
        try:
            table = json.loads(source.read(length))
        except (ValueError, RecursionError) as problem:
            raise _damaged(file, "its header is not JSON") from problem
    if not isinstance(table, dict):
        raise _damaged(file, "its header is not a table")
    return table, 8 + length


def read_shards(files: list[Path], index: Path | None = None) -> dict[str, TensorEntry]:
    """Return every tensor of several files by name, checked against the index if there is one.

    Errors: SetupError for a missing shard and a duplicate or misplaced tensor.
    """
    if index is not None:
        files = _indexed_files(index)
    entries: dict[str, TensorEntry] = {}
    for file in files:
        for name, entry in read_header(file).items():
            if name in entries:
                raise SetupError(
                    f"{file.parent}: {name} is both in {entries[name].file.name} and in {file.name}"
                )
            entries[name] = entry
    if index is not None:
        for name, file_name in _weight_map(index).items():
            if name not in entries or entries[name].file.name != file_name:
                raise SetupError(f"{index} lists {name} in {file_name}, which does not hold it")
    return entries


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON file whose top level is an object. Errors: SetupError."""
    if file.stat().st_size > MAX_HEADER_BYTES:
        raise SetupError(f"{file} is too large for a JSON file of a checkpoint")
    try:
        table = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as problem:
        raise SetupError(f"{file} is not JSON: {problem}", hint=DOWNLOAD_AGAIN) from problem
    if not isinstance(table, dict):
        raise SetupError(f"{file} holds no JSON object", hint=DOWNLOAD_AGAIN)
    return table


def _weight_map(index: Path) -> dict[str, str]:
    table = read_json(index).get("weight_map")
    if not isinstance(table, dict) or not all(isinstance(name, str) for name in table.values()):
        raise SetupError(f"{index} has no weight_map", hint=DOWNLOAD_AGAIN)
    return table


def _indexed_files(index: Path) -> list[Path]:
    names = sorted(set(_weight_map(index).values()))
    for name in names:
        if name != Path(name).name:
            raise SetupError(f"{index} names a shard outside its folder: {name}")
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise SetupError(
            f"{index.parent} lacks {', '.join(missing)}, which its index names",
            hint="download the missing files; `lingbot models pull` downloads only those",
        )
    return [index.parent / name for name in names]


def _entry(file: Path, name: str, row: object, base: int) -> TensorEntry:
    try:
        dtype, shape, (start, end) = row["dtype"], tuple(row["shape"]), row["data_offsets"]  # type: ignore[index]
        entry = TensorEntry(name, dtype, shape, file, base + start, base + end)
        valid = ELEMENT_BYTES[dtype] * entry.elements == end - start and min((start, *shape), default=0) >= 0
    except (TypeError, KeyError, ValueError) as problem:
        raise _damaged(file, f"its entry for {name} cannot be read") from problem
    if not valid:
        raise _damaged(file, f"{name} has the shape {list(shape)} and {end - start} bytes")
    return entry


def _damaged(file: Path, reason: str) -> SetupError:
    return SetupError(f"{file} is damaged: {reason}", hint=DOWNLOAD_AGAIN)
