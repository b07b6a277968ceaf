"""Stored tensors of safetensors and `.pth` files, loaded into a module one at a time.

No second copy of the model is held in memory.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from lingbot_cli.checkpoints.headers import DOWNLOAD_AGAIN, ELEMENT_BYTES, TensorEntry
from lingbot_cli.checkpoints.packed import PackedEntry, read_entries
from lingbot_cli.errors import SetupError
from lingbot_cli.model.accel.fp8 import FP8, SCALE_SUFFIX, is_quantised_weight, quantise_weight
from lingbot_cli.model.loading.dequantize import dequantize_rows, swap_nibbles, untile_scales

STORED_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool,
}  # fmt: skip
READ_BYTES = 32 * 2**20
"""Bytes per read, and the only host memory that a load needs beside its target."""


@dataclass(frozen=True)
class LoadProgress:
    """Progress of a load: the part of the model, its bytes read and in total, and seconds since the start."""

    part: str
    done: int
    total: int
    seconds: float


OnLoadProgress = Callable[[LoadProgress], None]


@dataclass
class StoredTensor:
    """A tensor in a file, not yet loaded: its shape, the type of its values and its bytes in the file."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    bytes: int

    def pieces(self) -> Iterator[Tensor]:
        """Yield all values in order, a flat piece at a time; a piece is valid until the next one."""
        raise NotImplementedError

    def write_to(self, target: Tensor) -> None:
        """Copy the values to `target`, which has the same shape, with a cast to its type."""
        flat, first = target.view(-1), 0
        for piece in self.pieces():
            flat[first : first + len(piece)].copy_(piece)
            first += len(piece)


class SafetensorsTensor(StoredTensor):
    """A tensor of a safetensors file, read in pieces."""

    def __init__(self, entry: TensorEntry) -> None:
        super().__init__(entry.shape, STORED_DTYPES[entry.dtype], entry.bytes)
        self.entry = entry

    def pieces(self) -> Iterator[Tensor]:
        width = ELEMENT_BYTES[self.entry.dtype]
        buffer = bytearray(min(READ_BYTES, self.bytes))
        with self.entry.file.open("rb", buffering=0) as source:
            source.seek(self.entry.start)
            for first in range(0, self.entry.elements, READ_BYTES // width):
                count = min(READ_BYTES // width, self.entry.elements - first)
                _read_exactly(source, memoryview(buffer)[: count * width], self.entry)
                yield torch.frombuffer(buffer, dtype=self.dtype, count=count)


class PackedTensor(StoredTensor):
    """A packed weight, unpacked in pieces of whole rows while it is read; `parts`: its stored tensors by name."""

    def __init__(self, entry: PackedEntry) -> None:
        super().__init__(entry.shape, torch.float32, entry.bytes)
        self.entry = entry
        self.parts: dict[str, StoredTensor] = {
            name: SafetensorsTensor(part) for name, part in entry.parts.items()
        }
        if entry.tiled:
            blocks = (entry.shape[0], entry.shape[1] // 16)
            self.parts["data"] = _RearrangedTensor(self.parts["data"], swap_nibbles)
            self.parts["block_scale"] = _RearrangedTensor(self.parts["block_scale"], untile_scales, blocks)

    def pieces(self) -> Iterator[Tensor]:
        stored = {name: torch.empty(part.shape, dtype=part.dtype) for name, part in self.parts.items()}
        for name, part in self.parts.items():
            part.write_to(stored[name])
        rows = self.shape[0]
        columns = self.entry.elements // rows
        if self.entry.scheme == "fp8":
            stored["data"] = stored["data"].view(rows, columns)
        step = max(1, READ_BYTES // 4 // columns)
        for first in range(0, rows, step):
            last = min(first + step, rows)
            yield dequantize_rows(self.entry.scheme, stored, (rows, columns), first, last).view(-1)


class _RearrangedTensor(StoredTensor):
    """A stored tensor whose values are put into another order, whole, while it is read."""

    def __init__(
        self, base: StoredTensor, arrange: Callable[..., Tensor], shape: tuple[int, ...] | None = None
    ) -> None:
        super().__init__(shape or base.shape, base.dtype, base.bytes)
        self._base, self._arrange = base, arrange

    def pieces(self) -> Iterator[Tensor]:
        values = torch.empty(self._base.shape, dtype=self.dtype)
        self._base.write_to(values)
        yield self._arrange(values, self.shape).reshape(-1)


class PickledTensor(StoredTensor):
    """A memory-mapped tensor of a `.pth` file."""

    def __init__(self, tensor: Tensor) -> None:
        super().__init__(tuple(tensor.shape), tensor.dtype, tensor.nbytes)
        self.tensor = tensor

    def pieces(self) -> Iterator[Tensor]:
        yield from self.tensor.reshape(-1).split(READ_BYTES // self.tensor.itemsize)


def stored_tensors(part: Path) -> Mapping[str, StoredTensor]:
    """Return every tensor of a part by its name in the file.

    Errors: SetupError for damaged files, and for a `.pth` file that holds anything but tensors.
    """
    if part.suffix == ".pth":
        return {name: PickledTensor(tensor) for name, tensor in _read_pickle(part).items()}
    return {
        name: PackedTensor(entry) if isinstance(entry, PackedEntry) else SafetensorsTensor(entry)
        for name, entry in read_entries(part).items()
    }


def fill_module(
    module: nn.Module,
    tensors: Mapping[str, StoredTensor],
    *,
    part: str,
    device_of: Callable[[str], torch.device],
    dtype_of: Callable[[str], torch.dtype] | None = None,
    report: OnLoadProgress | None = None,
    target_of: Callable[[str], Tensor | None] = lambda _: None,
) -> None:
    """Load the stored tensors into a module on the meta device; both must have the same names and shapes.

    `dtype_of` returns the type of a tensor, by default that of the module. `target_of` returns memory to fill in
    place of a new tensor, None for a new one.
    Errors: SetupError that lists missing, unexpected and misshapen tensors.
    """
    parameters = module.state_dict(keep_vars=True)
    names = _untied_names(parameters)
    wanted = match_tensors(module, tensors, part)
    total, done, started = sum(tensor.bytes for tensor in tensors.values()), 0, time.monotonic()
    filled: dict[str, Tensor] = {}
    for name in wanted:
        target = target_of(name)
        if target is None:
            dtype = wanted[name].dtype if dtype_of is None else dtype_of(name)
            target = torch.empty(wanted[name].shape, dtype=dtype, device=device_of(name))
        tensors[name].write_to(target)
        filled[name] = target
        done += tensors[name].bytes
        if report is not None:
            report(LoadProgress(part, done, total, time.monotonic() - started))
    state = {name: filled[names[id(parameter)]] for name, parameter in parameters.items()}
    module.load_state_dict(state, assign=True)
    module.requires_grad_(False)


def match_tensors(module: nn.Module, tensors: Mapping[str, StoredTensor], part: str) -> dict[str, Tensor]:
    """Return a module's tensors by name, tied ones once, if the stored ones match. Errors: SetupError."""
    parameters = module.state_dict(keep_vars=True)
    names = _untied_names(parameters)
    own = {name: parameter for name, parameter in parameters.items() if names[id(parameter)] == name}
    wanted = {name: tuple(parameter.shape) for name, parameter in own.items()}
    problems = [
        *(f"{name} is missing" for name in wanted if name not in tensors),
        *(f"{name} is unexpected" for name in tensors if name not in wanted),
        *(
            f"{name} is {list(tensors[name].shape)} instead of {list(shape)}"
            for name, shape in wanted.items()
            if name in tensors and tensors[name].shape != shape
        ),
    ]
    if problems:
        more = f"; and {len(problems) - 4} more" if len(problems) > 4 else ""
        raise SetupError(
            f"the {part}'s tensors do not match: {'; '.join(problems[:4])}{more}",
            hint="these files are of another model, or one is missing: check --model and --assets",
        )
    return own


def quantise_stored(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """Replace each linear weight of the blocks by its fp8 values and their scales, quantised while loading."""
    quantised: dict[str, StoredTensor] = {}
    for name, stored in tensors.items():
        if is_quantised_weight(name):
            pair = _QuantisedPair(stored)
            quantised[name] = _QuantisedHalf(stored.shape, FP8, stored.bytes, pair, 0)
            quantised[name + SCALE_SUFFIX] = _QuantisedHalf((stored.shape[0], 1), torch.float32, 0, pair, 1)
        else:
            quantised[name] = stored
    return quantised


@dataclass
class _QuantisedPair:
    """A weight's fp8 values and scales, computed once for both and freed when the second is taken."""

    stored: StoredTensor
    halves: dict[int, Tensor] = field(default_factory=dict)

    def take(self, index: int, device: torch.device) -> Tensor:
        if index not in self.halves:
            weight = torch.empty(self.stored.shape, dtype=self.stored.dtype, device=device)
            self.stored.write_to(weight)
            self.halves = dict(enumerate(quantise_weight(weight)))
        return self.halves.pop(index)


@dataclass
class _QuantisedHalf(StoredTensor):
    """The fp8 values (index 0) or the scales (1) of a weight."""

    pair: _QuantisedPair
    index: int

    def write_to(self, target: Tensor) -> None:
        target.copy_(self.pair.take(self.index, target.device))

    def pieces(self) -> Iterator[Tensor]:
        yield self.pair.take(self.index, torch.device("cpu")).view(-1)


def _untied_names(parameters: Mapping[str, Tensor]) -> dict[int, str]:
    """Return one name per tensor, by id; tied parameters are one tensor."""
    return {id(parameter): name for name, parameter in reversed(list(parameters.items()))}


def _read_exactly(source: object, view: memoryview, entry: TensorEntry) -> None:
    while len(view):
        count = source.readinto(view)  # type: ignore[attr-defined]
        if not count:
            raise SetupError(f"{entry.file} ends within {entry.name}", hint=DOWNLOAD_AGAIN)
        view = view[count:]


def _read_pickle(file: Path) -> dict[str, Tensor]:
    try:
        # Memory-mapped: a page is in memory only while it is copied.
        loaded = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise SetupError(
            f"{file} cannot be loaded safely: it is damaged or holds more than tensors",
            hint="download that file again from the model's publisher; none of its code was run",
        ) from error
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise SetupError(f"{file} holds something other than named tensors")
    return loaded
