"""Plan of a batch: shared preparation, the device that memory is estimated for, seeds, errors and fingerprints."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lingbot_cli.batch import planner
from lingbot_cli.batch.planner import PlannedTask, TaskPreparer, plan_tasks
from lingbot_cli.batch.tasks import Task
from lingbot_cli.errors import UsageError
from lingbot_cli.presets import PRESETS
from lingbot_cli.remote.client import EngineAddress, RemoteModel, RemoteTarget
from lingbot_cli.render import request as render_request
from lingbot_cli.render.request import DEFAULT_SEED, Request
from lingbot_cli.runtime.model_options import ModelOptions
from lingbot_cli.sinks.factory import OutputOptions
from lingbot_cli.timeline.resolve import TimelineOverrides


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner, "free_gpus", list)


@pytest.fixture
def walk(tmp_path: Path) -> Request:
    for name, shade in (("a.png", 40), ("b.png", 200)):
        Image.fromarray(np.full((64, 96, 3), shade, np.uint8)).save(tmp_path / name)
    return Request(tmp_path / "a.png", moves="w-33", overrides=TimelineOverrides(prompt="day"), size="48x32")


def plan(*requests: Request, name: str = "a.mp4") -> list[PlannedTask]:
    return plan_tasks([Task(name, request, OutputOptions()) for request in requests])


def test_a_task_has_the_numbers_of_its_video(walk: Request) -> None:
    (planned,) = plan(replace(walk, overrides=TimelineOverrides(fps=60)), name="a.gif")
    assert (planned.frames, planned.chunks, planned.fps, planned.size) == (33, 3, 60, "48x32")
    assert (planned.seed, planned.error) == (DEFAULT_SEED, None)
    assert planned.memory > 0
    assert planned.warnings[-1].startswith("a.gif: 50 of 60 frames per second")


def test_a_task_without_a_plan_has_no_length(walk: Request) -> None:
    task = Task("a.mp4", walk, OutputOptions())
    assert PlannedTask(task) == PlannedTask(task, 0, 0, 16, "", 0, "", 0, None, ())


def test_seeds_share_the_preparation(walk: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = []

    def count(request: Request, **options: object) -> object:
        prepared.append(request.seed)
        return render_request.prepare(request, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(planner, "prepare", count)
    planned = plan(*(replace(walk, seed=seed) for seed in (None, 0, 7)))
    assert [each.seed for each in planned] == [DEFAULT_SEED, 0, 7]
    assert [each.task.request.seed for each in planned] == [None, 0, 7]
    assert len({each.fingerprint for each in planned}) == 3
    assert prepared == [None]


def test_tasks_of_one_model_read_its_checkpoint_once(walk: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    reads, read_checkpoint = [], planner.read_checkpoint

    def count(*options: object) -> object:
        reads.append(options)
        return read_checkpoint(*options)  # type: ignore[arg-type]

    monkeypatch.setattr(planner, "read_checkpoint", count)
    plan(walk, replace(walk, image=walk.image.with_name("b.png")), walk)
    assert len(reads) == 1


def test_a_remote_model_needs_no_checkpoint(walk: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(planner, "prepare", lambda request, **options: asked.append((request, options)))
    model = RemoteModel(PRESETS["built-in"], trained=True, identity="a")
    remote = replace(walk, remote=RemoteTarget(EngineAddress("ws://127.0.0.1:9"), model, exact=True))
    TaskPreparer().prepare(remote)
    assert asked == [(remote, {})]


def test_memory_is_that_of_the_tasks_device_or_of_the_machines(
    walk: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = []

    def note_device(prepared: object, device: str) -> object:
        devices.append(device)
        return memory_setup(prepared, "cpu")  # type: ignore[arg-type]

    memory_setup = planner.memory_setup
    monkeypatch.setattr(planner, "memory_setup", note_device)
    both = [walk, replace(walk, options=ModelOptions(device="cuda:1"))]
    plan(*both)
    monkeypatch.setattr(planner, "free_gpus", lambda: [("cuda:0", 80, 80)])
    plan(*both, replace(walk, options=ModelOptions(device="cpu")))
    assert devices == ["cpu", "cuda:1", "cuda", "cuda:1", "cpu"]


def test_a_task_that_cannot_be_prepared_leaves_the_others(walk: Request, tmp_path: Path) -> None:
    missing = replace(walk, image=tmp_path / "missing.png")
    planned = plan(missing, replace(missing, seed=7), walk)
    assert [each.seed for each in planned] == [DEFAULT_SEED, 7, DEFAULT_SEED]
    assert ["missing.png" in str(each.error) for each in planned] == [True, True, False]
    assert [each.frames for each in planned] == [0, 0, 33]


def test_errors_of_all_timelines_are_shown_each_once(walk: Request, tmp_path: Path) -> None:
    wrong = []
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text("events: [{keys: x, for: 1s}]")
        wrong.append(replace(walk, moves=None, timeline=str(tmp_path / f"{name}.yaml")))
    with pytest.raises(UsageError) as refused:
        plan(wrong[0], walk, wrong[1], wrong[0])
    for name in ("one", "two"):
        assert str(refused.value).count(f"1 error in {tmp_path}/{name}.yaml") == 1


def test_the_decoders_content_is_part_of_a_fingerprint(walk: Request, tmp_path: Path) -> None:
    decoder = tmp_path / "decoder.safetensors"
    decoder.write_bytes(b"one")
    (planned,) = plan(replace(walk, options=ModelOptions(decoder=str(decoder))))
    assert planned.fingerprint.endswith(f"-{hashlib.sha256(b'one').hexdigest()[:16]}")
