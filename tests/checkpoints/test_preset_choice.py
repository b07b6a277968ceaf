"""The preset comes from a checkpoint's own configs, or is chosen by name; it is never a guess."""

import json
import shutil
from pathlib import Path

import pytest

from lingbot_cli.checkpoints.checkpoint import read_checkpoint
from lingbot_cli.checkpoints.config_values import config_values
from lingbot_cli.checkpoints.preset_choice import PresetEvidence, choose_preset
from lingbot_cli.errors import SetupError, UsageError
from lingbot_cli.presets import PRESETS
from tests.support.command import lingbot
from tests.support.reference import REFERENCE

DIFFUSERS = REFERENCE / "checkpoints" / "diffusers-v1-fast"
V1, V2 = "lingbot-world-fast", "lingbot-world-v2-14b-causal-fast"
V2_DIFFUSERS = "lingbot-world-v2-14b-causal-fast-diffusers"
LARGE = {"dim": 5120, "layers": 40, "ffn": 13824, "text_dim": 4096}
SMALL = {"dim": 1536, "layers": 30, "ffn": 8960, "text_dim": 4096}


def evidence(stored: dict[str, int] = LARGE, **settings: object) -> PresetEvidence:
    return PresetEvidence("model", None, "", settings, stored)


def diffusers(tmp_path: Path, scheduler: dict[str, object] | None, **transformer: object) -> Path:
    root = tmp_path / "model"
    shutil.copytree(DIFFUSERS, root)
    file = root / "scheduler" / "scheduler_config.json"
    file.unlink() if scheduler is None else file.write_text(json.dumps(scheduler))
    config = root / "transformer" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | transformer))
    return root


@pytest.mark.parametrize(
    ("scheduler", "name"),
    [
        ({"shift": 10**400}, "shift"),
        ({"flow_shift": float("nan")}, "shift"),
        ({"shift": "5"}, "shift"),
        ({"dmd_denoising_steps": [1000, 2000]}, "dmd_denoising_steps"),
        ({"dmd_denoising_steps": []}, "dmd_denoising_steps"),
    ],
)
def test_a_scheduler_of_wrong_values_is_refused(
    tmp_path: Path, scheduler: dict[str, object], name: str
) -> None:
    with pytest.raises(SetupError, match=rf"scheduler_config\.json: {name} is"):
        read_checkpoint(diffusers(tmp_path, scheduler))


@pytest.mark.parametrize("shift", [10**400, float("inf")], ids=["long", "infinite"])
def test_a_shift_that_no_float_holds_is_refused(shift: float) -> None:
    with pytest.raises(SetupError, match=r"lingbot\.json: shift is"):
        config_values({"settings": {"shift": shift}}, Path("lingbot.json"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("sizes", value)
            for value in ("112x64", ["112"], [[112, 64]], ["112x64", "0x64"], ["100x60"], ["112x64\n"])
        ),
        *(("antialias", value) for value in (1, "true", None)),
        *(("vae_mult", value) for value in ([1, 2], [0, 2, 4, 4], "1244")),
        *(("scene_max_error", value) for value in ("0.3", True, float("nan"))),
    ],
)
def test_a_setting_of_a_wrong_type_is_refused(name: str, value: object) -> None:
    with pytest.raises(SetupError, match=rf"lingbot\.json: {name} is"):
        config_values({"settings": {name: value}}, Path("lingbot.json"))


def test_settings_of_a_small_model_are_read() -> None:
    settings = {"sizes": ["112x64", "64x112"], "antialias": True, "scene_max_error": None}
    found = config_values({"settings": settings}, Path("lingbot.json"))
    assert found == {"sizes": ("112x64", "64x112"), "antialias": True, "scene_max_error": None}


@pytest.mark.parametrize(
    ("scheduler", "transformer", "name", "source"),
    [
        ({"shift": 10.0}, {}, V1, "shift 10"),
        ({"flow_shift": 5.0}, {}, V2_DIFFUSERS, "shift 5"),
        (
            *({"flow_shift": 5.0, "dmd_denoising_steps": [1000, 750, 500, 250]}, {}, V2_DIFFUSERS),
            "shift 5, steps 0,250,500,750",
        ),
        ({"dmd_denoising_steps": [1000, 821, 642, 321]}, {}, V1, "steps 0,179,358,679"),
        (
            {"shift": 10.0},
            {"num_frames_per_block": 4, "sink_size": 6},
            V2,
            "chunk 4, window 18, sink 6, shift 10",
        ),
    ],
)
def test_the_layouts_own_configs_decide(
    tmp_path: Path, scheduler: dict[str, object], transformer: dict[str, object], name: str, source: str
) -> None:
    checkpoint = read_checkpoint(diffusers(tmp_path, scheduler, **transformer))
    preset = checkpoint.preset
    assert preset.name == name
    for setting in ("licence", "steps", "shift", "chunk", "window", "sink"):
        assert getattr(preset, setting) == getattr(PRESETS[name], setting)
    assert checkpoint.preset_source.endswith(source)


def test_two_that_fit_are_both_named_and_one_can_be_chosen(tmp_path: Path) -> None:
    root = str(diffusers(tmp_path, None))
    done = lingbot("models", "show", root)
    assert done.code == 2
    assert f"fits {V1} and {V2_DIFFUSERS}" in done.stderr.replace("\n", " ")
    assert "--preset NAME" in done.stderr
    assert "shift 5, chunk 3, sink 9" in done.stderr.replace("\n", " ")
    for name in (V1, V2_DIFFUSERS):
        shown = lingbot("models", "show", root, "--preset", name)
        assert shown.code == 0
        assert f"preset from: --preset {name}" in shown.stdout
        assert PRESETS[name].licence in shown.stdout


def test_every_command_takes_the_preset_and_prints_it(tmp_path: Path) -> None:
    root = str(diffusers(tmp_path, None))
    render = ("render", "samples/courtyard-day.png", "--moves", "w-4", "--size", "32x32", "--device", "cpu")
    render += ("-o", "null:", "--dry-run", "--model", root)
    assert lingbot(*render).code == 2
    done = lingbot(*render, "--preset", V2_DIFFUSERS)
    assert (done.code, V2_DIFFUSERS in done.stdout, "shift 5" in done.stdout) == (0, True, True)
    assert lingbot("models", "verify", root, "--preset", V1).code == 0
    jobs = tmp_path / "jobs.yaml"
    shutil.copy("samples/courtyard-day.png", tmp_path / "a.png")
    jobs.write_text(f"jobs: [{{image: a.png, moves: w-4, size: 32x32, model: {root}, preset: {V1}}}]")
    assert lingbot("batch", str(jobs), "-o", str(tmp_path / "out"), "--dry-run").code == 0


def test_a_config_that_fits_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"fits no preset.*shift 7"):
        read_checkpoint(diffusers(tmp_path, {"shift": 7.0}))


def test_a_config_that_contradicts_the_preset_asked_for_is_printed(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(diffusers(tmp_path, {"flow_shift": 5.0}), None, V1)
    assert "shift: preset 10.0, checkpoint 5.0; 10.0 is used" in map(str, checkpoint.differences)


def test_tensors_without_a_config_decide_only_where_one_preset_has_their_shape() -> None:
    assert choose_preset(evidence(SMALL), None)[0].name == "lingbot-world-v2-1.3b-causal-fast"
    with pytest.raises(UsageError, match=f"fits {V1} and {V2} and {V2_DIFFUSERS}"):
        choose_preset(evidence(), None)
    with pytest.raises(UsageError, match="is 1536 wide"):
        choose_preset(evidence(), "lingbot-world-v2-1.3b-causal-fast")
    with pytest.raises(UsageError, match="unknown preset"):
        choose_preset(evidence(), "v3")
