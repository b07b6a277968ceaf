"""A model that cannot be rendered with is named for what it is, with the way out."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.support.command import lingbot
from tests.support.reference import REFERENCE

DIFFUSERS = REFERENCE / "checkpoints" / "diffusers-v1-fast"


def pretrain(root: Path) -> Path:
    (root / "transformer_causal").mkdir(parents=True)
    return root


def bidirectional(root: Path) -> Path:
    (root / "high_noise_model").mkdir(parents=True)
    return root


def one_file(root: Path, *names: str) -> Path:
    root.mkdir()
    save_file({name: torch.zeros(2, 2) for name in names}, root / "model.safetensors")
    return root / "model.safetensors"


def lora(root: Path) -> Path:
    return one_file(root, "diffusion_model.blocks.0.ffn.0.lora_A.weight", "blocks.0.ffn.0.lora_B.weight")


def text_encoder(root: Path) -> Path:
    return one_file(root, "encoder.block.0.layer.0.SelfAttention.q.weight")


def vae(root: Path) -> Path:
    return one_file(root, "decoder.conv1.weight")


def half_a_download(root: Path) -> Path:
    shutil.copytree(DIFFUSERS, root)
    shutil.rmtree(root / "vae")
    (root / "a.safetensors.incomplete").touch()
    return root


def lfs_pointer(root: Path) -> Path:
    shutil.copytree(DIFFUSERS, root)
    file = next((root / "transformer").glob("*-00001-*.safetensors"))
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    return root


KINDS = {
    pretrain: ("causal-pretrain", "causal-fast"),
    bidirectional: ("bidirectional base model", "causal-fast"),
    lora: ("is a LoRA", "the LoRA with --lora"),
    text_encoder: ("is a text encoder", "--assets"),
    vae: ("is a VAE", "--assets"),
    half_a_download: ("is incomplete", "has not finished"),
    lfs_pointer: ("Git LFS pointer", "git lfs pull"),
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_it_is_named_with_the_way_out(kind: Callable[[Path], Path], tmp_path: Path) -> None:
    model = str(kind(tmp_path / "model"))
    assets = ("--assets", str(DIFFUSERS)) if model.endswith("safetensors") else ()
    for command in ("show", "verify"):
        done = lingbot("models", command, model, *assets)
        message, hint = KINDS[kind]
        said = " ".join(done.stderr.split())
        assert (done.code, message in said, hint in said) == (3, True, True), said
        assert "lingbot models verify" not in said
