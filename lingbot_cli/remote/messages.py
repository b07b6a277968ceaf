"""Messages to a remote engine: init, exact poses, prompts, and the keys nearest to a path."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from lingbot_cli.camera.keys import PITCH_DEGREES_PER_LATENT, WALK_UNITS_PER_LATENT, YAW_DEGREES_PER_LATENT
from lingbot_cli.camera.pose import CameraPose, relative_poses
from lingbot_cli.control import Control

_KEY_PAIRS = (("w", "s"), ("d", "a"), ("l", "j"), ("i", "k"))


@dataclass(frozen=True, eq=False)
class RemoteScene:
    """Part of a video from one first image [H, W, 3] uint8; translations are divided by `scale`.

    `controls` is empty where they arrive during the render.
    """

    image: np.ndarray
    height: int
    width: int
    fps: float
    seed: int
    scale: float
    controls: Sequence[Control] = ()


def init_message(scene: RemoteScene, first: Control, *, exact: bool) -> dict[str, Any]:
    """Return the init message; `first` is the first chunk's Control."""
    buffer = io.BytesIO()
    Image.fromarray(scene.image).save(buffer, "png")
    message = {
        "type": "init",
        "prompt": first.prompt,
        "first_frame": buffer.getvalue(),
        "size": f"{scene.width}x{scene.height}",
        "fps": scene.fps,
        "num_frames": 4 * len(first.poses) - 3,
        "seed": scene.seed,
        "guidance_scale": 1.0,
        "realtime_output_format": "raw",
        "realtime_output_pacing": False,
    }
    return {**message, "controls": True, "scale": scene.scale} if exact else message


def control_event(number: int, control: Control) -> dict[str, Any]:
    """Return the `control` event of one whole chunk, in full precision."""
    payload = {
        "poses": control.poses.reshape(-1, 16).tolist(),
        "intrinsics": control.intrinsics.tolist(),
        "actions": np.asarray(control.actions, np.float64).tolist(),
        "prompt": control.prompt,
        "recache": control.recache,
    }
    return {"type": "event", "kind": "control", "payload": payload, "event_id": number}


def prompt_event(number: int, prompt: str) -> dict[str, Any]:
    """Return the `prompt` event."""
    return {"type": "event", "kind": "prompt", "payload": prompt, "event_id": number}


def action_script(controls: Sequence[Control]) -> list[list[str]]:
    """Return the keys that follow the poses on a published server, one list a latent frame.

    Each latent frame's motion is rounded to whole published steps. The rounding error is carried over, so the
    camera stays within half a step of its path.
    """
    poses = np.concatenate([control.poses for control in controls])
    steps = relative_poses(poses, scale=1.0)
    error = np.zeros(4)  # forward, right, yaw, pitch: in published steps
    script = []
    for step in steps:
        turn = CameraPose.from_matrix(step)
        # A published step is 0.05; poses advance four times that in a latent frame.
        error += [
            step[2, 3] / (4 * WALK_UNITS_PER_LATENT),
            step[0, 3] / (4 * WALK_UNITS_PER_LATENT),
            turn.yaw / YAW_DEGREES_PER_LATENT,
            turn.pitch / PITCH_DEGREES_PER_LATENT,
        ]
        keys = []
        for axis, (more, less) in enumerate(_KEY_PAIRS):
            if abs(error[axis]) >= 0.5:
                keys.append(more if error[axis] > 0 else less)
                error[axis] -= np.sign(error[axis])
        script.append(keys)
    return script
