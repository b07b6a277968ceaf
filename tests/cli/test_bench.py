"""`lingbot bench` on the built-in model: table, JSON, Markdown, comparison."""

import json

import pytest
import torch

from lingbot_cli.diagnostics.bench import PHASES
from lingbot_cli.diagnostics.timers import HostTimer, PhaseTimer
from lingbot_cli.model.loading import random_weights
from lingbot_cli.model.loading.random_weights import random_checkpoint, random_model
from lingbot_cli.runtime.model_options import ModelOptions
from tests.support import json_output
from tests.support.command import lingbot

SMALL = ("bench", "--chunks", "2", "--size", "32x32", "--quality", "draft")


def test_every_phase_is_measured():
    text = lingbot(*SMALL, "--json").stdout
    figures = json.loads(text)
    json_output.Bench.model_validate_json(text)
    assert set(figures["phases"]) == set(PHASES)
    assert all(seconds > 0 for seconds in figures["phases"].values())
    assert 0.5 < sum(figures["phases"].values()) / figures["chunk"] < 1.0001
    assert figures["chunks"] == 2
    assert figures["size"] == "32x32"
    assert figures["realtime"] == pytest.approx(figures["fps"] / 16)
    assert figures["first_frame"] > 0
    assert figures["memory"] > 2**20
    assert figures["sink_fps"] > 0
    for phase in ("denoise", "commit", "decode"):
        assert figures["flops"][phase] > 0
        assert figures["bytes"][phase] > 0
    assert figures["peak_flops"] > 1e9
    assert figures["peak_bytes"] > 1e8


def test_the_table_and_the_markdown_table():
    plain = lingbot(*SMALL).stdout
    markdown = lingbot(*SMALL, "--markdown").stdout.splitlines()
    assert markdown[1] == "|---|---:|"
    assert all(line.count("|") == 3 for line in markdown)
    for phase in (*PHASES, "as rendered", "peak memory", "first frame"):
        assert phase in plain
        assert any(line.startswith(f"| {phase} |") for line in markdown)


def test_the_warm_up_is_left_out():
    now = iter([0.0, 100.0, 200.0, 201.0, 300.0, 303.0])
    watch = PhaseTimer(HostTimer(lambda: next(now)))
    for _ in range(3):
        with watch.phase("denoise"):
            pass
        watch.end_chunk()
    assert watch.mean_chunk(skip=1) == 2.0
    assert watch.means(PHASES, skip=1) == {phase: 2.0 if phase == "denoise" else 0.0 for phase in PHASES}


def test_random_weights_need_no_model():
    figures = json.loads(lingbot(*SMALL, "--random-weights", "--json").stdout)
    assert figures["model"] == "built-in"
    assert figures["speed_options"] == {}
    refused = lingbot(*SMALL, "--random-weights", "--model", "another")
    assert refused.code == 2
    assert "lingbot-world-fast" in refused.stderr


@pytest.mark.parametrize("flag", ["--lora", "--text-encoder", "--assets", "--preset"])
def test_random_weights_refuse_files_of_a_model(flag):
    refused = lingbot(*SMALL, "--random-weights", flag, "built-in")
    assert refused.code == 2
    assert f"{flag} cannot be used with --random-weights" in refused.stderr


@pytest.mark.parametrize(("commit", "reused"), [(None, False), ("last-step", True)])
def test_random_weights_take_the_keys_of_the_commit_option(commit, reused):
    model = random_model(random_checkpoint(None), ModelOptions(device="cpu", commit=commit))
    assert model.reuse_keys is reused


@pytest.mark.parametrize(("encode", "rounded"), [(None, True), ("tf32", True), ("float32", False)])
def test_random_weights_on_a_gpu_encode_in_tf32_as_others_do(monkeypatch, encode, rounded):
    monkeypatch.setattr(random_weights, "pick_device", lambda _: torch.device("cuda"))
    monkeypatch.setattr(random_weights, "_fill_random", lambda *_: None)  # stays on the meta device
    assert random_model(random_checkpoint(None), ModelOptions(encode=encode)).encode_tf32 is rounded


def test_speed_options_are_measured_and_named():
    short = ("bench", "--chunks", "1", "--size", "32x32", "--quality", "draft", "--device", "cpu")
    figures = json.loads(lingbot(*short, "--random-weights", "--fast", "--linears", "fp8", "--json").stdout)
    assert figures["speed_options"] == {"window": "9", "linears": "fp8"}
    assert figures["chunks"] == 1
    assert figures["flops"]["denoise"] > 0


def test_two_runs_are_compared(tmp_path):
    phases = dict.fromkeys(PHASES, 0.2)
    (tmp_path / "a.json").write_text(json.dumps({"phases": phases, "fps": 10.0, "first_frame": 1.0}))
    (tmp_path / "b.json").write_text(
        json.dumps(
            {
                "phases": phases | {"decode": 0.1},
                "fps": 15.0,
                "first_frame": 2.0,
                "levers": {"linears": "fp8"},
            }
        )
    )
    said = lingbot(
        "bench", "--markdown", "--compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")
    ).stdout
    assert "| speed options | none | linears fp8 |  |" in said
    assert "| decode | 200.0 ms | 100.0 ms | 2.00× |" in said
    assert "| fps | 10.00 fps | 15.00 fps | 1.50× |" in said
    assert "| first frame | 1.00 s | 2.00 s | 0.50× |" in said
    refused = lingbot("bench", "--compare", str(tmp_path / "a.json"), str(tmp_path / "none.json"))
    assert refused.code == 2


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"phases": {"decode": 1.0}}, "'encode' is missing"),
        ({"fps": "fast"}, "a measurement is not a number"),
        ({"levers": [1]}, "speed_options is not a mapping"),
    ],
)
def test_a_file_without_results_is_refused(tmp_path, changed, said):
    good = {"phases": dict.fromkeys(PHASES, 0.0), "fps": 0.0, "first_frame": 0.0}
    (tmp_path / "good.json").write_text(json.dumps(good))
    (tmp_path / "bad.json").write_text(json.dumps(good | changed))
    assert lingbot("bench", "--compare", str(tmp_path / "good.json"), str(tmp_path / "good.json")).code == 0
    refused = lingbot("bench", "--compare", str(tmp_path / "good.json"), str(tmp_path / "bad.json"))
    assert refused.code == 2
    assert said in refused.stderr
