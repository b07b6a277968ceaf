"""LoRAs in every key style, merged into plain and packed weights, named in the fingerprint and the metadata."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lingbot_cli.checkpoints.checkpoint import Checkpoint, fingerprint, read_checkpoint, with_loras
from lingbot_cli.checkpoints.lora import lora_files
from lingbot_cli.errors import SetupError, UsageError
from lingbot_cli.model.accel.fp8 import Fp8Linear
from lingbot_cli.model.loading.loader import load_model, load_transformer
from lingbot_cli.model.loading.packed_layers import PackedLinear
from lingbot_cli.render.metadata import sha256_file
from tests.model.loading.test_packed import V1, latents, options, write
from tests.support.command import lingbot
from tests.support.packed_checkpoint import DIFFUSERS, beside_config, transformer_tensors

RANK, ALPHA = 4, 2.0
LAYERS = ("blocks.0.self_attn.q", "blocks.2.cross_attn.o", "blocks.1.ffn.0", "text_embedding.2")
AS_DIFFUSERS = {
    "blocks.0.self_attn.q": "blocks.0.attn1.to_q",
    "blocks.2.cross_attn.o": "blocks.2.attn2.to_out.0",
    "blocks.1.ffn.0": "blocks.1.ffn.net.0.proj",
    "text_embedding.2": "condition_embedder.text_embedder.linear_2",
}
STYLES = {
    "diffusers": lambda layer, up: f"transformer.{AS_DIFFUSERS[layer]}.lora_{'B' if up else 'A'}.weight",
    "peft": lambda layer, up: f"base_model.model.{layer}.lora_{'B' if up else 'A'}.default.weight",
    "comfy": lambda layer, up: f"diffusion_model.{layer}.lora_{'up' if up else 'down'}.weight",
    "kohya": lambda layer, up: f"lora_unet_{layer.replace('.', '_')}.lora_{'up' if up else 'down'}.weight",
}


def factors(layer: str, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return up [out, rank] and down [rank, in] of a layer of the tiny transformer."""
    out, inner = transformer_tensors()[f"{layer}.weight"].shape
    draw = torch.Generator().manual_seed(seed + len(layer))
    return torch.randn(out, RANK, generator=draw) * 0.1, torch.randn(RANK, inner, generator=draw) * 0.1


def write_lora(file: Path, style: str = "comfy", seed: int = 0, **metadata: str) -> Path:
    """Write a LoRA of LAYERS in a style, with alpha where the style has it."""
    tensors: dict[str, Tensor] = {}
    for layer in LAYERS:
        for factor, up in zip(factors(layer, seed), (True, False), strict=True):
            tensors[STYLES[style](layer, up)] = factor.contiguous()
        if style in ("comfy", "kohya"):
            name = STYLES[style](layer, True).removesuffix(".lora_up.weight")
            tensors[f"{name}.alpha"] = torch.tensor(ALPHA, dtype=torch.bfloat16)
    save_file(tensors, file, metadata)
    return file


def merged(scale: float, seed: int = 0) -> dict[str, Tensor]:
    """Return the tiny transformer's weights with the LoRA added by the plain formula."""
    weights = {name: tensor.float() for name, tensor in transformer_tensors().items()}
    for layer in LAYERS:
        up, down = factors(layer, seed)
        weights[f"{layer}.weight"] = weights[f"{layer}.weight"] + scale * up @ down
    return weights


def loaded(checkpoint: Checkpoint) -> dict[str, Tensor]:
    return load_transformer(checkpoint, torch.device("cpu"), "float32").state_dict()


@pytest.mark.parametrize("style", STYLES)
def test_every_style_adds_its_product(style: str, tmp_path: Path) -> None:
    file = write_lora(tmp_path / "a.safetensors", style)
    found = loaded(with_loras(read_checkpoint(DIFFUSERS), (f"{file}:0.5",)))
    scale = 0.5 * (ALPHA / RANK if style in ("comfy", "kohya") else 1.0)
    for name, weight in merged(scale).items():
        torch.testing.assert_close(found[name], weight, rtol=1e-5, atol=1e-6)


def test_several_are_added_and_differences_too(tmp_path: Path) -> None:
    one, two = (write_lora(tmp_path / f"{seed}.safetensors", "peft", seed) for seed in (1, 2))
    bias, norm = torch.full((96,), 0.25), torch.full((96,), -0.5)
    changes = {"blocks.1.norm3.diff": norm, "blocks.1.self_attn.q.diff_b": bias}
    modulation = torch.full((1, 6, 96), 0.125)
    save_file(
        {f"diffusion_model.{name}": value for name, value in changes.items()}
        | {"diffusion_model.blocks.1.diff_m": modulation},
        tmp_path / "c.safetensors",
    )
    texts = (str(one), f"{two}:-2", f"{tmp_path / 'c.safetensors'}:2")
    found = loaded(with_loras(read_checkpoint(DIFFUSERS), texts))
    plain = transformer_tensors()
    for layer in LAYERS:
        expected = merged(1.0, 1)[f"{layer}.weight"] + merged(-2.0, 2)[f"{layer}.weight"]
        expected -= plain[f"{layer}.weight"].float()
        torch.testing.assert_close(found[f"{layer}.weight"], expected, rtol=1e-5, atol=1e-5)
    for name, value in (("norm3.weight", norm), ("self_attn.q.bias", bias), ("modulation", modulation)):
        expected = plain[f"blocks.1.{name}"].float() + 2 * value
        torch.testing.assert_close(found[f"blocks.1.{name}"], expected)


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "nvfp4", "fp8"])
def test_packed_weights_stay_packed_and_render_the_merged_ones(kind: str, tmp_path: Path) -> None:
    file, weights = write(kind, tmp_path / "model")
    loras = (
        str(write_lora(tmp_path / "a.safetensors")),
        f"{write_lora(tmp_path / 'b.safetensors', seed=3)}:0.5",
    )
    packed = load_model(file, options(lora=loras))
    for layer in LAYERS:
        one, two = (up @ down for up, down in (factors(layer), factors(layer, 3)))
        name = f"{layer}.weight"
        weights[name] = weights[name] + ALPHA / RANK * (one + 0.5 * two)
    plain = beside_config(tmp_path / "plain")
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, plain / "model.safetensors")
    expected = latents(load_model(plain, options(precision="bfloat16" if kind == "fp8" else "float32")))
    tolerance = 0.15 if kind == "fp8" else 3e-4  # fp8 weights are rounded once more
    found, without = latents(packed), latents(load_model(file, options()))
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)
    assert (found - expected).abs().mean() < 0.5 * (without - expected).abs().mean()
    layer = packed.transformer.get_submodule(LAYERS[0])
    assert isinstance(layer, Fp8Linear if kind == "fp8" else PackedLinear)


def test_offloaded_packed_blocks_hold_their_loras(tmp_path: Path) -> None:
    file, _ = write("Q4_0", tmp_path / "model")
    loras = (str(write_lora(tmp_path / "a.safetensors")),)
    eager, streamed = (load_model(file, options(lora=loras, offload=offload)) for offload in (False, True))
    assert torch.equal(latents(streamed), latents(eager))
    checkpoint = with_loras(read_checkpoint(file, DIFFUSERS, V1), loras)
    assert checkpoint.block_bytes == sum(
        value.nbytes for value in eager.transformer.blocks.state_dict().values()
    )


def test_a_file_is_read_again_only_when_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, read = tmp_path / "a.safetensors", []
    file.write_bytes(b"a")
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda path, *mode: read.append(path) or opened(path, *mode))
    hashes = {(sha256_file(file), fingerprint([file])) for _ in range(3)}
    assert (len(hashes), read) == (1, [file] * 2)
    os.utime(file, ns=(0, 0))
    opened(file, "wb").write(b"b")
    assert (sha256_file(file), fingerprint([file])) not in hashes


def test_the_fingerprint_follows_files_and_strengths(tmp_path: Path) -> None:
    one, two = (write_lora(tmp_path / f"{seed}.safetensors", seed=seed) for seed in (1, 2))
    base = read_checkpoint(DIFFUSERS)
    texts = [(), (str(one),), (f"{one}:0.5",), (str(two),), (str(one), str(two))]
    assert len({with_loras(base, each).identity for each in texts}) == len(texts)
    assert with_loras(base, (f"{one}:1.0",)).identity == with_loras(base, (str(one),)).identity


def test_the_settings_of_peft_give_the_scale(tmp_path: Path) -> None:
    settings = json.dumps({"transformer.lora_alpha": 8, "transformer.r": RANK})
    file = write_lora(tmp_path / "a.safetensors", "diffusers", lora_adapter_metadata=settings)
    found = loaded(with_loras(read_checkpoint(DIFFUSERS), (str(file),)))
    torch.testing.assert_close(found[f"{LAYERS[0]}.weight"], merged(2.0)[f"{LAYERS[0]}.weight"])
    folder = tmp_path / "adapter"
    folder.mkdir()
    write_lora(folder / "adapter_model.safetensors", "peft")
    (folder / "adapter_config.json").write_text(json.dumps({"lora_alpha": 8, "use_rslora": True}))
    found = loaded(with_loras(read_checkpoint(DIFFUSERS), (str(folder),)))
    torch.testing.assert_close(found[f"{LAYERS[0]}.weight"], merged(4.0)[f"{LAYERS[0]}.weight"])
    (folder / "adapter_config.json").write_text(json.dumps({"use_dora": True}))
    with pytest.raises(SetupError, match="use_dora is not supported"):
        with_loras(read_checkpoint(DIFFUSERS), (str(folder),))


def test_the_fingerprint_and_the_recipe_follow_the_config_of_peft(tmp_path: Path) -> None:
    file, config = tmp_path / "adapter_model.safetensors", tmp_path / "adapter_config.json"
    write_lora(file, "peft")
    identities = set()
    for settings in ({}, {"lora_alpha": 8}, {"lora_alpha": 8, "use_rslora": True}):
        config.write_text(json.dumps(settings))
        identities.add(with_loras(read_checkpoint(DIFFUSERS), (str(tmp_path),)).identity)
    assert len(identities) == 3
    assert lora_files(f"{file}:0.5") == [file, config]


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        (5, "cannot be read"),
        ("5", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ('{"lora_alpha": NaN}', "lora_alpha is not supported"),
        (f'{{"lora_alpha": 1{"0" * 400}}}', "lora_alpha is not supported"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(metadata: object, reason: str, tmp_path: Path) -> None:
    file = write_lora(tmp_path / "a.safetensors", "diffusers")
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    table = json.loads(content[8 : 8 + length]) | {"__metadata__": {"lora_adapter_metadata": metadata}}
    header = json.dumps(table).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])
    with pytest.raises(SetupError, match=reason):
        with_loras(read_checkpoint(DIFFUSERS), (str(file),))


def test_a_scale_that_is_no_number_is_refused(tmp_path: Path) -> None:
    file = write_lora(tmp_path / "a.safetensors")
    name = f"diffusion_model.{LAYERS[0]}"
    save_file(load_file(file) | {f"{name}.alpha": torch.tensor(float("nan"))}, file)
    with pytest.raises(SetupError, match=rf"{name}\.lora_down\.weight has a scale of nan"):
        with_loras(read_checkpoint(DIFFUSERS), (str(file),))


@pytest.mark.parametrize(
    ("change", "key", "reason"),
    [
        (
            {"blocks.7.self_attn.q.lora_A.weight": (4, 96)},
            "blocks.7.self_attn.q.lora_A.weight",
            "does not have",
        ),
        (
            {"blocks.0.self_attn.q.lora_A.weight": (4, 64)},
            "q.lora_A.weight",
            r"is \[4, 64\], its layer \[96, 96\]",
        ),
        ({"blocks.0.self_attn.q.lora_B.weight": (64, 4)}, "q.lora_B.weight", r"is \[64, 4\], its layer"),
        ({"blocks.0.ffn.0.hada_w1_a": (4, 4)}, "ffn.0.hada_w1_a", "not supported"),
        ({"blocks.0.cross_attn.k_img.lora_A.weight": (4, 96)}, "k_img", "does not have"),
    ],
)
def test_a_lora_of_another_model_is_refused_with_its_first_key(
    change: dict[str, tuple[int, ...]], key: str, reason: str, tmp_path: Path
) -> None:
    file = write_lora(tmp_path / "a.safetensors", "peft")
    plain = {name.replace(".default", ""): value for name, value in load_file(file).items()}
    wrong = {f"base_model.model.{name}": torch.zeros(shape) for name, shape in change.items()}
    save_file(plain | wrong, file)
    with pytest.raises(SetupError, match=f"{key}.* {reason}") as caught:
        with_loras(read_checkpoint(DIFFUSERS), (str(file),))
    assert "trained for this model" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "problem"),
    [("none.safetensors", "no such file"), ("a.pt", "not a .safetensors"), ("a.pt:x", "'x' is no strength")],
)
def test_a_wrong_name_is_refused(
    text: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.pt").write_bytes(b"")
    with pytest.raises(UsageError, match=problem):
        with_loras(read_checkpoint(DIFFUSERS), (text,))


def test_a_video_carries_its_loras_and_is_rendered_again(tmp_path: Path) -> None:
    one, two = (write_lora(tmp_path / f"{seed}.safetensors", seed=seed) for seed in (1, 2))
    video, plain = tmp_path / "a.mp4", tmp_path / "b.mp4"
    render = ("render", "samples/courtyard-day.png", "--moves", "w-4", "--size", "32x32", "--device", "cpu")
    model = ("--model", str(DIFFUSERS), "--preset", V1)
    loras = ("--lora", f"{one}:0.5", "--lora", str(two))
    done = lingbot(*render, *model, *loras, "-o", str(video))
    assert done.code == 0, done.stderr
    assert f"lora {one}:0.5 · lora {two}" in done.stderr + done.stdout
    assert lingbot(*render, *model, "-o", str(plain)).code == 0
    recipe = json.loads(lingbot("show", str(video), "--json").stdout)
    assert recipe["flags"]["lora"] == [f"{one}:0.5", str(two)]
    assert {str(one), str(two)} <= set(recipe["files"])
    other = json.loads(lingbot("show", str(plain), "--json").stdout)
    assert recipe["model"]["identity"] != other["model"]["identity"]
    assert f"--lora {one}:0.5 --lora {two}" in lingbot("show", str(video)).stdout


def test_conversion_merges(tmp_path: Path) -> None:
    file = write_lora(tmp_path / "a.safetensors")
    model = ("models", "convert", str(DIFFUSERS), str(tmp_path / "new"))
    assert lingbot(*model, "--to", "float32", "--lora", str(file), "--preset", V1).code == 0
    found = load_file(tmp_path / "new" / "transformer.safetensors")
    expected = merged(ALPHA / RANK)
    for layer in LAYERS:
        torch.testing.assert_close(
            found[f"{layer}.weight"], expected[f"{layer}.weight"], rtol=1e-5, atol=1e-6
        )
