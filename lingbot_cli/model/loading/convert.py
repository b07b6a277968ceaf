"""Our own layout: one folder with a safetensors file per part and `lingbot.json`; conversion of any other layout."""

import json
import shutil
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from lingbot_cli.checkpoints.checkpoint import Checkpoint
from lingbot_cli.checkpoints.layouts import GGUF_TRANSFORMER
from lingbot_cli.errors import UsageError, write_errors
from lingbot_cli.model.accel.fp8 import SCALE_SUFFIX, is_quantised_weight, quantise_weight
from lingbot_cli.model.device import PRECISIONS
from lingbot_cli.model.loading.load_text import text_tensors
from lingbot_cli.model.loading.load_vae import infer_vae_config, vae_tensors
from lingbot_cli.model.loading.loader import check_tensors
from lingbot_cli.model.loading.merge import transformer_tensors
from lingbot_cli.model.loading.tensor_io import STORED_DTYPES, PackedTensor, StoredTensor
from lingbot_cli.model.loading.write_gguf import raw_bytes, write_gguf
from lingbot_cli.presets import Preset

FORMAT_VERSION = 1
GGUF_TYPES = {"gguf-q8": "Q8_0", "gguf-q4": "Q4_0"}
DTYPE_NAMES = {dtype: name for name, dtype in STORED_DTYPES.items()}
HeaderRows = list[tuple[str, torch.dtype, tuple[int, ...]]]


def convert(checkpoint: Checkpoint, folder: Path, precision: str, report: Callable[[str], None]) -> None:
    """Write a checkpoint to a new folder in our layout, its transformer in `precision`, or as gguf-q8 or gguf-q4.

    The VAE is written in float32, in which it encodes, the text encoder in its stored type. `report` receives
    each file's name. Errors: SetupError, UsageError for an existing folder, OutputError for a full disk.
    """
    if folder.exists():
        raise UsageError(f"{folder} exists already", hint="choose another name")
    check_tensors(checkpoint)
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with write_errors(folder):
            part.mkdir(parents=True)
            _write_parts(checkpoint, part, precision, report)
            part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_parts(checkpoint: Checkpoint, folder: Path, precision: str, report: Callable[[str], None]) -> None:
    layout = checkpoint.layout
    transformer = transformer_tensors(checkpoint)
    vae = vae_tensors(checkpoint)
    text = text_tensors(checkpoint)
    if precision in GGUF_TYPES:
        write_gguf(folder / GGUF_TRANSFORMER, transformer, GGUF_TYPES[precision])
        report(GGUF_TRANSFORMER)
    else:
        plain = torch.bfloat16 if precision == "fp8" else PRECISIONS[precision]
        write_tensors(
            folder / "transformer.safetensors", transformer, lambda _: plain, fp8=precision == "fp8"
        )
        report("transformer.safetensors")
    write_tensors(folder / "vae.safetensors", vae, lambda _: torch.float32)
    report("vae.safetensors")
    packed = {name for name, tensor in text.items() if isinstance(tensor, PackedTensor)}
    write_tensors(
        folder / "text_encoder.safetensors",
        text,
        lambda name: torch.bfloat16 if name in packed else text[name].dtype,
    )
    report("text_encoder.safetensors")
    widths = infer_vae_config(vae)
    shutil.copyfile(layout.tokenizer, folder / "tokenizer.json")
    write_config(
        folder,
        replace(
            checkpoint.preset,
            vae_dim=widths.dim,
            vae_blocks=widths.num_res_blocks,
            vae_mult=widths.dim_mult,
        ),
        precision=precision,
        trained=checkpoint.trained,
        source=f"{layout.kind}, {checkpoint.identity}",
    )


def write_config(folder: Path, preset: Preset, *, precision: str, trained: bool, source: str) -> None:
    """Write `lingbot.json`: the preset's name and every setting of the model."""
    config = {
        "format": FORMAT_VERSION,
        "preset": preset.name,
        "precision": precision,
        "trained": trained,
        "licence": preset.licence,
        "source": source,
        "settings": asdict(preset),
    }
    (folder / "lingbot.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def write_model(
    folder: Path,
    preset: Preset,
    *,
    transformer: Mapping[str, Tensor],
    vae: Mapping[str, Tensor],
    text: Mapping[str, Tensor],
    tokenizer: str,
    precision: str,
    trained: bool,
    source: str,
) -> None:
    """Write a small model in our layout from tensors under their original names, the text encoder's under UMT5's.

    `tokenizer` is the JSON of a tokenizer of the tokenizers library.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for part, tensors in (("transformer", transformer), ("vae", vae), ("text_encoder", text)):
        file = folder / f"{part}.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
        file.chmod(0o644)
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    write_config(folder, preset, precision=precision, trained=trained, source=source)


def write_tensors(
    file: Path,
    tensors: Mapping[str, StoredTensor],
    dtype_of: Callable[[str], torch.dtype],
    *,
    fp8: bool = False,
) -> None:
    """Write a safetensors file with one tensor in memory at a time.

    With `fp8` the blocks' linear weights are quantised, and their scales are written after them.
    """
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
            values = torch.empty(stored.shape, dtype=dtype_of(name))
            stored.write_to(values)
            for piece in quantise_weight(values) if fp8 and is_quantised_weight(name) else (values,):
                target.write(raw_bytes(piece))


def _header(rows: HeaderRows) -> bytes:
    table, position = {}, 0
    for name, dtype, shape in rows:
        end = position + torch.Size(shape).numel() * dtype.itemsize
        table[name] = {"dtype": DTYPE_NAMES[dtype], "shape": list(shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text
