"""Several processes render the same video as one, for any number of tokens."""

import pickle
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lingbot_cli.model.session import Session
from tests.support.reference import sample_image, tiny_world, walk

SIZES = {2: (48, 80), 4: (48, 80), 3: (16, 48)}
CHUNKS = 4

WORKER = """
import dataclasses, pickle, sys
import torch, torch.distributed as dist
from lingbot_cli.errors import UsageError
from lingbot_cli.model.sequence_parallel import Ulysses
from lingbot_cli.model.session import Session
from tests.support.reference import sample_image, tiny_world, walk

rank, size, port, height, width = map(int, sys.argv[1:6])
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)
try:
    world = dataclasses.replace(tiny_world(), parallel=Ulysses(4))
except UsageError as refused:
    print(refused)
    sys.exit(2)
video = Session(world, sample_image(), height=height, width=width, seed=1)
made = [video.denoise(control) for control in walk(4)]
pickle.dump(torch.cat(made, 1).numpy(), open(sys.argv[6], "wb"))
dist.destroy_process_group()
"""


def run(processes: int, folder: Path) -> list[subprocess.CompletedProcess[str]]:
    height, width = SIZES[processes]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    started = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                WORKER,
                *map(str, (rank, processes, port, height, width)),
                str(folder / str(rank)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    done = []
    try:
        for child in started:
            out, err = child.communicate(timeout=120)
            done.append(subprocess.CompletedProcess(child.args, child.returncode, out, err))
    finally:
        for child in started:
            child.kill()
    return done


@pytest.mark.parametrize("processes", [2, 4])
def test_many_equal_one(tmp_path, processes):
    for child in run(processes, tmp_path):
        assert child.returncode == 0, child.stderr
    height, width = SIZES[processes]
    alone = Session(tiny_world(), sample_image(), height=height, width=width, seed=1)
    expected = torch.cat([alone.denoise(control) for control in walk(CHUNKS)], 1)
    for rank in range(processes):
        made = torch.from_numpy(pickle.loads((tmp_path / str(rank)).read_bytes()))
        torch.testing.assert_close(made, expected, atol=1e-5, rtol=0)


def test_heads_that_cannot_be_shared_are_refused(tmp_path):
    for child in run(3, tmp_path):
        assert child.returncode == 2, child.stderr
        assert "4 attention heads cannot be shared among 3 devices" in child.stdout
