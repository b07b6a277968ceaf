"""Estimated and measured peak memory of a render, in a process of its own."""

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from lingbot_cli.checkpoints.checkpoint import find_layout
from lingbot_cli.cli import run
from lingbot_cli.env import Env
from lingbot_cli.model.loading.convert import write_model
from lingbot_cli.model.loading.loader import transformer_on_meta
from lingbot_cli.presets import PRESETS

RUN = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "lingbot_cli", *sys.argv[1:]], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
print(usage.ru_maxrss * 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Run lingbot from a small process: memory of a large parent would count as the child's after a fork."""


def peaks(cache: Path, *options: str) -> tuple[int, int]:
    """Return the estimated and the measured peak bytes of a render on the CPU."""
    call = ["render", "samples/courtyard-day.png", "-o", "null:", "--device", "cpu", *options]
    call += ["--prompt", "a stone courtyard"]
    environ = os.environ | {"LINGBOT_CACHE_DIR": str(cache), "OMP_NUM_THREADS": "2"}
    env = Env(stdout=io.StringIO(), stderr=io.StringIO(), environ=environ)
    assert run([*call, "--dry-run", "--json"], env) == 0, env.stderr.getvalue()
    planned = json.loads(env.stdout.getvalue())["memory"]["peak"]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *call, "--quiet"],
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
        timeout=280,
        check=True,
    )
    return planned, int(done.stdout)


def write_wide(folder: Path) -> Path:
    """Write a model of random weights that is wider and deeper than the built-in one."""
    preset = replace(PRESETS["built-in"], dim=512, heads=8, layers=12, ffn=2048, window=18)
    places = transformer_on_meta(preset, "float32", None, torch.device("cpu")).state_dict()
    draw = torch.Generator().manual_seed(0)
    here = find_layout(None).root
    write_model(
        folder,
        preset,
        transformer={name: torch.randn(p.shape, generator=draw) * 0.02 for name, p in places.items()},
        vae=load_file(here / "vae.safetensors"),
        text=load_file(here / "text_encoder.safetensors"),
        tokenizer=(here / "tokenizer.json").read_text(),
        precision="float32",
        trained=False,
        source="random",
    )
    return folder
