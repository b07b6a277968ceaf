"""From letters to where the camera goes: as timelines do it, or by the published steps per latent frame."""

from collections.abc import Sequence
from typing import Any, Protocol

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
from lingbot_cli.camera.pose import CameraPose, pose_matrices
from lingbot_cli.camera.relative_pose import FIXED_SCALE
from lingbot_cli.control import Control
from lingbot_cli.server.client_events import CameraTurn
from lingbot_cli.server.input_queue import SampledInput
from lingbot_cli.timeline.live import LiveTimeline

INTRINSICS = (500.0, 500.0, 416.0, 240.0)  # published for 832×480
_FRAMES = 4  # video frames a latent frame
_DEGREES = np.ones(AXIS_COUNT)
_DEGREES[[YAW, LOOK]] = YAW_DEGREES_PER_LATENT, PITCH_DEGREES_PER_LATENT


class CameraController(Protocol):
    """Turns what each chunk is told into its Control; `scale` is what translations are divided by."""

    scale: float

    def control(self, sampled: SampledInput, looks: Sequence[CameraTurn]) -> Control:
        """The next chunk's Control."""


class StepController:
    """One step a latent frame, as the published server takes it: turn first, then along the new heading."""

    scale = WALK_UNITS_PER_LATENT

    def __init__(self, prompt: str) -> None:
        self._prompt = prompt
        self._stance = CameraPose()
        self._begun = False

    def control(self, sampled: SampledInput, looks: Sequence[CameraTurn]) -> Control:
        self._prompt = sampled.prompt if sampled.prompt is not None else self._prompt
        count = len(sampled.keys)
        look = np.zeros(AXIS_COUNT)
        look[[YAW, PITCH]] = sum(each.yaw for each in looks), sum(each.pitch for each in looks)
        stances = []
        for letters in sampled.keys:
            if self._begun:  # a world's first latent frame is its picture: nothing has moved yet
                step = np.array(key_motion(letters, WALK_UNITS_PER_LATENT, 1.0)) * _DEGREES + look / count
                self._stance = self._stance.moved(tuple(step.tolist()))
            self._begun = True
            stances.append(self._stance)
        frames = _FRAMES * count
        actions = np.array([wasd_held(letters) for letters in sampled.keys], np.float32)
        return Control(pose_matrices(stances), np.tile(INTRINSICS, (count, 1)), actions, self._prompt, frames)


class TimelineController:
    """Every key and word becomes a timeline's event, so what was played can be written and rendered again."""

    scale = FIXED_SCALE

    def __init__(self, chunk: int, header: dict[str, Any]) -> None:
        self._live = LiveTimeline(chunk, header)
        self._held = ""

    def control(self, sampled: SampledInput, looks: Sequence[CameraTurn]) -> Control:
        start = self._live.frame
        if sampled.prompt is not None:
            self._live.apply_raw({"prompt": sampled.prompt})
        at = start
        for index, letters in enumerate(sampled.keys):
            if letters != self._held:
                self._live.apply_raw({"keys": letters, "at": f"{at}f"})
                self._held = letters
            at += 1 if start == 0 and index == 0 else _FRAMES
        for look in looks:
            self._live.apply_raw({"turn": {"yaw": look.yaw, "pitch": look.pitch}, "for": f"{at - start}f"})
        told = self._live.next_control()
        if told is None:
            raise RuntimeError("a played timeline has no end")
        return told

    def lines(self) -> list[dict[str, Any]]:
        """What was played, as the lines of a timeline file."""
        return self._live.record()
