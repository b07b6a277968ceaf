"""Camera controllers of play and serve: sampled inputs become a chunk's Control (streams: timeline/live.py)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lingbot_cli.camera.keys import (
    AXIS_COUNT,
    LOOK,
    PITCH,
    PITCH_DEGREES_PER_LATENT,
    WALK_UNITS_PER_LATENT,
    YAW,
    YAW_DEGREES_PER_LATENT,
    key_motion,
    wasd_held,
)
from lingbot_cli.camera.pose import FIXED_SCALE, CameraPose, pose_matrices
from lingbot_cli.control import FRAMES_PER_LATENT, Control
from lingbot_cli.server.client_events import CameraTurn
from lingbot_cli.server.input_queue import SampledInput
from lingbot_cli.timeline.live import LiveTimeline

if TYPE_CHECKING:
    from lingbot_cli.server.play_session import SessionSettings

INTRINSICS = (500.0, 500.0, 416.0, 240.0)  # fx, fy, cx, cy in pixels, published for 832×480
_DEGREES = np.ones(AXIS_COUNT)
_DEGREES[[YAW, LOOK]] = YAW_DEGREES_PER_LATENT, PITCH_DEGREES_PER_LATENT


class StepController:
    """Published camera: one step a latent frame, first the turn, then the walk along the new heading."""

    scale = WALK_UNITS_PER_LATENT

    def __init__(self, prompt: str) -> None:
        self._prompt = prompt
        self._pose = CameraPose()
        self._started = False

    def control(self, sampled: SampledInput, turns: Sequence[CameraTurn]) -> Control:
        self._prompt = sampled.prompt if sampled.prompt is not None else self._prompt
        count = len(sampled.keys)
        turn = np.zeros(AXIS_COUNT)
        turn[[YAW, PITCH]] = sum(each.yaw for each in turns), sum(each.pitch for each in turns)
        camera_poses = []
        for keys in sampled.keys:
            if self._started:  # the first latent frame is the first image: the camera has not moved
                step = np.array(key_motion(keys, WALK_UNITS_PER_LATENT, 1.0)) * _DEGREES + turn / count
                self._pose = self._pose.moved(tuple(step.tolist()))
            self._started = True
            camera_poses.append(self._pose)
        actions = np.array([wasd_held(keys) for keys in sampled.keys], np.float32)
        return Control(
            pose_matrices(camera_poses),
            np.tile(INTRINSICS, (count, 1)),
            actions,
            self._prompt,
            FRAMES_PER_LATENT * count,
        )


class TimelineController:
    """Camera of a live timeline, which can be saved and rendered again."""

    scale = FIXED_SCALE

    def __init__(self, chunk: int, header: dict[str, Any]) -> None:
        self._live = LiveTimeline(chunk, header)
        self._held = ""

    def control(self, sampled: SampledInput, turns: Sequence[CameraTurn]) -> Control:
        start = self._live.frame
        if sampled.prompt is not None:
            self._live.set_prompt(sampled.prompt)
        at = start
        for index, keys in enumerate(sampled.keys):
            if keys != self._held:
                self._live.hold_keys(keys, at)
                self._held = keys
            at += 1 if start == 0 and index == 0 else FRAMES_PER_LATENT
        for turn in turns:
            self._live.turn(turn.yaw, turn.pitch, at - start)
        control = self._live.next_control()
        if control is None:
            raise RuntimeError("a live timeline has no end")
        return control

    def lines(self) -> list[dict[str, Any]]:
        """Return the session so far as lines of a timeline file."""
        return self._live.record()


CameraController = StepController | TimelineController
"""Converts sampled inputs into Controls; translations are divided by its `scale`."""


def camera_controller(settings: "SessionSettings", chunk: int) -> CameraController:
    """Return the camera of a play session that renders `chunk` latent frames at a time."""
    if settings.camera is None or settings.exact:
        return StepController(settings.prompt)
    header = {
        "prompt": settings.prompt or None,
        "seed": settings.seed,
        "size": f"{settings.width}x{settings.height}",
        "fps": round(settings.fps),
        "camera": settings.camera.fitted(settings.height, settings.width).model_dump(exclude_none=True),
    }
    return TimelineController(chunk, {key: value for key, value in header.items() if value is not None})
