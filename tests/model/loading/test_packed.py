"""Packed transformers and text encoders load, stay packed, and render what their unpacked weights render."""

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lingbot_cli.checkpoints.checkpoint import read_checkpoint
from lingbot_cli.checkpoints.packed import PackedEntry, read_entries
from lingbot_cli.control import Control
from lingbot_cli.errors import SetupError, UsageError
from lingbot_cli.model.accel.fp8 import Fp8Linear
from lingbot_cli.model.loading import packed_layers
from lingbot_cli.model.loading.dequantize import packed_bytes
from lingbot_cli.model.loading.load_text import load_text_encoder
from lingbot_cli.model.loading.loader import load_model
from lingbot_cli.model.loading.packed_layers import PackedLinear
from lingbot_cli.model.loading.tensor_io import PackedTensor
from lingbot_cli.model.session import Session
from lingbot_cli.model.transformer import Transformer, TransformerConfig
from lingbot_cli.model.world_model import WorldModel
from lingbot_cli.runtime.fast_mode import resolve_model
from lingbot_cli.runtime.memory import MemorySetup, estimate_memory
from lingbot_cli.runtime.model_options import ModelOptions
from tests.support.command import lingbot
from tests.support.packed_checkpoint import (
    DIFFUSERS,
    beside_config,
    text_tensors,
    transformer_tensors,
    write_comfy_nvfp4,
    write_gguf,
    write_nvfp4,
    write_scaled_fp8,
)

V1 = "lingbot-world-fast"


def write(kind: str, folder: Path) -> tuple[Path, dict[str, Tensor]]:
    """Write the tiny transformer packed; return its file and its weights as the packer reads them."""
    beside_config(folder)
    if kind == "nvfp4":
        return folder / "a.safetensors", write_nvfp4(folder / "a.safetensors", transformer_tensors())
    if kind == "comfy nvfp4":
        return folder / "a.safetensors", write_comfy_nvfp4(folder / "a.safetensors", transformer_tensors())
    if kind == "fp8":
        return folder / "a.safetensors", write_scaled_fp8(folder / "a.safetensors", transformer_tensors())
    return folder / "a.gguf", write_gguf(folder / "a.gguf", transformer_tensors(), kind)


def options(**how: object) -> ModelOptions:
    return ModelOptions(assets=DIFFUSERS, preset=V1, **how)  # type: ignore[arg-type]


def latents(world: WorldModel) -> Tensor:
    session = Session(world, np.full((32, 32, 3), 90, np.uint8), height=32, width=32)
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[:, 2, 3] = [0.0, 0.2, 0.4]
    lens = np.tile([400.0, 400.0, 416.0, 240.0], (3, 1))
    return session.denoise(Control(poses, lens, np.zeros((3, 4), np.float32), "a gate", 9))


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q5_1", "nvfp4", "comfy nvfp4", "fp8"])
def test_it_renders_what_its_unpacked_weights_render(kind: str, tmp_path: Path) -> None:
    file, weights = write(kind, tmp_path / "model")
    packed = load_model(file, options())
    plain = beside_config(tmp_path / "plain")
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, plain / "model.safetensors")
    expected = latents(load_model(plain, options(precision="bfloat16" if kind == "fp8" else "float32")))
    tolerance = 0.1 if kind == "fp8" else 3e-4  # fp8 multiplies in bfloat16, scales after the product
    torch.testing.assert_close(latents(packed), expected, atol=tolerance, rtol=tolerance)
    layers = [each for each in packed.transformer.modules() if isinstance(each, PackedLinear)]
    assert len(layers) == (0 if kind == "fp8" else 3 * 14)
    for name, layer in packed.transformer.named_modules():
        if isinstance(layer, PackedLinear):
            torch.testing.assert_close(
                layer.unpack(torch.float32), weights[f"{name}.weight"], rtol=1e-6, atol=0
            )


@pytest.mark.parametrize("kind", ["Q4_K", "Q5_K", "Q6_K", "Q8_0"])
def test_a_weight_is_unpacked_in_pieces_of_rows(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, columns = 7, 512
    bits = np.random.default_rng(3).integers(0, 60, (rows, packed_bytes(kind, (columns,))), dtype=np.uint8)
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "wan")
    writer.add_tensor("a.weight", bits, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    entry = read_entries(tmp_path / "a.gguf")["a.weight"]
    assert isinstance(entry, PackedEntry)
    monkeypatch.setattr(packed_layers, "PIECE_VALUES", 3 * columns)
    layer = PackedLinear(PackedTensor(entry), torch.float32, bias=False).to_empty(device="cpu")
    PackedTensor(entry).parts["data"].write_to(layer.data)
    theirs = torch.from_numpy(gguf.dequantize(bits, gguf.GGMLQuantizationType[kind]))
    torch.testing.assert_close(layer.unpack(torch.float32), theirs, rtol=1e-6, atol=0)
    loaded = torch.empty(rows, columns)
    PackedTensor(entry).write_to(loaded)
    torch.testing.assert_close(loaded, theirs, rtol=1e-6, atol=0)
    x = torch.randn(2, columns)
    torch.testing.assert_close(layer(x), x @ theirs.T, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("kind", ["Q4_0", "nvfp4"])
def test_offload_and_half_precision_take_packed_blocks(kind: str, tmp_path: Path) -> None:
    file, _ = write(kind, tmp_path / "model")
    eager, streamed = load_model(file, options()), load_model(file, options(offload=True))
    assert torch.equal(latents(streamed), latents(eager))
    assert latents(load_model(file, options(precision="bfloat16"))).isfinite().all()


def test_layers_that_stay_in_more_bits_keep_them(tmp_path: Path) -> None:
    file, tensors, kept = (
        beside_config(tmp_path / "model") / "a.safetensors",
        transformer_tensors(),
        "blocks.1.ffn.2",
    )
    write_scaled_fp8(file, tensors, keep=f"{kept}.weight")
    transformer = load_model(file, options()).transformer
    layer = transformer.get_submodule(kept)
    assert type(layer) is torch.nn.Linear
    assert torch.equal(layer.weight, tensors[f"{kept}.weight"].to(torch.bfloat16))
    assert isinstance(transformer.get_submodule("blocks.0.ffn.2"), Fp8Linear)


def test_the_memory_plan_counts_packed_weights(tmp_path: Path) -> None:
    file, _ = write("Q4_0", tmp_path / "model")
    checkpoint = read_checkpoint(file, DIFFUSERS, V1)
    assert checkpoint.packing == "Q4_0"
    blocks = load_model(checkpoint, options()).transformer.blocks
    stored = sum(value.nbytes for value in blocks.state_dict().values())
    assert checkpoint.block_bytes == stored
    setup = MemorySetup(32, 32)
    plain = estimate_memory(checkpoint.preset, setup)
    packed = estimate_memory(checkpoint.preset, MemorySetup(32, 32, block_bytes=checkpoint.block_bytes))
    assert packed.transformer < 0.6 * plain.transformer


def test_packed_weights_are_not_quantised_again(tmp_path: Path) -> None:
    file, _ = write("Q4_0", tmp_path / "model")
    for how in ({"precision": "fp8"}, {"linears": "fp8"}):
        with pytest.raises(UsageError, match="packed as Q4_0"):
            resolve_model(options(model=str(file), **how))


@pytest.mark.parametrize("kind", ["Q8_0", "fp8"])
def test_a_packed_text_encoder_gives_the_rows_of_its_weights(kind: str, tmp_path: Path) -> None:
    tensors = {name: tensor for name, tensor in text_tensors().items() if "embed_tokens" not in name}
    assets = tmp_path / "assets"
    assets.mkdir()
    if kind == "fp8":
        weights = write_scaled_fp8(assets / "umt5_xxl_fp8_e4m3fn_scaled.safetensors", tensors, prefix="")
    else:
        names = {gguf_text_name(name): tensor for name, tensor in tensors.items()}
        read = write_gguf(assets / "umt5-xxl-encoder-Q8_0.gguf", names, kind, "t5encoder")
        weights = {name: read[gguf_text_name(name)] for name in tensors}
    (assets / "tokenizer.json").write_bytes((DIFFUSERS / "tokenizer" / "tokenizer.json").read_bytes())
    (assets / "Wan2.1_VAE.pth").write_bytes(
        (DIFFUSERS.parent / "original-v1-fast" / "Wan2.1_VAE.pth").read_bytes()
    )
    file, _ = write("Q8_0", tmp_path / "model")
    checkpoint = read_checkpoint(file, assets, V1)
    assert checkpoint.text_bytes is not None
    encoder = load_text_encoder(checkpoint, torch.device("cpu"))
    plain = tmp_path / "plain"
    plain.mkdir()
    exact = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in weights.items()}
    save_file(exact, plain / "umt5-bf16.safetensors")
    for name in ("tokenizer.json", "Wan2.1_VAE.pth"):
        (plain / name).write_bytes((assets / name).read_bytes())
    other = load_text_encoder(read_checkpoint(file, plain, V1), torch.device("cpu"))
    torch.testing.assert_close(encoder.encode("a gate"), other.encode("a gate"), atol=0.02, rtol=0.02)
    assert any(isinstance(layer, PackedLinear) for layer in encoder.model.modules())


def test_a_text_encoder_is_named_by_its_file(tmp_path: Path) -> None:
    names = {gguf_text_name(n): t for n, t in text_tensors().items() if "embed_tokens" not in n}
    file = tmp_path / "mine.gguf"
    write_gguf(file, names, "Q8_0", "t5encoder")
    own = read_checkpoint(DIFFUSERS, None, V1)
    checkpoint = read_checkpoint(DIFFUSERS, None, V1, file)
    assert checkpoint.layout.text == file
    assert checkpoint.text_bytes is not None
    assert checkpoint.text_identity != own.text_identity
    assert checkpoint.identity == own.identity
    render = ("render", "samples/courtyard-day.png", "--moves", "w-4", "--size", "32x32", "--device", "cpu")
    flags = ("--model", str(DIFFUSERS), "--preset", V1)
    video = tmp_path / "a.mp4"
    done = lingbot(*render, *flags, "--text-encoder", str(file), "-o", str(video))
    assert done.code == 0, done.stderr
    assert f"--text-encoder {file}" in lingbot("show", str(video)).stdout
    missing = lingbot(*render, *flags, "--text-encoder", "none.gguf", "-o", "null:")
    assert (missing.code, "--text-encoder none.gguf: no such file" in missing.stderr) == (2, True)
    with pytest.raises(SetupError, match="is 48 wide, the transformer reads texts of 64"):
        load_text_encoder(read_checkpoint(None, None, None, file), torch.device("cpu"))


@pytest.mark.parametrize("kind", ["Q4_K", "Q5_K", "Q6_K"])
def test_k_quants_render_a_whole_video(kind: str, tmp_path: Path) -> None:
    """A transformer 256 wide, as K-quants have blocks of 256 values; the package reads what ours is compared with."""
    config = TransformerConfig(256, 8, 2, 512, text_dim=48, text_len=24, freq_dim=64)
    torch.manual_seed(0)
    plain = {
        name: torch.randn(value.shape) * 0.05 for name, value in Transformer(config).state_dict().items()
    }
    draw = np.random.default_rng(0)
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "wan")
    for name, value in plain.items():
        if name.startswith("blocks.") and name.endswith(".weight") and value.ndim == 2:
            data = draw.integers(
                0, 256, (value.shape[0], packed_bytes(kind, value.shape[1:])), dtype=np.uint8
            )
            set_scales(data, kind)
            read = gguf.dequantize(data, gguf.GGMLQuantizationType[kind])
            plain[name] = torch.from_numpy(read).view(value.shape)
            writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType[kind])
            continue
        if value.ndim > 4:
            writer.add_array(f"comfy.gguf.orig_shape.{name}", list(value.shape))
            value = value.flatten(1)
        writer.add_tensor(name, value.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    folder = tmp_path / "plain"
    folder.mkdir()
    save_file(plain, folder / "model.safetensors")
    (tmp_path / "config.json").write_text('{"num_heads": 8, "text_len": 24}')
    (folder / "config.json").write_text('{"num_heads": 8, "text_len": 24}')
    found = []
    for model in (tmp_path / "a.gguf", folder / "model.safetensors"):
        checkpoint = read_checkpoint(model, DIFFUSERS, V1)
        found.append(latents(load_model(checkpoint, options())))
    assert checkpoint.packing is None
    torch.testing.assert_close(found[0], found[1], atol=2e-3, rtol=2e-3)
    assert found[0].std() > 0.1


def set_scales(data: np.ndarray, kind: str) -> None:
    """Set the scales of random K-quant blocks so that their values are those of weights."""
    blocks = data.reshape(-1, packed_bytes(kind, (256,)))
    places = {"Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}[kind]
    for place in places:
        blocks[:, place : place + 2] = np.frombuffer(np.float16(2e-5).tobytes(), np.uint8)


def gguf_text_name(name: str) -> str:
    """Return llama.cpp's name of a UMT5 tensor."""
    ends = {"shared.weight": "token_embd.weight", "encoder.final_layer_norm.weight": "enc.output_norm.weight"}
    if name in ends:
        return ends[name]
    _, _, block, _, layer, *rest = name.split(".")
    inner = ".".join(rest).removesuffix(".weight")
    table = {
        ("0", "layer_norm"): "attn_norm",
        ("1", "layer_norm"): "ffn_norm",
        ("0", "SelfAttention.relative_attention_bias"): "attn_rel_b",
        ("1", "DenseReluDense.wi_0"): "ffn_gate",
        ("1", "DenseReluDense.wi_1"): "ffn_up",
        ("1", "DenseReluDense.wo"): "ffn_down",
        **{("0", f"SelfAttention.{x}"): f"attn_{x}" for x in "qkvo"},
    }
    return f"enc.blk.{block}.{table[layer, inner]}.weight"


def test_the_command_line_renders_one_file_and_names_what_it_lacks(tmp_path: Path) -> None:
    file, _ = write("Q8_0", tmp_path / "model")
    render = ("render", "samples/courtyard-day.png", "--moves", "w-4", "--size", "32x32", "--device", "cpu")
    flags = ("--model", str(file), "--preset", V1)
    done = lingbot(*render, *flags, "-o", "null:")
    assert (done.code, "missing: vae, text, tokenizer" in done.stderr) == (3, True)
    assert lingbot(*render, *flags, "--assets", str(DIFFUSERS), "-o", "null:").code == 0
    shown = lingbot("models", "show", str(file), "--assets", str(DIFFUSERS), "--preset", V1)
    assert "stored as: Q8_0" in shown.stdout
    assert lingbot("models", "verify", str(file), "--assets", str(DIFFUSERS), "--preset", V1).code == 0


def test_a_gguf_file_of_another_architecture_is_named(tmp_path: Path) -> None:
    beside_config(tmp_path / "model")
    write_gguf(tmp_path / "model" / "a.gguf", {"blk.0.weight": torch.ones(4, 32)}, "Q8_0", "llama")
    with pytest.raises(SetupError, match="of the architecture llama"):
        read_checkpoint(tmp_path / "model" / "a.gguf", DIFFUSERS)


@pytest.mark.parametrize(
    ("settings", "named"), [({"convrot": True}, "convrot"), ({"format": "mxfp4"}, "mxfp4")]
)
def test_packings_of_another_kind_are_refused(
    settings: dict[str, object], named: str, tmp_path: Path
) -> None:
    file = beside_config(tmp_path / "model") / "a.safetensors"
    write_comfy_nvfp4(file, transformer_tensors(), **settings)  # type: ignore[arg-type]
    with pytest.raises(SetupError, match=f"not supported, with the settings .*{named}"):
        read_checkpoint(file, DIFFUSERS)


def test_whole_numbers_without_a_known_packing_are_refused(tmp_path: Path) -> None:
    file = beside_config(tmp_path / "model") / "a.safetensors"
    weight = "blocks.0.ffn.0.weight"
    save_file(transformer_tensors() | {weight: torch.zeros(192, 96, dtype=torch.int8)}, file)
    with pytest.raises(SetupError, match=f"{weight} is packed in a way that is not supported, as I8"):
        read_checkpoint(file, DIFFUSERS)
