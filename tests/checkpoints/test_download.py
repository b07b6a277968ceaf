"""Downloads with the real hub library from a small hub on the loopback interface."""

import io
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lingbot_cli.checkpoints.registry import DECODER_REPOSITORY, PUBLISHED
from lingbot_cli.cli import run
from lingbot_cli.env import Env
from tests.support.command import lingbot
from tests.support.hub_server import Hub, hub_serving
from tests.support.reference import REFERENCE

DIFFUSERS = REFERENCE / "checkpoints" / "diffusers-v1-fast"
NAME = "lingbot-world-fast"
REPOSITORY = PUBLISHED[NAME].sources[0].repository
SHARD = "transformer/diffusion_pytorch_model-00001-of-00002.safetensors"
LARGE = "text_encoder/model-00003-of-00005.safetensors"
MIB = 2**20


@pytest.fixture
def hub() -> Iterator[Hub]:
    files = {
        path.relative_to(DIFFUSERS).as_posix(): path.read_bytes()
        for path in DIFFUSERS.rglob("*")
        if path.is_file()
    }
    files["README.md"] = b"not needed to render"
    with hub_serving({REPOSITORY: files}) as serving:
        yield serving


def pull(hub: Hub, cache: Path, *options: str, largest: int = -1, name: str = NAME) -> subprocess.Popen[str]:
    """Start a download; `largest` is the file size limit in bytes."""
    environment = os.environ | {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(cache / "hf"),
        "LINGBOT_CACHE_DIR": str(cache),
    }
    command = [sys.executable, "-m", "lingbot_cli", "models", "pull", name, *options]
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest)),
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = process.communicate(timeout=120)
    return process.returncode, said


def test_only_what_is_needed_is_fetched_and_it_is_whole(hub: Hub, cache: Path) -> None:
    code, said = finish(pull(hub, cache, "--accept-license"))
    assert code == 0, said
    folder = cache / "models" / NAME
    assert "Apache-2.0" in said
    assert "README.md" not in hub.sent
    assert not (folder / "README.md").exists()
    for file in (f for f in folder.rglob("*") if f.is_file() and f.name != "files.json"):
        assert file.read_bytes() == (DIFFUSERS / file.relative_to(folder)).read_bytes()
    record = json.loads((folder / "files.json").read_text())["files"]
    assert {row["revision"] for row in record} == {"c" * 40}
    assert finish(pull(hub, cache))[0] == 0  # it is here: nothing to accept, nothing to fetch
    assert finish(pull(hub, cache, "--revision", "c" * 8))[0] == 0
    code, said = finish(pull(hub, cache, "--revision", "abc123"))
    assert code == 2
    assert f"--revision abc123: {NAME} is installed at {'c' * 40}" in said

    env = Env(stdout=io.StringIO(), stderr=io.StringIO(), environ={"LINGBOT_CACHE_DIR": str(cache)})
    assert run(["models", "verify", NAME], env) == 0
    shard = folder / SHARD
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    assert run(["models", "verify", NAME], env) == 3
    assert f"{SHARD} has the right size but other content" in env.stderr.getvalue()
    assert run(["models", "rm", NAME, "--yes"], env) == 0
    assert not folder.exists()


def test_a_pull_killed_half_way_goes_on_where_it_stopped(hub: Hub, cache: Path) -> None:
    # The hub's library writes pieces of 10 MiB, so it takes a file of several to have a half.
    content = random.Random(0).randbytes(32 * MIB)
    hub.repositories[REPOSITORY][LARGE] = content
    hub.stop_after = 25 * MIB
    first = pull(hub, cache, "--accept-license")
    assert hub.stopped.wait(60)
    part = cache / "models" / ".partial" / NAME / f"{LARGE}.part"
    deadline = time.monotonic() + 30
    while (not part.exists() or part.stat().st_size < 20 * MIB) and time.monotonic() < deadline:
        time.sleep(0.05)
    first.kill()
    finish(first)
    assert not (cache / "models" / NAME).exists()
    kept = part.stat().st_size
    assert kept >= 20 * MIB
    hub.stop_after = None
    already = dict(hub.sent)
    code, said = finish(pull(hub, cache, "--accept-license"))
    assert code == 0, said
    assert hub.sent[LARGE] - already[LARGE] == len(content) - kept
    assert hub.ranges == [f"{LARGE} bytes={kept}-"]
    for name, count in already.items():
        if name != LARGE:
            assert hub.sent[name] == count, f"{name} was fetched twice"
    assert (cache / "models" / NAME / LARGE).read_bytes() == content


def test_two_pulls_at_once_do_not_disturb_each_other(hub: Hub, cache: Path) -> None:
    hub.repositories[REPOSITORY][LARGE] = random.Random(0).randbytes(32 * MIB)
    hub.stop_after = 25 * MIB
    first = pull(hub, cache, "--accept-license")
    assert hub.stopped.wait(60)
    code, said = finish(pull(hub, cache, "--accept-license"))
    first.kill()
    finish(first)
    assert code == 2
    assert f"another `lingbot models pull` is downloading {NAME}" in said


def test_what_the_disk_refuses_is_the_disks_fault(hub: Hub, cache: Path) -> None:
    hub.repositories[REPOSITORY][LARGE] = random.Random(0).randbytes(4 * MIB)
    code, said = finish(pull(hub, cache, "--accept-license", largest=3 * MIB))
    assert code == 4, said
    assert "text_encoder/model-00003-of-00005.safetensors.part cannot be written: File too large" in said
    assert finish(pull(hub, cache, "--accept-license"))[0] == 0  # with the disk mended it goes on

    (cache / "file").write_text("no folder")
    code, said = finish(pull(hub, cache / "file", "--accept-license"))
    assert code == 4
    assert "cannot be written: Not a directory" in said


def test_a_linked_model_is_removed_and_what_it_names_stays(cache: Path) -> None:
    (cache / "models").mkdir()
    (cache / "models" / NAME).symlink_to(DIFFUSERS)
    assert lingbot("models", "rm", NAME, "--yes").code == 0
    assert not (cache / "models" / NAME).is_symlink()
    assert DIFFUSERS.is_dir()
    assert lingbot("models", "rm", NAME, "--yes").code == 3


def test_a_file_that_is_not_what_the_hub_says_is_not_kept(hub: Hub, cache: Path) -> None:
    part = cache / "models" / ".partial" / NAME / f"{SHARD}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1000)  # the beginning of something else
    code, said = finish(pull(hub, cache, "--accept-license"))
    assert code == 3
    assert "other content" in said
    assert not part.exists()
    assert finish(pull(hub, cache, "--accept-license"))[0] == 0


def test_the_licence_must_be_accepted(hub: Hub, cache: Path) -> None:
    code, said = finish(pull(hub, cache))
    assert code == 2
    assert "--accept-license" in said
    assert not hub.sent


def test_a_decoder_is_downloaded_and_verified(cache: Path) -> None:
    files = {"taew2_1.pth": b"p" * 20_000, "taew2_1.safetensors": b"s" * 20_000, "other.pth": b"o"}
    with hub_serving({DECODER_REPOSITORY: files}) as serving:
        code, said = finish(pull(serving, cache, name="taew2_1"))
        other = finish(pull(serving, cache, "--revision", "abc", name="taew2_1"))
    assert code == 0, said
    assert other[0] == 2
    assert "--revision cannot be used with taew2_1" in other[1]
    decoders = {path.name for path in (cache / "decoders").iterdir() if path.is_file()}
    assert decoders == {"taew2_1.safetensors"}
    assert (cache / "decoders" / "taew2_1.safetensors").read_bytes() == files["taew2_1.safetensors"]


def test_a_repository_that_is_not_there(cache: Path) -> None:
    with hub_serving({}) as empty:
        code, said = finish(pull(empty, cache, "--accept-license"))
    assert code == 3
    assert f"no {REPOSITORY}" in said


def test_the_catalogue_has_the_sizes_of_the_listing(hub: Hub, cache: Path) -> None:
    needed = [
        path for path in hub.repositories[REPOSITORY] if path != "README.md" and "config.json" not in path
    ]
    command = [sys.executable, "-m", "lingbot_cli", "models", "list", "--json"]
    environment = os.environ | {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "LINGBOT_CACHE_DIR": str(cache),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    sizes = {model["name"]: model["bytes"] for model in json.loads(done.stdout)}
    listed = sum(len(hub.repositories[REPOSITORY][path]) for path in needed)
    assert listed <= sizes[NAME] <= listed + 20_000  # the configs
    assert sizes["lingbot-world-v2-14b-causal-fast"] == 86_000_000_000  # the hub here has no such repository


def test_offline_says_so(cache: Path) -> None:
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "LINGBOT_CACHE_DIR": str(cache)}
    command = [sys.executable, "-m", "lingbot_cli", "models", "pull", NAME, "--accept-license"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    assert "HF_HUB_OFFLINE" in done.stderr
