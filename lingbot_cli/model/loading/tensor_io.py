"""Tensors go from files into a module one by one: no second copy of the model is ever held."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Protocol

import torch
from torch import Tensor, nn

from lingbot_cli.checkpoints.headers import ELEMENT_BYTES, TensorEntry, read_shards
from lingbot_cli.checkpoints.layouts import shards
from lingbot_cli.errors import SetupError

STORED_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool,
}  # fmt: skip
READ_BYTES = 32 * 2**20
"""Bytes read at a time; all the host memory a load needs beside its target."""


@dataclass(frozen=True)
class LoadProgress:
    """How far a load is: bytes of one part's files read, of all of them, and seconds since it began."""

    part: str
    done: int
    total: int
    seconds: float


OnLoadProgress = Callable[[LoadProgress], None]


class StoredTensor(Protocol):
    """A tensor that still lies in a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    @property
    def dtype(self) -> torch.dtype:
        """The type it is stored in."""

    @property
    def bytes(self) -> int:
        """Its size in the file."""

    def write_to(self, target: Tensor) -> None:
        """Fill `target`, of the same shape, casting to its type."""


@dataclass(frozen=True)
class SafetensorsTensor:
    """A tensor in a safetensors file, read piece by piece."""

    entry: TensorEntry

    @property
    def shape(self) -> tuple[int, ...]:
        return self.entry.shape

    @property
    def dtype(self) -> torch.dtype:
        return STORED_DTYPES[self.entry.dtype]

    @property
    def bytes(self) -> int:
        return self.entry.end - self.entry.start

    def write_to(self, target: Tensor) -> None:
        flat = target.view(-1)
        width = ELEMENT_BYTES[self.entry.dtype]
        buffer = bytearray(min(READ_BYTES, self.bytes))
        with self.entry.file.open("rb", buffering=0) as source:
            source.seek(self.entry.start)
            for first in range(0, self.entry.elements, READ_BYTES // width):
                count = min(READ_BYTES // width, self.entry.elements - first)
                _read_exactly(source, memoryview(buffer)[: count * width], self.entry)
                piece = torch.frombuffer(buffer, dtype=self.dtype, count=count)
                flat[first : first + count].copy_(piece)


@dataclass(frozen=True)
class PickledTensor:
    """A tensor of a `.pth` file, mapped and not yet read."""

    tensor: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape)

    @property
    def dtype(self) -> torch.dtype:
        return self.tensor.dtype

    @property
    def bytes(self) -> int:
        return self.tensor.nbytes

    def write_to(self, target: Tensor) -> None:
        target.copy_(self.tensor)


def stored_tensors(part: Path) -> Mapping[str, StoredTensor]:
    """Every tensor of a part, by its name in the file.

    Errors: SetupError for damaged files; a `.pth` that holds anything but tensors is not loaded.
    """
    if part.suffix == ".pth":
        return {name: PickledTensor(tensor) for name, tensor in _read_pickle(part).items()}
    files, index = shards(part)
    return {name: SafetensorsTensor(entry) for name, entry in read_shards(files, index).items()}


def fill_module(
    module: nn.Module,
    tensors: Mapping[str, StoredTensor],
    *,
    part: str,
    device_of: Callable[[str], torch.device],
    dtype_of: Callable[[str], torch.dtype],
    report: OnLoadProgress | None = None,
) -> None:
    """Give a module on the meta device its tensors, which must be exactly the stored ones.

    Errors: SetupError naming what is missing, left over or of another shape.
    """
    places = module.state_dict(keep_vars=True)
    names = _untied_names(places)
    wanted = match_tensors(module, tensors, part)
    total, done, began = sum(tensor.bytes for tensor in tensors.values()), 0, time.monotonic()
    filled: dict[str, Tensor] = {}
    for name in wanted:
        target = torch.empty(wanted[name].shape, dtype=dtype_of(name), device=device_of(name))
        tensors[name].write_to(target)
        filled[name] = target
        done += tensors[name].bytes
        if report is not None:
            report(LoadProgress(part, done, total, time.monotonic() - began))
    module.load_state_dict({name: filled[names[id(place)]] for name, place in places.items()}, assign=True)
    module.requires_grad_(False)


def match_tensors(module: nn.Module, tensors: Mapping[str, StoredTensor], part: str) -> dict[str, Tensor]:
    """A module's own tensors by name, tied ones once, if the stored ones are exactly those. Errors: SetupError."""
    places = module.state_dict(keep_vars=True)
    names = _untied_names(places)
    own = {name: place for name, place in places.items() if names[id(place)] == name}
    wanted = {name: tuple(place.shape) for name, place in own.items()}
    problems = [
        *(f"{name} is missing" for name in wanted if name not in tensors),
        *(f"{name} has no place" for name in tensors if name not in wanted),
        *(
            f"{name} is {list(tensors[name].shape)} and should be {list(shape)}"
            for name, shape in wanted.items()
            if name in tensors and tensors[name].shape != shape
        ),
    ]
    if problems:
        more = f"; and {len(problems) - 4} more" if len(problems) > 4 else ""
        raise SetupError(
            f"The {part}'s tensors do not fit: {'; '.join(problems[:4])}{more}.",
            hint="`lingbot models verify` tells whether the files are whole.",
        )
    return own


def _untied_names(places: Mapping[str, Tensor]) -> dict[int, str]:
    """One name for each tensor, though it be tied to others."""
    return {id(place): name for name, place in reversed(list(places.items()))}


def _read_exactly(source: object, view: memoryview, entry: TensorEntry) -> None:
    while len(view):
        count = source.readinto(view)  # type: ignore[attr-defined]
        if not count:
            raise SetupError(f"{entry.file} ended within {entry.name}.", hint="Fetch that file again.")
        view = view[count:]


def _read_pickle(file: Path) -> dict[str, Tensor]:
    try:
        # Mapped: a page of the file is in memory only while it is copied.
        loaded = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError) as problem:
        raise SetupError(
            f"{file} cannot be loaded safely: it is damaged or holds more than tensors.",
            hint="Fetch that file again from the model's publisher; nothing in it has been run.",
        ) from problem
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise SetupError(f"{file} holds something else than named tensors.")
    return loaded
