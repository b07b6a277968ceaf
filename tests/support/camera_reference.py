"""Recorded camera tensors."""

import json
from functools import cache
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from lingbot_cli.camera.pose import CameraPose, pose_matrices

DATA = Path(__file__).parents[1] / "data" / "reference"
CAMERA = DATA / "camera"
KEYS = [c for c in json.loads((CAMERA / "cases.json").read_text()) if "actions" in c]
TRAJECTORIES = [c["id"] for c in json.loads((CAMERA / "cases.json").read_text()) if "actions" not in c]


@cache
def recorded() -> dict[str, np.ndarray]:
    """Return every tensor of the camera recordings by name."""
    return load_file(CAMERA / "expected.safetensors")


def integrate_steps(steps, start: CameraPose | None = None) -> np.ndarray:
    """Add up steps [N, 7] from `start` (the identity) → poses [N+1, 4, 4] float64 before, between and after."""
    poses = [start or CameraPose()]
    for step in np.asarray(steps, np.float64).tolist():
        poses.append(poses[-1].moved(tuple(step)))
    return pose_matrices(poses)
