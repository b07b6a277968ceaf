"""Camera trajectory: steps of motion and given paths integrated into one pose a video frame."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from lingbot_cli.camera.named_paths import Aim
from lingbot_cli.camera.pose import CameraPose, invert_poses, pose_matrices


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


@dataclass(frozen=True, eq=False)
class MoveSegment:
    """A path of `frames` video frames from `start` on, whose poses depend on where the camera is then.

    `build` returns them: one a frame, and one for the frame after.
    """

    start: int
    frames: int
    build: Callable[[CameraPose], list[CameraPose]]

    @property
    def end(self) -> int:
        """The frame after its last."""
        return self.start + self.frames


@dataclass(frozen=True, eq=False)
class AimSegment:
    """A turn toward a point: forward, right, up in units, seen from the camera at the video frame `start`.

    `shares` [N + 1] of the turn are done at each of its frames and at the one after.
    """

    start: int
    point: tuple[float, float, float]
    shares: tuple[float, ...]

    @property
    def end(self) -> int:
        """The frame after its last."""
        return self.start + len(self.shares) - 1


Segment = PathSegment | MoveSegment | AimSegment


@dataclass(frozen=True)
class FrameMotion:
    """Motion during one video frame: a step [7] (axes of camera.keys) and the segments under way."""

    step: tuple[float, ...]
    segments: tuple[Segment, ...] = field(default=())
    starts_scene: bool = False


class Trajectory:
    """A camera that moves frame by frame from the identity.

    A scene begins at the identity, or at the start of a path that begins with it. Later segments continue
    from the camera's pose, and steps add to them. A path's own poses come through exactly. An aim turns the view
    after all other motion.
    """

    def __init__(self) -> None:
        self._frame = 0
        self._pose: CameraPose | np.ndarray = CameraPose()
        self._anchors: dict[PathSegment, np.ndarray] = {}
        self._built: dict[MoveSegment, PathSegment] = {}
        self._aims: dict[AimSegment, Aim] = {}

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
            given = (s for s in motion.segments if isinstance(s, PathSegment) and s.start == self._frame)
            self._pose = next((path.poses[0] for path in given), CameraPose())
            for known in (self._anchors, self._built, self._aims):
                known.clear()
        before, frame = self._pose, self._frame
        paths = [self._path(s) for s in motion.segments if not isinstance(s, AimSegment)]
        steps = {path: step for path in paths if (step := path.step_from(frame))}
        aims = [(s, self._aim(s)) for s in motion.segments if isinstance(s, AimSegment)]
        self._frame += 1
        if steps:
            self._follow(steps, motion.step)
        elif any(motion.step):
            self._pose = _as_pose(before).moved(motion.step)
        for segment, aim in aims:
            pose = aim.turned(_as_pose(self._pose), segment.shares[frame + 1 - segment.start])
            self._pose = pose
            matrix = pose.matrix()
            self._anchors.update({path: matrix @ invert_poses(there) for path, (_, there) in steps.items()})
        self._forget_ended()
        return before

    def _forget_ended(self) -> None:
        """Drop the state of segments that are over: a looped stream has ever more of them."""
        self._anchors = {path: pose for path, pose in self._anchors.items() if path.end > self._frame}
        self._built = {move: path for move, path in self._built.items() if move.end > self._frame}
        self._aims = {segment: aim for segment, aim in self._aims.items() if segment.end > self._frame}

    def _path(self, segment: PathSegment | MoveSegment) -> PathSegment:
        """Return a segment as a path; a move's is built where the camera is when it begins."""
        if isinstance(segment, PathSegment):
            return segment
        if segment not in self._built:
            poses = segment.build(_as_pose(self._pose))
            self._built[segment] = PathSegment(segment.start, pose_matrices(poses))
        return self._built[segment]

    def _aim(self, segment: AimSegment) -> Aim:
        """Return the aim of a segment, chosen where the camera is when it begins."""
        if segment not in self._aims:
            self._aims[segment] = Aim.begin(_as_pose(self._pose), *segment.point)
        return self._aims[segment]

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


def _as_pose(pose: CameraPose | np.ndarray) -> CameraPose:
    return pose if isinstance(pose, CameraPose) else CameraPose.from_matrix(pose)
