"""Kernel and threads: what is asked for wins, an earlier run's come next, and one process chooses for all."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lingbot_cli.checkpoints.checkpoint import read_checkpoint
from lingbot_cli.model.accel import cpu_threads as threads
from lingbot_cli.runtime.autotune import (
    THREAD_VARIABLES,
    THREADS_FILE,
    Tuning,
    choose_tuning,
    read_measurements,
)
from lingbot_cli.runtime.model_options import ModelOptions
from tests.support.command import lingbot

BEFORE = Tuning("math", 1)


def tuning(*, previous=None, **options):
    """The tuning of the built-in model at 32x32 on the CPU."""
    return choose_tuning(
        read_checkpoint(None), ModelOptions(device="cpu", **options), 32, 32, previous=previous
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A cache of its own and a machine of two threads on which nobody has said a number."""
    monkeypatch.setenv("LINGBOT_CACHE_DIR", str(tmp_path / "cache"))
    for name in THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    monkeypatch.setattr(threads, "default_threads", lambda: 2)
    yield tmp_path / "cache"
    torch.set_num_threads(before)


def test_threads_are_measured_once(folder):
    first = tuning()
    (key,) = known = read_measurements(THREADS_FILE, "threads")
    assert first.threads == known[key]["threads"] == torch.get_num_threads()
    other = 3 - first.threads
    (folder / THREADS_FILE).write_text(json.dumps({key: {"threads": other}}))
    assert tuning().threads == other


@pytest.mark.usefixtures("folder")
def test_what_is_said_wins_over_an_earlier_run_and_that_over_a_measurement(folder, monkeypatch):
    assert tuning(previous=BEFORE) == BEFORE
    assert tuning(threads=3, kernel="torch", previous=BEFORE) == Tuning("torch", 3)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert tuning(previous=BEFORE) == Tuning("math", 2)
    assert tuning(threads=1, previous=BEFORE) == BEFORE
    assert not folder.exists()  # nothing of this was measured


def test_what_was_chosen_can_be_written_down():
    for each in (BEFORE, Tuning(None, 2)):
        assert Tuning.from_texts(json.loads(json.dumps(each.as_texts()))) == each
    assert BEFORE.describe() == "self-attention: math · 1 CPU thread"
    assert Tuning(None, 2).describe() == "2 CPU threads"


def test_a_resumed_film_is_computed_as_it_was_begun(tmp_path):
    walk = ["render", "samples/courtyard-day.png", "--moves", "w-8", "--size", "32x32", "--device", "cpu"]
    walk += ["-o", str(tmp_path / "film.mkv"), "--keep-latents"]
    assert lingbot(*walk).code == 0
    noted = tmp_path / "film.mkv.resume" / "tuning.json"
    assert set(json.loads(noted.read_text())) == {"kernel", "threads"}
    noted.write_text(json.dumps({"kernel": "math", "threads": "2"}))
    again = lingbot(*walk, "--resume", "--overwrite")
    assert again.code == 0, again.stderr
    assert "self-attention: math" in again.stderr
    assert json.loads(noted.read_text())["kernel"] == "math"


TELL = """
import os, sys
from lingbot_cli.render.multi_gpu import ProcessGroup
from lingbot_cli.runtime.autotune import Tuning

group = ProcessGroup.of(os.environ)
group.connect("cpu")
print(group.broadcast(lambda: Tuning(f"of {group.rank}", 1 + group.rank)))
group.disconnect()
"""


def run_group(*command):
    """Two processes that meet, each with a cache of its own; what they printed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    shared = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    both = [
        subprocess.Popen(
            [sys.executable, *command],
            env=shared | {"RANK": str(rank), "LINGBOT_CACHE_DIR": cache},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank, cache in enumerate(("leader", "follower"))
    ]
    try:
        said = [each.communicate(timeout=180)[0] for each in both]
    finally:
        for each in both:
            each.kill()
    assert [each.returncode for each in both] == [0, 0], said
    return said


def test_the_leader_chooses_for_all():
    leader, follower = run_group("-c", TELL)
    assert leader == follower == "Tuning(kernel='of 0', threads=1, vae_format=None)\n"


FAST = """
import os, sys
from lingbot_cli.__main__ import main
from lingbot_cli.runtime import fast_mode

def measure(*_):
    assert os.environ["RANK"] == "0", "a follower measures"
    return False

fast_mode.cuda_capability = lambda _: (8, 0)
fast_mode.int8_attention_problem = lambda _: None
fast_mode.int8_attention_wins = measure
main()
"""


@pytest.mark.parametrize("command", [("render", "-o", "film.mkv"), ("stream", "--to", "null:")], ids=str)
def test_the_leader_alone_measures(tmp_path, monkeypatch, command):
    image = Path("samples/courtyard-day.png").absolute()
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    monkeypatch.chdir(tmp_path)
    name, *output = command
    leader, _ = run_group(
        *("-c", FAST, name, str(image), "--moves", "w-8", "--size", "32x32", "--device", "cpu", "--fast"),
        *output,
    )
    assert "without int8 attention, which is not faster here" in leader
    assert "self-attention: torch" in leader or "self-attention: math" in leader
    assert (tmp_path / "leader" / "kernels.json").exists()
    assert not (tmp_path / "follower" / "kernels.json").exists()
