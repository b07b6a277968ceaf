"""`--fast` takes what helps on the device, and leaves what is said by name."""

import importlib.util
import time
from dataclasses import replace

import pytest
import torch

from lingbot_cli.model.accel import attention_backends
from lingbot_cli.model.accel.attention_backends import TIMING_ROUNDS
from lingbot_cli.model.attention import attend_all
from lingbot_cli.presets import PRESETS
from lingbot_cli.runtime.autotune import (
    KERNELS_FILE,
    attention_shape,
    int8_attention_wins,
    pick_kernel,
    read_measurements,
)
from lingbot_cli.runtime.fast_mode import resolve_fast, select_fast
from lingbot_cli.runtime.hardware import fast_window, int8_attention_problem
from lingbot_cli.runtime.model_options import ModelOptions

PRESET = PRESETS["lingbot-world-v2-1.3b-causal-fast"]
CPU = torch.device("cpu")
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


@pytest.mark.usefixtures("package")
def test_int8_attention_is_taken_only_where_it_is_faster():
    lost = select_fast(ModelOptions(fast=True), PRESET, (9, 0), int8_wins=lambda: False)
    assert lost.attention is None
    assert "without int8 attention, which is not faster here" in lost.notes[0]
    named = select_fast(ModelOptions(fast=True, attention="int8"), PRESET, (9, 0), int8_wins=lambda: False)
    assert named.attention == "int8"


@pytest.fixture
def int8_calls(monkeypatch):
    """Replace int8 attention by a function that only counts its calls."""
    calls = []

    def count(*_):
        calls.append(None)
        raise RuntimeError("no kernel")

    monkeypatch.setattr(attention_backends, "int8_attention", lambda *_: count)
    return calls


def test_kernels_and_int8_attention_are_each_measured_once(int8_calls):
    for width in (32, 48):
        pick_kernel(attention_shape(PRESETS["built-in"], 32, width), CPU, torch.float32)
        int8_attention_wins(PRESETS["built-in"], "cpu")
    assert len(int8_calls) == 1
    assert len(read_measurements(KERNELS_FILE, "kernel")) == 2


@pytest.mark.usefixtures("int8_calls")
def test_int8_attention_does_not_win_where_nothing_runs(monkeypatch):
    monkeypatch.setattr(attention_backends, "list_backends", lambda _: {})
    assert not int8_attention_wins(PRESETS["built-in"], "cpu")


@pytest.mark.parametrize(("slower", "wins"), [(0.0, True), (0.2, False)])
def test_the_race_of_int8_attention_is_run_once(slower, wins, monkeypatch):
    runs = []

    def int8_attention(_capability, _dtype):
        def attend(q, k, v):
            runs.append(time.sleep(slower))
            if "output" not in results:
                results["output"] = attend_all(q, k, v)
            return results["output"]  # in no time: the question is the same each time

        return attend

    def exact(q, k, v):
        time.sleep(0.05)
        return attend_all(q, k, v)

    results = {}
    monkeypatch.setattr(attention_backends, "list_backends", lambda _: {"torch": exact})
    monkeypatch.setattr(attention_backends, "int8_attention", int8_attention)
    preset = replace(PRESETS["built-in"], window=96)
    assert [int8_attention_wins(preset, "cpu") for _ in range(2)] == [wins] * 2
    assert len(runs) == 1 + TIMING_ROUNDS
