"""Loading of the built-in model."""

import torch

from lingbot_cli.checkpoints.cache_dir import cache_folder
from lingbot_cli.checkpoints.checkpoint import read_checkpoint
from lingbot_cli.model.loading.loader import load_model


def test_it_loads_and_decodes_something() -> None:
    world = load_model()
    assert world.preset.name == "built-in"
    with torch.inference_mode():
        frames = world.vae.decode(torch.randn(1, 16, 2, 4, 6, generator=torch.Generator().manual_seed(0)))
    assert frames.isfinite().all()
    assert frames.std() > 0.05


def test_any_text_has_rows() -> None:
    rows = load_model().text_encoder.encode("雨が降る — до свидания 🌧")
    assert rows.shape[1] == load_model().preset.text_dim
    assert rows.isfinite().all()


def test_where_things_are_kept() -> None:
    assert str(cache_folder({"LINGBOT_CACHE_DIR": "/a/b"})) == "/a/b"
    assert str(cache_folder({"XDG_CACHE_HOME": "/x"})) == "/x/lingbot"
    assert cache_folder({}).name == "lingbot"


def test_short_weights_without_scales_are_plain_ones() -> None:
    checkpoint = read_checkpoint(None)
    assert not checkpoint.fp8
    assert checkpoint.packing is None
    assert load_model().transformer.blocks[0].ffn[0].weight.dtype == torch.float32
