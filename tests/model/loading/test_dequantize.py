"""Dequantisation against the published `gguf` package and plain formulas."""

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind

from lingbot_cli.checkpoints.gguf import TYPES, read_gguf
from lingbot_cli.model.loading.dequantize import dequantize, nvfp4, packed_bytes

QUANTISED = [name for name, values, _ in TYPES.values() if values > 1]


@pytest.mark.parametrize("name", QUANTISED)
def test_blocks_equal_the_package_for_random_bytes(name):
    _, values, width = next(row for row in TYPES.values() if row[0] == name)
    rng = np.random.default_rng(7)
    blocks = rng.integers(0, 256, (50, width), dtype=np.uint8)
    theirs = gguf.dequantize(blocks.copy(), Kind[name])
    ours = dequantize(name, torch.from_numpy(blocks).flatten(), (50, values)).numpy()
    finite = np.isfinite(theirs)
    assert finite.mean() > 0.8
    np.testing.assert_allclose(ours[finite], theirs[finite], rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "BF16", "F16", "F32"])
def test_a_file_of_the_package_is_read(name, tmp_path):
    weights = np.random.default_rng(1).normal(size=(6, 64)).astype(np.float32)
    path = tmp_path / "a.gguf"
    writer = gguf.GGUFWriter(path, "wan")
    writer.add_string("general.name", "tiny")
    packed = weights if name == "F32" else gguf.quantize(weights, Kind[name])
    writer.add_tensor("blocks.0.weight", packed, raw_dtype=Kind[name])
    writer.add_tensor("bias", np.arange(3, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    architecture, tensors = read_gguf(path)
    assert architecture == "wan"
    tensor = tensors["blocks.0.weight"]
    assert (tensor.dtype, tensor.shape) == (name, (6, 64))
    assert tensor.end - tensor.start == packed_bytes(name, (6, 64))
    data = torch.frombuffer(bytearray(path.read_bytes()[tensor.start : tensor.end]), dtype=torch.uint8)
    theirs = gguf.dequantize(packed, Kind[name])
    np.testing.assert_array_equal(dequantize(name, data, (6, 64)).numpy(), theirs)
    assert tensors["bias"].shape == (3,)


def test_nvfp4_is_value_times_block_scale_times_scale():
    weight = torch.tensor([[0x21, 0xF9] * 4], dtype=torch.uint8)
    scales = torch.tensor([[2.0]]).to(torch.float8_e4m3fn)
    # nibbles, low first: 1, 2 -> 0.5, 1.0; 9, 15 -> -0.5, -6.0
    expected = torch.tensor([[0.5, 1.0, -0.5, -6.0] * 4]) * 2.0 * 0.25
    assert torch.equal(nvfp4(weight, scales, torch.tensor(0.25)), expected)
