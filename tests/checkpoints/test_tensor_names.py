"""Tensor names of the full-size models match our modules one to one."""

import json

import pytest
import torch

from lingbot_cli.checkpoints.tensor_names import text_name, vae_name
from lingbot_cli.model.text_encoder import umt5_config, umt5_on_meta
from lingbot_cli.model.transformer import Transformer, TransformerConfig
from lingbot_cli.model.vae import VAE, VAEConfig
from lingbot_cli.presets import PRESETS
from tests.support.reference import REFERENCE

Shapes = dict[str, tuple[int, ...]]


def manifest(name: str) -> Shapes:
    text = (REFERENCE / "checkpoints" / "manifests" / f"{name}.json").read_text()
    return {tensor: tuple(shape) for tensor, shape in json.loads(text).items()}


def shapes(module: torch.nn.Module) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "preset", "billions"),
    [
        ("transformer-14b", "lingbot-world-fast", 18.544),
        ("transformer-14b", "lingbot-world-v2-14b-causal-fast", 18.544),
        ("transformer-1.3b", "lingbot-world-v2-1.3b-causal-fast", 1.7095),
    ],
)
def test_transformer(name: str, preset: str, billions: float) -> None:
    with torch.device("meta"):
        transformer = Transformer(TransformerConfig.of(PRESETS[preset]))
    assert shapes(transformer) == manifest(name)
    assert sum(p.numel() for p in transformer.parameters()) / 1e9 == pytest.approx(billions, abs=5e-4)


@pytest.mark.parametrize("name", ["vae-original", "vae-diffusers"])
def test_vae(name: str) -> None:
    with torch.device("meta"):
        vae = VAE(VAEConfig())
    assert {vae_name(tensor): shape for tensor, shape in manifest(name).items()} == shapes(vae)


def test_text_encoder() -> None:
    renamed = {text_name(tensor): shape for tensor, shape in manifest("text-original").items()}
    wanted = shapes(umt5_on_meta(umt5_config(renamed)))
    assert wanted.pop("encoder.embed_tokens.weight") == wanted["shared.weight"]
    assert renamed == wanted


def test_names_of_our_own_come_back_unchanged() -> None:
    with torch.device("meta"):
        names = list(VAE(VAEConfig(dim=16, num_res_blocks=1)).state_dict())
    assert [vae_name(name) for name in names] == names
