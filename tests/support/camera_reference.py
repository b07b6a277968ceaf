"""Recorded camera tensors."""

import json
from functools import cache
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

DATA = Path(__file__).parents[1] / "data" / "reference"
CAMERA = DATA / "camera"
KEYS = [c for c in json.loads((CAMERA / "cases.json").read_text()) if "actions" in c]
TRAJECTORIES = [c["id"] for c in json.loads((CAMERA / "cases.json").read_text()) if "actions" not in c]


@cache
def recorded() -> dict[str, np.ndarray]:
    """Return every tensor of the camera recordings by name."""
    return load_file(CAMERA / "expected.safetensors")
