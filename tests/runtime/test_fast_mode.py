"""`--fast` takes what helps on the device, and leaves what is said by name."""

import importlib.util

import pytest

from lingbot_cli.presets import PRESETS
from lingbot_cli.runtime.capabilities import fast_window, int8_attention_problem
from lingbot_cli.runtime.fast_mode import resolve_fast, select_fast
from lingbot_cli.runtime.model_options import ModelOptions

PRESET = PRESETS["lingbot-world-v2-1.3b-causal-fast"]
HERE = importlib.util.find_spec("sageattention") is not None


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "sageattention.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("package")
def test_a_new_gpu_takes_every_lever():
    found = select_fast(ModelOptions(fast=True), PRESET, (9, 0))
    assert found.flags() == {"window": 14, "linears": "fp8", "attention": "int8"}
    assert found.notes == ("fast: linears fp8, attention int8, window 14",)


@pytest.mark.usefixtures("package")
def test_an_older_gpu_takes_less_and_says_so():
    found = select_fast(ModelOptions(fast=True), PRESET, (8, 6))
    assert found.flags() == {"window": 14, "attention": "int8"}
    assert "without fp8 linears, which need compute capability 8.9" in found.notes[0]


def test_without_a_gpu_only_memory_is_shorter():
    found = resolve_fast(ModelOptions(fast=True), PRESET, "cpu")
    assert found.flags() == {"window": 14}
    assert "without int8 attention: its kernels need a CUDA device" in found.notes[0]


@pytest.mark.skipif(HERE, reason="sageattention is installed")
def test_a_missing_package_is_named():
    assert int8_attention_problem((9, 0)) == "the package sageattention is not installed"
    assert "attention" not in select_fast(ModelOptions(fast=True), PRESET, (9, 0)).flags()


@pytest.mark.usefixtures("package")
def test_what_is_said_by_name_stays():
    said = ModelOptions(fast=True, linears="exact", attention="exact", window=16)
    assert select_fast(said, PRESET, (9, 0)).flags() == {"window": 16}
    assert select_fast(ModelOptions(fast=True, sink=2, chunk=3), PRESET, None).window == 8


def test_fp8_without_its_units_is_told_to_bring_nothing():
    found = select_fast(ModelOptions(linears="fp8"), PRESET, None)
    assert found.linears == "fp8"
    assert "only emulated" in found.notes[0]


@pytest.mark.usefixtures("package")
def test_taking_apart_what_was_taken_apart_changes_nothing():
    once = select_fast(ModelOptions(fast=True), PRESET, (9, 0))
    assert select_fast(once, PRESET, (9, 0)) == once


def test_every_window_holds_the_chunk_before_and_is_smaller():
    windows = {name: fast_window(preset) for name, preset in PRESETS.items()}
    assert list(windows.values()) == [9, 15, 14, 15, 14]
    for name, preset in PRESETS.items():
        assert preset.sink + 2 * preset.chunk <= windows[name] < preset.window
