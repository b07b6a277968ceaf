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

    def leg(self, frame: int) -> tuple[np.ndarray, np.ndarray] | None:
        """The path's poses at a frame and at the next, or None where it does not move."""
        at = frame - self.start
        return (self.poses[at], self.poses[at + 1]) if 0 <= at < len(self.poses) - 1 else None


@dataclass(frozen=True)
class FrameMotion:
    """What happens during one video frame: a step of motion, the rides under way, a scene that begins."""

    step: tuple[float, ...]
    rides: tuple[PathSegment, ...] = field(default=())
    scene: bool = False


def integrate(moments: Iterable[FrameMotion]) -> Iterator[CameraPose | np.ndarray]:
    """For each moment, where the camera is when it begins; a ride's poses [4, 4] come through exactly.

    A scene begins at the identity, or where a ride that begins with it begins. Later rides continue from
    where the camera is, and steps add to them.
    """
    at: CameraPose | np.ndarray = CameraPose()
    anchors: dict[PathSegment, np.ndarray] = {}
    for frame, moment in enumerate(moments):
        if moment.scene:
            at = next((r.poses[0] for r in moment.rides if r.start == frame), CameraPose())
            anchors.clear()
        yield at
        legs = {ride: leg for ride in moment.rides if (leg := ride.leg(frame))}
        if not legs:
            if any(moment.step):
                at = (at if isinstance(at, CameraPose) else CameraPose.of(at)).after(moment.step)
            continue
        pose = at.pose() if isinstance(at, CameraPose) else at
        for ride, (here, _) in legs.items():
            if ride not in anchors:
                anchors[ride] = np.eye(4) if np.array_equal(pose, here) else pose @ invert_poses(here)
        if len(legs) == 1 and not any(moment.step):
            ((ride, (_, there)),) = legs.items()
            at = anchors[ride] @ there
            continue
        for here, there in legs.values():
            pose = pose @ invert_poses(here) @ there
        at = pose = CameraPose.of(pose).after(moment.step).pose()
        anchors.update({ride: pose @ invert_poses(there) for ride, (_, there) in legs.items()})
