"""Where the recorded tensors lie and how the tiny models they were recorded with are made."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from lingbot_cli.world.vae import VAE, VAEConfig

REFERENCE = Path(__file__).parent / "data" / "reference"
CASES = sorted(path.parent for path in (REFERENCE / "cases").glob("*/case.json"))


def settings(case: Path) -> dict[str, Any]:
    """The settings a case was recorded with."""
    return json.loads((case / "case.json").read_text())


@cache
def recorded(case: Path) -> dict[str, Tensor]:
    """The tensors of a case."""
    return load_file(case / "expected.safetensors")


@cache
def tiny_vae() -> VAE:
    """The VAE of every recorded case."""
    vae = VAE(VAEConfig(dim=8))
    vae.load_state_dict(load_file(REFERENCE / "weights" / "vae.safetensors"))
    return vae.eval().requires_grad_(False)
