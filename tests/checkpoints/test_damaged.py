"""Damaged checkpoints: a clear error, exit code 3, and no code executed."""

import io
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lingbot_cli.cli import run
from lingbot_cli.env import Env
from lingbot_cli.errors import SetupError
from lingbot_cli.model.loading.loader import load_model
from lingbot_cli.runtime.model_options import ModelOptions
from tests.support.command import lingbot
from tests.support.reference import REFERENCE

INDEX = "diffusion_pytorch_model.safetensors.index.json"
SECOND = "diffusion_pytorch_model-00002-of-00002.safetensors"
FAST = "lingbot_world_fast"
VAE = "Wan2.1_VAE.pth"
TEXT = "models_t5_umt5-xxl-enc-bf16.pth"
TOKENIZER = "google/umt5-xxl/tokenizer.json"


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.mark),)


def missing_shard(root: Path) -> None:
    (root / FAST / SECOND).unlink()


def edit_shard(root: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(root / FAST / SECOND)
    change(tensors)
    save_file(tensors, root / FAST / SECOND)
    (root / FAST / INDEX).unlink()


def wrong_shape(root: Path) -> None:
    edit_shard(root, lambda tensors: tensors.update({"head.head.bias": torch.zeros(65)}))


def extra_tensor(root: Path) -> None:
    edit_shard(root, lambda tensors: tensors.update({"blocks.0.surprise": torch.zeros(2)}))


def missing_tensor(root: Path) -> None:
    edit_shard(root, lambda tensors: tensors.pop("head.head.bias"))


def double_tensor(root: Path) -> None:
    first = load_file(root / FAST / SECOND.replace("00002-of", "00001-of"))
    edit_shard(root, lambda tensors: tensors.update(dict(list(first.items())[:1])))


def truncated_shard(root: Path) -> None:
    os.truncate(root / FAST / SECOND, 500_000)


def empty_shard(root: Path) -> None:
    (root / FAST / SECOND).write_bytes(b"")


def header_past_the_end(root: Path) -> None:
    patch(root / FAST / SECOND, 0, (2**40).to_bytes(8, "little"))


def header_not_json(root: Path) -> None:
    patch(root / FAST / SECOND, 8, b"\xff\xfe")


def header_of_a_thousand_depths(root: Path) -> None:
    deep = b"[" * 200_000
    (root / FAST / SECOND).write_bytes(len(deep).to_bytes(8, "little") + deep)


def overlapping_tensors(root: Path) -> None:
    file = root / FAST / SECOND
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    table = json.loads(content[8 : 8 + length])
    names = [name for name in table if name != "__metadata__"]
    table[names[1]]["data_offsets"] = table[names[0]]["data_offsets"]
    table[names[1]]["shape"] = table[names[0]]["shape"]
    header = json.dumps(table).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])


def no_config(root: Path) -> None:
    (root / FAST / "config.json").unlink()


def config_not_json(root: Path) -> None:
    (root / FAST / "config.json").write_text("{" * 100_000)


def config_of_another_model(root: Path) -> None:
    edit_json(root / FAST / "config.json", dim=1536)


def impossible_heads(root: Path) -> None:
    edit_json(root / FAST / "config.json", num_heads=7)


def index_outside_the_folder(root: Path) -> None:
    edit_json(root / FAST / INDEX, weight_map={"head.head.bias": "../../secret.safetensors"})


def index_not_json(root: Path) -> None:
    (root / FAST / INDEX).write_text("no")


def pickle_bomb_in_the_vae(root: Path) -> None:
    torch.save({"encoder.conv1.weight": Bomb(root / "ran")}, root / VAE)


def pickle_bomb_in_the_text_encoder(root: Path) -> None:
    (root / TEXT).write_bytes(pickle.dumps(Bomb(root / "ran")))


def pth_of_something_else(root: Path) -> None:
    torch.save([torch.zeros(3)], root / VAE)


def truncated_pth(root: Path) -> None:
    os.truncate(root / VAE, 1_000_000)


def no_vae(root: Path) -> None:
    (root / VAE).unlink()


def no_tokenizer(root: Path) -> None:
    (root / TOKENIZER).unlink()


def broken_tokenizer(root: Path) -> None:
    (root / TOKENIZER).write_text('{"model": 3}')


def shard_linked_out_of_the_folder(root: Path) -> None:
    outside = root.parent / "outside.safetensors"
    (root / FAST / SECOND).rename(outside)
    (root / FAST / SECOND).symlink_to(outside)


def vae_linked_out_of_the_folder(root: Path) -> None:
    (root / VAE).rename(root.parent / "outside.pth")
    (root / VAE).symlink_to("../outside.pth")


def tokenizer_without_vocabulary(root: Path) -> None:
    (root / TOKENIZER).write_text(json.dumps({"model": {"type": "WordLevel", "vocab": {}, "unk_token": "x"}}))


def tokenizer_of_a_larger_model(root: Path) -> None:
    tensors = torch.load(root / TEXT, weights_only=True)
    tensors["token_embedding.weight"] = tensors["token_embedding.weight"][:5].clone()
    torch.save(tensors, root / TEXT)


def fifo_among_the_shards(root: Path) -> None:
    os.mkfifo(root / FAST / "diffusion_pytorch_model-00003-of-00003.safetensors")


def link_to_itself(root: Path) -> None:
    (root / FAST / "loop.safetensors").symlink_to("loop.safetensors")


def folder_for_the_tokenizer(root: Path) -> None:
    (root / TOKENIZER).unlink()
    (root / TOKENIZER).mkdir()


def folder_for_the_config(root: Path) -> None:
    (root / FAST / "config.json").unlink()
    (root / FAST / "config.json").mkdir()


def folder_for_the_index(root: Path) -> None:
    (root / FAST / INDEX).unlink()
    (root / FAST / INDEX).mkdir()


def patch(file: Path, position: int, content: bytes) -> None:
    with file.open("r+b") as target:
        target.seek(position)
        target.write(content)


def edit_json(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


DAMAGES = {
    missing_shard: "lacks diffusion_pytorch_model-00002",
    wrong_shape: "head.head.bias is [65] instead of [64]",
    extra_tensor: "blocks.0.surprise is unexpected",
    missing_tensor: "head.head.bias is missing",
    double_tensor: "is both in",
    truncated_shard: "its header promises",
    empty_shard: "its header reaches past the end",
    header_past_the_end: "its header reaches past the end",
    header_not_json: "its header is not JSON",
    overlapping_tensors: "is damaged",
    no_config: "missing: lingbot_world_fast/config.json",
    config_not_json: "is not JSON",
    config_of_another_model: "says dim 1536",
    impossible_heads: "7 heads cannot share",
    index_outside_the_folder: "outside its folder",
    index_not_json: "is not JSON",
    pickle_bomb_in_the_vae: "cannot be loaded safely",
    pickle_bomb_in_the_text_encoder: "cannot be loaded safely",
    pth_of_something_else: "something other than named tensors",
    truncated_pth: "cannot be loaded safely",
    no_vae: "missing: Wan2.1_VAE.pth",
    no_tokenizer: "missing: google/umt5-xxl/tokenizer.json",
    broken_tokenizer: "is not a tokenizer",
    shard_linked_out_of_the_folder: "leads out of the folder",
    vae_linked_out_of_the_folder: "leads out of the folder",
    tokenizer_without_vocabulary: "a tokenizer without a vocabulary",
    tokenizer_of_a_larger_model: "the text encoder rows for 5",
    fifo_among_the_shards: "is neither a file nor a folder",
    link_to_itself: "leads to itself",
    folder_for_the_tokenizer: "tokenizer.json is a folder, not a file",
    folder_for_the_config: "config.json is a folder, not a file",
    folder_for_the_index: "index.json is a folder, not a file",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_is_refused_in_a_sentence(
    tmp_path: Path, cache: Path, damage: Callable[[Path], None]
) -> None:
    root = tmp_path / "model"
    shutil.copytree(REFERENCE / "checkpoints" / "original-v1-fast", root)
    damage(root)
    with pytest.raises(SetupError) as error:
        load_model(root, prompts=["a gate"])
    assert DAMAGES[damage] in str(error.value)
    env = Env(stdout=io.StringIO(), stderr=io.StringIO())
    assert run(["models", "verify", str(root)], env) == 3
    assert "Traceback" not in env.stderr.getvalue()
    assert env.stderr.getvalue().startswith("error: ")
    assert not (root / "ran").exists()
    assert not [file for file in cache.rglob("*") if file.suffix == ".part"]


def test_a_film_that_ends_before_its_first_chunk_leaves_nothing(tmp_path: Path) -> None:
    root, film = tmp_path / "model", tmp_path / "films" / "a.mp4"
    shutil.copytree(REFERENCE / "checkpoints" / "original-v1-fast", root)
    truncated_pth(root)
    film.parent.mkdir()
    call = ("render", "samples/courtyard-day.png", "--moves", "w-4", "--size", "32x32", "--device", "cpu")
    done = lingbot(*call, "--model", str(root), "-o", str(film))
    assert (done.code, "cannot be loaded safely" in done.stderr) == (3, True)
    assert list(film.parent.iterdir()) == []


def test_a_stray_link_to_itself_is_passed_over(tmp_path: Path) -> None:
    root = tmp_path / "model"
    shutil.copytree(REFERENCE / "checkpoints" / "original-v1-fast", root)
    (root / "stray.json").symlink_to("stray.json")
    assert lingbot("models", "verify", str(root)).code == 0


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.safetensors")
    (tmp_path / "zero.safetensors").symlink_to("/dev/zero")
    (tmp_path / "loop.safetensors").symlink_to("loop.safetensors")
    render = ("render", "samples/courtyard-day.png", "--moves", "w-4", "--dry-run", "-o", "null:")
    for option in ("--model", "--lora", "--decoder", "--text-encoder"):
        for name in ("fifo", "zero", "loop"):
            done = lingbot(*render, option, str(tmp_path / f"{name}.safetensors"))
            assert done.code in (2, 3), (option, name)
            assert option in done.stderr


def test_the_whole_one_passes() -> None:
    env = Env(stdout=io.StringIO(), stderr=io.StringIO())
    for name in ("original-v1-fast", "diffusers-v1-fast"):
        assert run(["models", "verify", str(REFERENCE / "checkpoints" / name)], env) == 0
    assert "every tensor has its place" in env.stdout.getvalue()


@pytest.mark.parametrize(
    ("file", "name", "value"),
    [
        ("transformer/config.json", "num_attention_heads", {}),
        ("transformer/config.json", "attention_head_dim", "wide"),
        ("transformer/config.json", "text_len", "long"),
        ("transformer/config.json", "text_len", 10**12),
        ("transformer/config.json", "control_type", 3),
        ("transformer/config.json", "num_frames_per_block", [3]),
        ("vae/config.json", "latents_mean", None),
        ("vae/config.json", "latents_std", [0.0] * 16),
        ("vae/config.json", "latents_std", ["a"] * 16),
    ],
)
def test_a_config_of_wrong_types_is_named_with_the_value(
    file: str, name: str, value: object, tmp_path: Path
) -> None:
    root = tmp_path / "model"
    shutil.copytree(REFERENCE / "checkpoints" / "diffusers-v1-fast", root)
    edit_json(root / file, **{name: value})
    with pytest.raises(SetupError, match=f"{file}: .* is .{str(value)[:3]}".replace("[", r"\[")):
        load_model(root, ModelOptions(preset="lingbot-world-fast"), prompts=["a gate"])
