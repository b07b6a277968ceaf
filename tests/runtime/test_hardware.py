"""GPUs as nvidia-smi lists and CUDA_VISIBLE_DEVICES shows them, with a margin of memory that stays free."""

import stat
from pathlib import Path

import pytest
import torch

from lingbot_cli.model.device import free_gpu_memory
from lingbot_cli.runtime.hardware import (
    MARGIN,
    cuda_capability,
    free_gpus,
    free_memory,
    use_expandable_segments,
)

TOOL = """#!/bin/sh
case "$1" in
*memory*) printf '0, GPU-aa1, NVIDIA A, 24000, 20000\\n1, GPU-bb2, NVIDIA B, 80000, 70000\\n' ;;
*compute_cap*) printf '0, GPU-aa1, 8.6\\n1, GPU-bb2, 9.0\\n' ;;
esac
"""


@pytest.fixture(autouse=True)
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(TOOL)
    tool.chmod(tool.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ["NVIDIA A", "NVIDIA B"]),
        ("1", ["NVIDIA B"]),
        ("1,0", ["NVIDIA B", "NVIDIA A"]),
        ("GPU-bb", ["NVIDIA B"]),
        ("0,7,1", ["NVIDIA A"]),  # CUDA stops at the first that it does not know
        ("", []),
        ("-1", []),
    ],
)
def test_only_visible_gpus_count_in_cudas_order(
    visible: str | None, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [name for name, _, _ in free_gpus()] == names
    first = {"NVIDIA A": (8, 6), "NVIDIA B": (9, 0)}.get(names[0]) if names else None
    assert cuda_capability("cuda") == first


def test_a_margin_of_the_card_stays_free(monkeypatch: pytest.MonkeyPatch) -> None:
    mib = 2**20
    assert free_memory("cuda:1")[0] == 70000 * mib - int(MARGIN * 80000 * mib)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (70000 * mib, 80000 * mib))
    assert free_gpu_memory("cuda:1") == free_memory("cuda:1")[0]
    assert 0.08 <= MARGIN <= 0.1


def test_the_allocator_grows_segments_unless_the_user_chose() -> None:
    environ: dict[str, str] = {}
    use_expandable_segments(environ)
    assert environ == {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
    for name in ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"):
        chosen = {name: "backend:cudaMallocAsync"}
        use_expandable_segments(chosen)
        assert chosen == {name: "backend:cudaMallocAsync"}
