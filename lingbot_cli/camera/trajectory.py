"""Camera trajectory: steps of motion and given paths integrated into one pose a video frame."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from lingbot_cli.camera.pose import CameraPose, pose_matrices
from lingbot_cli.camera.relative_pose import invert_poses


@dataclass(frozen=True, eq=False)
class PathSegment:
    """A camera-to-world path `poses` [N + 1, 4, 4], followed from video frame `start` on.

    One row a frame of its N, and one for the frame after them: the step into what comes next.
    """

    start: int
    poses: np.ndarray

    @property
    def end(self) -> int:
        """The frame after its last."""
        return self.start + len(self.poses) - 1

    def step_from(self, frame: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the path's poses at a frame and at the next, or None where it does not move."""
        at = frame - self.start
        return (self.poses[at], self.poses[at + 1]) if 0 <= at < len(self.poses) - 1 else None


@dataclass(frozen=True)
class FrameMotion:
    """Motion during one video frame: a step [7] (axes of camera.keys) and the path segments under way."""

    step: tuple[float, ...]
    segments: tuple[PathSegment, ...] = field(default=())
    starts_scene: bool = False


class Trajectory:
    """A camera that moves frame by frame from the identity.

    A scene begins at the identity, or at the start of a segment that begins with it. Later segments continue
    from the camera's pose, and steps add to them. A segment's own poses come through exactly.
    """

    def __init__(self) -> None:
        self._frame = 0
        self._pose: CameraPose | np.ndarray = CameraPose()
        self._anchors: dict[PathSegment, np.ndarray] = {}

    def poses(self, motions: Iterable[FrameMotion]) -> np.ndarray:
        """Return the camera-to-world pose at the start of each motion → [N, 4, 4] float64."""
        passed = [self._advance(motion) for motion in motions]
        out = pose_matrices([at if isinstance(at, CameraPose) else CameraPose() for at in passed])
        for frame, at in enumerate(passed):
            if not isinstance(at, CameraPose):
                out[frame] = at
        return out

    def _advance(self, motion: FrameMotion) -> CameraPose | np.ndarray:
        """Apply one frame's motion and return the pose before it."""
        if motion.starts_scene:
            starting = (s.poses[0] for s in motion.segments if s.start == self._frame)
            self._pose = next(starting, CameraPose())
            self._anchors.clear()
        before = self._pose
        steps = {s: step for s in motion.segments if (step := s.step_from(self._frame))}
        self._frame += 1
        if steps:
            self._follow(steps, motion.step)
        elif any(motion.step):
            pose = before if isinstance(before, CameraPose) else CameraPose.from_matrix(before)
            self._pose = pose.moved(motion.step)
        return before

    def _follow(
        self, steps: dict[PathSegment, tuple[np.ndarray, np.ndarray]], step: tuple[float, ...]
    ) -> None:
        """Follow every segment by one frame, then add the step; an anchor maps a segment's poses to the camera's."""
        pose = self._pose.matrix() if isinstance(self._pose, CameraPose) else self._pose
        for segment, (here, _) in steps.items():
            if segment not in self._anchors:
                same = np.array_equal(pose, here)
                self._anchors[segment] = np.eye(4) if same else pose @ invert_poses(here)
        if len(steps) == 1 and not any(step):
            ((segment, (_, there)),) = steps.items()
            self._pose = self._anchors[segment] @ there
            return
        for here, there in steps.values():
            pose = pose @ invert_poses(here) @ there
        self._pose = pose = CameraPose.from_matrix(pose).moved(step).matrix()
        self._anchors.update({segment: pose @ invert_poses(there) for segment, (_, there) in steps.items()})
