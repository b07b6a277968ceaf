"""The kernel of a film is measured once a device and shape, remembered, said, and can be named."""

import json

import pytest
import torch

from lingbot_cli.presets import PRESETS
from lingbot_cli.runtime.autotune import KERNELS_FILE, attention_shape, pick_kernel, read_measurements
from tests.support.command import lingbot

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LINGBOT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_shapes_are_those_of_a_full_window():
    large = attention_shape(PRESETS["lingbot-world-v2-14b-causal-fast"], 480, 832, processes=8)
    assert (large.queries, large.keys, large.heads, large.head_dim) == (4 * 1560, 18 * 1560, 5, 128)


def test_what_was_measured_is_remembered_until_the_shape_changes(folder):
    small, other = (attention_shape(PRESETS["built-in"], 64, width) for width in (64, 80))
    pick_kernel(small, CPU, torch.float32)
    known = read_measurements(KERNELS_FILE, "kernel")
    assert [set(each["seconds"]) for each in known.values()] == [{"torch", "math"}]
    key = next(iter(known))
    (folder / KERNELS_FILE).write_text(json.dumps({key: {"kernel": "as it was"}}))
    assert pick_kernel(small, CPU, torch.float32) == "as it was"
    assert pick_kernel(other, CPU, torch.float32) in ("torch", "math")
    assert len(read_measurements(KERNELS_FILE, "kernel")) == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 3}'])
def test_a_damaged_file_only_means_measuring_again(folder, content):
    folder.mkdir()
    (folder / KERNELS_FILE).write_text(content)
    assert pick_kernel(attention_shape(PRESETS["built-in"], 32, 32), CPU, torch.float32) in ("torch", "math")
    assert len(read_measurements(KERNELS_FILE, "kernel")) == 1


def test_a_film_says_its_kernel_and_one_that_is_not_here_ends_with_3(tmp_path):
    film = ["render", "samples/courtyard-day.png", "--moves", "w-4", "--size", "64x32", "--device", "cpu"]
    made = lingbot(*film, "-o", str(tmp_path / "film.mkv"), "--kernel", "math", "--decode-on", "cpu")
    assert made.code == 0, made.stderr
    assert "self-attention: math" in made.stderr
    assert "--decode-on cpu --kernel math" in lingbot("show", str(tmp_path / "film.mkv")).stdout
    refused = lingbot(*film, "-o", str(tmp_path / "none.mkv"), "--kernel", "cudnn")
    assert refused.code == 3
    assert "--kernel cudnn: does not run on cpu" in refused.stderr
    assert not (tmp_path / "none.mkv").exists()
