"""A scene's controls as messages: exact poses where the server takes them, else letters a latent frame."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from lingbot_cli.camera.keys import PITCH_DEGREES_PER_LATENT, WALK_UNITS_PER_LATENT, YAW_DEGREES_PER_LATENT
from lingbot_cli.camera.pose import CameraPose
from lingbot_cli.camera.relative_pose import relative_poses
from lingbot_cli.control import Control

_KEY_PAIRS = (("w", "s"), ("d", "a"), ("l", "j"), ("i", "k"))


@dataclass(frozen=True, eq=False)
class RemoteScene:
    """What is made from one first picture [H, W, 3] uint8; `scale` is what translations are divided by.

    `controls` may be unknown, and empty, where they come while it is made.
    """

    picture: np.ndarray
    height: int
    width: int
    fps: float
    seed: int
    scale: float
    controls: Sequence[Control] = ()


def init_message(scene: RemoteScene, first: Control, *, exact: bool) -> dict[str, Any]:
    """The message a scene begins with; `first` is its first chunk's Control."""
    buffer = io.BytesIO()
    Image.fromarray(scene.picture).save(buffer, "png")
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
    """One whole chunk, as exact as numbers travel."""
    payload = {
        "poses": control.poses.reshape(-1, 16).tolist(),
        "intrinsics": control.intrinsics.tolist(),
        "actions": np.asarray(control.actions, np.float64).tolist(),
        "prompt": control.prompt,
        "recache": control.recache,
    }
    return {"type": "event", "kind": "control", "payload": payload, "event_id": number}


def prompt_event(number: int, prompt: str) -> dict[str, Any]:
    """A new prompt."""
    return {"type": "event", "kind": "prompt", "payload": prompt, "event_id": number}


def action_script(controls: Sequence[Control]) -> list[list[str]]:
    """The letters that lead a published server nearest to the poses, one list a latent frame.

    Each latent frame's step is rounded to whole published steps; what is left over is carried on, so that
    the camera stays within half a step of its path.
    """
    poses = np.concatenate([control.poses for control in controls])
    steps = relative_poses(poses, scale=1.0)
    owed = np.zeros(4)  # forward, right, yaw, pitch: in published steps
    out = []
    for step in steps:
        turn = CameraPose.from_matrix(step)
        # A published step is 0.05 where walking a latent frame is four times that.
        owed += [
            step[2, 3] / (4 * WALK_UNITS_PER_LATENT),
            step[0, 3] / (4 * WALK_UNITS_PER_LATENT),
            turn.yaw / YAW_DEGREES_PER_LATENT,
            turn.pitch / PITCH_DEGREES_PER_LATENT,
        ]
        letters = []
        for axis, (more, less) in enumerate(_KEY_PAIRS):
            if abs(owed[axis]) >= 0.5:
                letters.append(more if owed[axis] > 0 else less)
                owed[axis] -= np.sign(owed[axis])
        out.append(letters)
    return out
