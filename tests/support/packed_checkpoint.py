"""The tiny checkpoint with its weights packed as others publish them."""

import json
import shutil
from pathlib import Path

import gguf
import numpy as np
import torch
from comfy_kitchen.tensor.nvfp4 import TensorCoreNVFP4Layout
from gguf import GGMLQuantizationType as Kind
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.support.reference import REFERENCE

DIFFUSERS = REFERENCE / "checkpoints" / "diffusers-v1-fast"
COMFY = "model.diffusion_model."


def transformer_tensors() -> dict[str, Tensor]:
    """Return the tiny transformer's tensors."""
    files = sorted((DIFFUSERS / "transformer").glob("*.safetensors"))
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


def text_tensors() -> dict[str, Tensor]:
    """Return the tiny text encoder's tensors under UMT5's names."""
    files = sorted((DIFFUSERS / "text_encoder").glob("*.safetensors"))
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


def is_packed(name: str, tensor: Tensor) -> bool:
    """Return whether a weight is one that a quantiser packs: a matrix of a block."""
    return (
        tensor.ndim == 2
        and ("block" in name or ".blk." in name)
        and name.endswith(".weight")
        and "norm" not in name
    )


def write_gguf(
    file: Path, tensors: dict[str, Tensor], kind: str, architecture: str = "wan"
) -> dict[str, Tensor]:
    """Write a GGUF file by the published package; return the weights that the package reads back."""
    writer = gguf.GGUFWriter(file, architecture)
    read: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        values = tensor.float().numpy()
        if is_packed(name, tensor) and values.shape[-1] % 32 == 0:
            packed = gguf.quantize(values, Kind[kind])
            read[name] = torch.from_numpy(gguf.dequantize(packed, Kind[kind])).view(tensor.shape)
            writer.add_tensor(name, packed, raw_dtype=Kind[kind])
            continue
        read[name] = tensor.float()
        if values.ndim > 4:
            writer.add_array(f"comfy.gguf.orig_shape.{name}", list(values.shape))
            values = values.reshape(values.shape[0], -1)
        writer.add_tensor(name, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return read


def write_scaled_fp8(
    file: Path, tensors: dict[str, Tensor], prefix: str = COMFY, keep: str = ""
) -> dict[str, Tensor]:
    """Write ComfyUI's scaled fp8, one scale a weight, `keep` plain; return the weights by the plain formula."""
    stored: dict[str, Tensor] = {f"{prefix}scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}
    read: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        read[name] = tensor.float()
        stored[prefix + name] = tensor
        if is_packed(name, tensor) and name != keep:
            scale = tensor.float().abs().max() / 448
            stored[prefix + name] = (tensor.float() / scale).to(torch.float8_e4m3fn)
            stored[prefix + name.removesuffix("weight") + "scale_weight"] = scale
            stored[prefix + name.removesuffix("weight") + "scale_input"] = torch.tensor(1.0)
            read[name] = stored[prefix + name].float() * scale
    save_file({name: tensor.contiguous() for name, tensor in stored.items()}, file)
    return read


def write_nvfp4(file: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Write NVFP4 in rows, low bits first; return the weights by the plain formula."""
    levels = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
    stored: dict[str, Tensor] = {}
    read: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        stored[name] = read[name] = tensor.float()
        if is_packed(name, tensor):
            rows, columns = tensor.shape
            blocks = tensor.float().view(rows, columns // 16, 16)
            whole = blocks.abs().max() / (6 * 448)
            scales = (blocks.abs().amax(-1) / 6 / whole).to(torch.float8_e4m3fn)
            unit = scales.float() * whole
            scaled = blocks / unit[..., None].clamp(min=1e-12)
            nearest = (scaled.abs()[..., None] - levels).abs().argmin(-1)
            read[name] = (levels[nearest] * scaled.sign() * unit[..., None]).view(rows, columns)
            bits = (nearest + 8 * (scaled < 0)).to(torch.uint8).view(rows, columns)
            stored[name] = bits[:, ::2] | (bits[:, 1::2] << 4)
            stored[name + "_scale"] = scales
            stored[name + "_scale_2"] = whole
    save_file({name: tensor.contiguous() for name, tensor in stored.items()}, file)
    return read


def write_comfy_nvfp4(file: Path, tensors: dict[str, Tensor], **settings: bool) -> dict[str, Tensor]:
    """Write NVFP4 by ComfyUI's own package; return the weights that the package reads back."""
    stored: dict[str, Tensor] = {}
    read: dict[str, Tensor] = {}
    text = json.dumps({"format": "nvfp4", **settings}).encode()
    for name, tensor in tensors.items():
        stored[COMFY + name] = read[name] = tensor.float()
        if is_packed(name, tensor):
            data, params = TensorCoreNVFP4Layout.quantize(tensor.float())
            read[name] = TensorCoreNVFP4Layout.dequantize(data, params)
            parts = TensorCoreNVFP4Layout.state_dict_tensors(data, params)
            stored |= {f"{COMFY}{name}{end}": part for end, part in parts.items()}
            mark = torch.tensor(list(text), dtype=torch.uint8)
            stored[f"{COMFY}{name.removesuffix('weight')}comfy_quant"] = mark
    save_file({name: tensor.contiguous() for name, tensor in stored.items()}, file)
    return read


def beside_config(folder: Path) -> Path:
    """Make a folder with the transformer's config, for one file beside it; return it."""
    folder.mkdir()
    shutil.copy(DIFFUSERS / "transformer" / "config.json", folder / "config.json")
    return folder
