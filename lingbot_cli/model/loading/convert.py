"""Any layout becomes one folder of our own, tensor by tensor, whole or not at all."""

import json
import shutil
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.errors import OutputError, UsageError
from lingbot_cli.model.accel.fp8 import SCALE_SUFFIX, is_quantised_weight, quantise_weight
from lingbot_cli.model.device import PRECISIONS as PRECISIONS
from lingbot_cli.model.loading.load import check_tensors, infer_vae_config, original_vae_names, text_tensors
from lingbot_cli.model.loading.own import write_config
from lingbot_cli.model.loading.tensor_io import STORED_DTYPES, StoredTensor, stored_tensors

DTYPE_NAMES = {dtype: name for name, dtype in STORED_DTYPES.items()}
HeaderRows = list[tuple[str, torch.dtype, tuple[int, ...]]]


def convert(checkpoint: Checkpoint, folder: Path, precision: str, report: Callable[[str], None]) -> None:
    """Write a checkpoint to a new folder in our layout, its transformer in `precision`.

    The VAE keeps float32 (it encodes in it); the text encoder is kept as it is stored. `report` is told each
    file's name. Errors: SetupError, UsageError for a folder that is there, OutputError for a full disk.
    """
    if folder.exists():
        raise UsageError(f"{folder} is there already.", hint="Name a new folder.")
    check_tensors(checkpoint)
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        _write_all(checkpoint, part, precision, report)
        part.replace(folder)
    except OSError as problem:
        raise OutputError(f"{folder} could not be written: {problem}") from problem
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_all(checkpoint: Checkpoint, part: Path, precision: str, report: Callable[[str], None]) -> None:
    layout = checkpoint.layout
    transformer = stored_tensors(layout.transformer)
    vae = original_vae_names(stored_tensors(layout.vae))
    text = text_tensors(checkpoint)
    plain = torch.bfloat16 if precision == "fp8" else PRECISIONS[precision]
    write_tensors(part / "transformer.safetensors", transformer, lambda _: plain, fp8=precision == "fp8")
    report("transformer.safetensors")
    write_tensors(part / "vae.safetensors", vae, lambda _: torch.float32)
    report("vae.safetensors")
    write_tensors(part / "text_encoder.safetensors", text, lambda name: text[name].dtype)
    report("text_encoder.safetensors")
    widths = infer_vae_config(vae)
    shutil.copyfile(layout.tokenizer, part / "tokenizer.json")
    write_config(
        part,
        replace(checkpoint.preset, vae_dim=widths.dim, vae_blocks=widths.num_res_blocks),
        precision=precision,
        trained=checkpoint.trained,
        source=f"{layout.kind}, {checkpoint.identity}",
    )


def write_tensors(
    file: Path,
    tensors: Mapping[str, StoredTensor],
    dtype_of: Callable[[str], torch.dtype],
    *,
    fp8: bool = False,
) -> None:
    """Write a safetensors file with one tensor in memory at a time; with `fp8` the blocks' matrices are scaled
    to eight bits, each with its rows' scales beside it."""
    rows: HeaderRows = []
    for name, tensor in tensors.items():
        if fp8 and is_quantised_weight(name):
            rows += [
                (name, torch.float8_e4m3fn, tensor.shape),
                (name + SCALE_SUFFIX, torch.float32, (tensor.shape[0], 1)),
            ]
        else:
            rows.append((name, dtype_of(name), tensor.shape))
    with file.open("wb") as target:
        target.write(_header(rows))
        for name, stored in tensors.items():
            whole = torch.empty(stored.shape, dtype=dtype_of(name))
            stored.write_to(whole)
            for piece in quantise_weight(whole) if fp8 and is_quantised_weight(name) else (whole,):
                target.write(_raw(piece))


def _header(rows: HeaderRows) -> bytes:
    table, position = {}, 0
    for name, dtype, shape in rows:
        end = position + torch.Size(shape).numel() * dtype.itemsize
        table[name] = {"dtype": DTYPE_NAMES[dtype], "shape": list(shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _raw(tensor: Tensor) -> bytes:
    return tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
