"""`lingbot parity` on every recorded case, and its failures."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from lingbot_cli.diagnostics.parity import PACKED_TOLERANCES, TOLERANCES
from tests.support import json_output
from tests.support.command import lingbot
from tests.support.packed_checkpoint import write_comfy_nvfp4, write_gguf, write_nvfp4, write_scaled_fp8
from tests.support.reference import CASES, REFERENCE


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_recorded_cases_hold(case):
    done = lingbot("parity", str(case), "--json")
    json_output.Parity.model_validate_json(done.stdout)
    report = json.loads(done.stdout)
    assert done.code == 0, report
    assert report["holds"]
    assert set(report["tensors"]) == {
        *("timesteps", "sigmas", "renoise_sigmas", "condition", "plucker"),
        *("flow_first_chunk", "flow_last_chunk", "latents", "video"),
    }


PACKINGS = [(case, "Q8_0") for case in CASES] + [
    (CASES[-1], kind) for kind in ("Q5_1", "fp8", "Q4_0", "nvfp4", "comfy nvfp4")
]


@pytest.mark.parametrize(("case", "kind"), PACKINGS, ids=lambda each: getattr(each, "name", each))
def test_packed_weights_hold_within_their_own_tolerance(case, kind, tmp_path):
    settings = json.loads((case / "case.json").read_text())
    weights = load_file(REFERENCE / settings["transformer"])
    file = tmp_path / settings["transformer"]
    file.parent.mkdir()
    shutil.copy(REFERENCE / settings["vae"], tmp_path / settings["vae"])
    if kind.startswith("Q"):
        write_gguf(file.with_suffix(".gguf"), weights, kind)
    else:
        {"fp8": write_scaled_fp8, "nvfp4": write_nvfp4, "comfy nvfp4": write_comfy_nvfp4}[kind](file, weights)
    done = lingbot("parity", str(case), "--weights", str(tmp_path), "--json")
    assert done.code == 0, done.stdout + done.stderr
    tensors = json.loads(done.stdout)["tensors"]
    assert tensors["latents"]["tolerance"] == PACKED_TOLERANCES[kind.removeprefix("comfy ")]
    assert tensors["latents"]["error"] > 10 * TOLERANCES["latents"]  # the packed weights were used
    assert tensors["condition"]["tolerance"] == TOLERANCES["condition"]


def test_a_changed_recording_does_not_hold(tmp_path):
    case = tmp_path / "case"
    shutil.copytree(CASES[0], case)
    tensors = load_file(case / "expected.safetensors")
    tensors["latents"][0, 0, 0, 0] += 1e-2
    save_file(tensors, case / "expected.safetensors")
    done = lingbot("parity", str(case), "--weights", str(REFERENCE))
    assert done.code == 1
    assert "does not hold" in done.stdout


def test_a_window_that_cannot_hold_a_chunk_is_refused(tmp_path):
    case = tmp_path / "case"
    shutil.copytree(CASES[2], case)
    settings = json.loads((case / "case.json").read_text())
    settings["config"]["local_attn_size"] = 3
    (case / "case.json").write_text(json.dumps(settings))
    done = lingbot("parity", str(case), "--weights", str(REFERENCE))
    assert done.code == 2
    assert "window of 3" in done.stderr


@pytest.mark.parametrize("damage", ["missing", "not json", "no key", "no tensors"])
def test_a_damaged_case_gets_a_sentence(tmp_path, damage):
    case = tmp_path / "case"
    shutil.copytree(CASES[0], case)
    if damage == "missing":
        shutil.rmtree(case)
    elif damage == "not json":
        (case / "case.json").write_text("{")
    elif damage == "no key":
        (case / "case.json").write_text("{}")
    else:
        (case / "expected.safetensors").write_bytes(b"nothing")
    done = lingbot("parity", str(case), "--weights", str(REFERENCE))
    assert done.code == 2
    assert "case" in done.stderr
    assert "Traceback" not in done.stderr
