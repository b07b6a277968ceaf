"""The first run on a GPU, at toy sizes on the CPU: complete, and without the packages such a machine lacks."""

import json
import subprocess
import sys

import torch

from tests.gpu import models
from tests.gpu.first import steps
from tests.gpu.sizes import FULL, TOY, Bench

BLOCKED = (
    "pydantic", "ftfy", "imageio_ffmpeg", "imageio", "yaml", "typer", "rich", "PIL", "transformers", "tokenizers",
    "huggingface_hub", "starlette", "uvicorn", "websockets", "msgpack", "prometheus_client", "hypothesis",
)  # fmt: skip
PROGRAM = (
    f"import sys; sys.modules.update(dict.fromkeys({BLOCKED!r})); from tests.gpu.first import main; main()"
)


def test_every_step_succeeds_with_torch_numpy_and_safetensors_alone(tmp_path):
    file = tmp_path / "first.json"
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, "--out", str(file), "--device", "cpu"],
        capture_output=True, text=True, timeout=550, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    found = {record["step"]: record for record in json.loads(file.read_text())["steps"]}
    bench = Bench(torch.device("cpu"), TOY)
    assert list(found) == [step.name for step in steps(bench)]
    assert {record["status"] for record in found.values()} == {"done"}
    assert found["offload"]["copied_blocks"] > 3 * TOY.small.layers
    rows = found["VAE formats"]["rows"]
    assert [(row["part"], row["tf32"], row["latents"]) for row in rows].count(("decode", False, 4)) == 2
    assert all(row["error"] < 1e-3 for row in rows)
    assert found["VAE format switch"]["levels"] <= 1
    assert [row["int8_error"] < 0.02 for row in found["products"]["rows"]] == [True] * 4
    for name, count in (("1.3B", 4), ("14B", 4), ("14B fp8", 4), ("14B fp8, --fast-steps 2", 2)):
        assert len(found[name]["steps"]) == count
        assert found[name]["fps"] > 0
        assert found[name]["estimated_bytes"] > found[name]["estimate"]["transformer"] > 0
    assert found["14B fp8"]["estimate"]["transformer"] < found["14B"]["estimate"]["transformer"]


def test_compiled_blocks_are_compared_with_eager_ones(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    bench = Bench(torch.device("cpu"), TOY, compile=True)
    found = models.compile_and_compare(bench, bench.model())
    assert found["holds"]
    assert found["compiled_error"] > 0  # the compiled kernels ran


def test_the_limits_fit_ten_minutes_where_most_steps_take_half_of_theirs():
    on_gpu = list(steps(Bench(torch.device("cpu"), FULL)))
    assert sum(step.limit_s for step in on_gpu) < 2 * 600 + 100
    assert len({step.name for step in on_gpu}) == len(on_gpu) == 17
