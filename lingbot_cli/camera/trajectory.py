"""A camera that walks by steps and rides along given paths, one pose a video frame."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from lingbot_cli.camera.pose import CameraPose
from lingbot_cli.camera.relative_pose import invert_poses


@dataclass(frozen=True, eq=False)
class PathSegment:
    """A camera-to-world path `poses` [N, 4, 4] taken from video frame `start` on, one row a frame."""

    start: int
    poses: np.ndarray

    def step_from(self, frame: int) -> tuple[np.ndarray, np.ndarray] | None:
        """The path's poses at a frame and at the next, or None where it does not move."""
        at = frame - self.start
        return (self.poses[at], self.poses[at + 1]) if 0 <= at < len(self.poses) - 1 else None


@dataclass(frozen=True)
class FrameMotion:
    """What happens during one video frame: a step of motion, the rides under way, a scene that begins."""

    step: tuple[float, ...]
    segments: tuple[PathSegment, ...] = field(default=())
    starts_scene: bool = False


def integrate(motions: Iterable[FrameMotion]) -> Iterator[CameraPose | np.ndarray]:
    """For each motion, where the camera is when it begins; a ride's poses [4, 4] come through exactly.

    A scene begins at the identity, or where a ride that begins with it begins. Later rides continue from
    where the camera is, and steps add to them.
    """
    at: CameraPose | np.ndarray = CameraPose()
    anchors: dict[PathSegment, np.ndarray] = {}
    for frame, motion in enumerate(motions):
        if motion.starts_scene:
            at = next((r.poses[0] for r in motion.segments if r.start == frame), CameraPose())
            anchors.clear()
        yield at
        legs = {ride: leg for ride in motion.segments if (leg := ride.step_from(frame))}
        if not legs:
            if any(motion.step):
                at = (at if isinstance(at, CameraPose) else CameraPose.from_matrix(at)).moved(motion.step)
            continue
        pose = at.matrix() if isinstance(at, CameraPose) else at
        for ride, (here, _) in legs.items():
            if ride not in anchors:
                anchors[ride] = np.eye(4) if np.array_equal(pose, here) else pose @ invert_poses(here)
        if len(legs) == 1 and not any(motion.step):
            ((ride, (_, there)),) = legs.items()
            at = anchors[ride] @ there
            continue
        for here, there in legs.values():
            pose = pose @ invert_poses(here) @ there
        at = pose = CameraPose.from_matrix(pose).moved(motion.step).matrix()
        anchors.update({ride: pose @ invert_poses(there) for ride, (_, there) in legs.items()})
