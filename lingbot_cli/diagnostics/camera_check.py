"""Comparison of the camera that a video shows with the camera it was rendered for, second by second."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np

from lingbot_cli.camera.plucker import scale_intrinsics
from lingbot_cli.camera.pose import invert_poses
from lingbot_cli.diagnostics.camera_estimate import STEPS, CameraMotion, angle, estimate_motion, turn_angle
from lingbot_cli.diagnostics.photometric_motion import estimate_small_motion
from lingbot_cli.diagnostics.point_tracks import load_opencv
from lingbot_cli.errors import UsageError

_TRACKED_WIDTH_PX = 416  # of smaller frames too few points can be tracked: all their pixels are aligned
_MIN_SIDE_PX = 112  # the longer one
_MIN_SHARE = 0.5  # of a second, that the rest of a scene is still checked
_MIN_STEPS = 2.0  # walking steps a second below which no travel need be seen
_MIRROR_TURN = 0.02  # of a rotation matrix's entries, about a degree
UNCLEAR = "too little travel to see its direction"
AMBIGUOUS = "unclear, as other motions explain the frames as well"
NO_TRAVEL, TRAVEL = "no travel is seen", "travel is seen where none was recorded"
_PLANE_SHARE, _MIN_GROUND_POINTS = 0.04, 10


@dataclass(frozen=True)
class RecordedCamera:
    """Camera that a video was rendered for: `poses` [N, 4, 4] and `lenses` [N, 4] for 832×480, a row a frame.

    `cuts`: frames at which scenes begin. `step` is the length of a walking step. `height` over the ground of the
    first pose, None if unknown; up is −y. `width`: pixels of a frame as it was rendered, None if unknown.
    """

    poses: np.ndarray
    lenses: np.ndarray
    fps: float
    step: float
    cuts: tuple[int, ...] = ()
    height: float | None = None
    width: int | None = None


@dataclass(frozen=True)
class SecondCheck:
    """Comparison over a second from frame `start` up to `end`; angles in degrees, None where they are unknown.

    `turned` and `recorded_turn` are the whole turns, `rotation_error` the turn from one to the other.
    `heading_error` lies between the directions of travel. `doubt` and `turn_doubt` are the
    angles to other motions that explain the frames as well; above its limit, no error counts. `speed` is the shown
    share of the recorded speed; `problem` names what is beyond a limit, `note` why something is unknown.
    """

    start: int
    end: int
    recorded_turn: float
    recorded_travel: float
    turned: float | None = None
    rotation_error: float | None = None
    heading_error: float | None = None
    doubt: float = 0.0
    turn_doubt: float = 0.0
    speed: float | None = None
    problem: str = ""
    note: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return the values as plain data, rounded."""
        return {name: round(v, 4) if isinstance(v, float) else v for name, v in asdict(self).items()}


@dataclass(frozen=True)
class Limits:
    """Largest errors: degrees a second of rotation, degrees of heading, and a share of the speed."""

    rotation: float = 1.0
    heading: float = 10.0
    speed: float = 0.25


@dataclass(frozen=True)
class CameraCheck:
    """Checks of all seconds, against `limits`; `height`: the camera's over the ground, given or assumed."""

    seconds: tuple[SecondCheck, ...]
    height: float | None
    recorded: RecordedCamera
    limits: Limits

    @property
    def problems(self) -> list[SecondCheck]:
        """The seconds beyond a limit."""
        return [check for check in self.seconds if check.problem]

    @property
    def within(self) -> bool | None:
        """The verdict: True if every second is within the limits, None if no second is clear."""
        if not self.problems and all(
            check.rotation_error is None or check.note == AMBIGUOUS for check in self.seconds
        ):
            return None
        return not self.problems

    def as_dict(self) -> dict[str, object]:
        """Return the check as plain data."""
        return {
            "within": self.within,
            "seconds": [check.as_dict() for check in self.seconds],
            "camera_height": self.height,
            "height_given": self.recorded.height is not None,
            "limits": asdict(self.limits),
            "notes": self.blind_spots(),
        }

    def blind_spots(self) -> list[str]:
        """Return what this video cannot show, as sentences."""
        spots, recorded = [], self.recorded
        if all(check.speed is None for check in self.seconds):
            spots.append(
                "the speed is unknown: frames have no scale of their own, and too little ground is seen"
            )
        elif recorded.height is None:
            spots.append(
                f"a steadily wrong speed is not found: frames have no scale of their own; the speed is right if the "
                f"camera is {self.height:.3g} units over the ground (--camera-height)"
            )
        relative = invert_poses(recorded.poses[0]) @ recorded.poses
        turned = np.abs(relative[:, :3, :3] - np.eye(3)).max() > _MIRROR_TURN
        if not turned and np.abs(relative[:, 0, 3]).max() < recorded.step:
            spots.append("a mirrored camera would look the same: the path neither turns nor moves sideways")
        return spots


def check_camera(frames: Iterable[np.ndarray], recorded: RecordedCamera, limits: Limits) -> CameraCheck:
    """Check every second of RGB frames uint8 [H, W, 3].

    The height of the camera over the ground gives the frames a scale. Without it, the height at which the median
    speed is the recorded one takes its place, so that only seconds of another speed than the rest are found.
    Errors: UsageError for frames that are too small, or more than the camera has.
    """
    checks, grounds = [], []
    for start, window in _windows(frames, recorded):
        motion = _estimate(window, recorded, start)
        check = _compare(motion, recorded, start, start + len(window) - 1)
        checks.append(check)
        grounds.append(_ground(motion, check, recorded) if motion is not None else None)
    implied = [
        ground + _sunk(recorded, check) for ground, check in zip(grounds, checks, strict=True) if ground
    ]
    height = (
        recorded.height if recorded.height is not None else float(np.median(implied)) if implied else None
    )
    if height is not None and (recorded.height is not None or len(implied) > 1):
        checks = [
            replace(check, speed=max(height - _sunk(recorded, check), 0.0) / ground if ground else None)
            for ground, check in zip(grounds, checks, strict=True)
        ]
    return CameraCheck(tuple(_judged(check, recorded, limits) for check in checks), height, recorded, limits)


def _estimate(window: list[np.ndarray], recorded: RecordedCamera, start: int) -> CameraMotion | None:
    """Return the motion over the RGB frames of a window, by points or, of small frames, by all pixels."""
    height, width = window[0].shape[:2]
    rows = np.minimum(np.arange(start, start + len(window)), len(recorded.lenses) - 1)
    lenses = scale_intrinsics(recorded.lenses[rows], height, width)
    rendered = min(recorded.width or width, width)
    cv2 = load_opencv()
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        if rendered < _TRACKED_WIDTH_PX:
            return estimate_small_motion(window, lenses, rendered)
        return estimate_motion([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in window], lenses)


def _ground(motion: CameraMotion, check: SecondCheck, recorded: RecordedCamera) -> float | None:
    """Return the camera's height over the ground if its speed is the recorded one; None where no ground is seen."""
    if check.heading_error is None:
        return None
    down = recorded.poses[check.start, 1, :3]
    heights = np.sort((motion.points @ down)[motion.points @ down > 0])
    counts = np.searchsorted(heights, heights * (1 + _PLANE_SHARE)) - np.searchsorted(
        heights, heights * (1 - _PLANE_SHARE)
    )
    if not len(counts) or counts.max() < _MIN_GROUND_POINTS:
        return None
    unit = check.recorded_travel / max(float(np.linalg.norm(motion.travel)), 1e-9)
    return float(heights[counts.argmax()]) * unit


def _sunk(recorded: RecordedCamera, check: SecondCheck) -> float:
    """Return how far the camera is below its first pose when a second begins."""
    return float(recorded.poses[check.start, 1, 3] - recorded.poses[0, 1, 3])


def _judged(check: SecondCheck, recorded: RecordedCamera, limits: Limits) -> SecondCheck:
    """Return a check with its problem, where it is beyond a limit."""
    seconds = (check.end - check.start) / recorded.fps
    problems = []
    if (
        check.rotation_error is not None
        and check.rotation_error > limits.rotation * seconds + check.turn_doubt
    ):
        problems.append(f"rotation {check.rotation_error:.1f}° off")
    if (check.heading_error or 0.0) > limits.heading + check.doubt:
        problems.append(f"heading {check.heading_error:.0f}° off")
    if check.note == NO_TRAVEL and check.recorded_travel > _MIN_STEPS * recorded.step * seconds:
        problems.append(NO_TRAVEL)
    if check.note == TRAVEL:
        problems.append(TRAVEL)
    # A travel in another direction has another length.
    if check.speed is not None and abs(check.speed - 1) > limits.speed + np.radians(check.doubt) / 2:
        problems.append(f"{check.speed:.2f} times the recorded speed")
    unclear = check.turn_doubt > limits.rotation * seconds or check.doubt > limits.heading
    return replace(check, problem="; ".join(problems), note=AMBIGUOUS if unclear else check.note)


def _windows(
    frames: Iterable[np.ndarray], recorded: RecordedCamera
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Yield the first frame's number and the RGB frames of every second of a scene.

    A second has both its ends; what is left of a scene is checked if it is longer than half a second.
    """
    length = max(STEPS, recorded.fps)
    window: list[np.ndarray] = []
    start = 0
    for number, frame in enumerate(frames):
        if number == len(recorded.poses):
            raise UsageError(
                f"the video has more frames than its camera, which has {number}",
                hint="give the camera of all frames with --camera",
            )
        cut = number in recorded.cuts
        if cut or len(window) > length:
            if len(window) > max(STEPS, _MIN_SHARE * length):
                yield start, window
            window, start = ([], number) if cut else (window[-1:], number - 1)
        side = round(max(frame.shape) * min(1.0, (recorded.width or frame.shape[1]) / frame.shape[1]))
        if side < _MIN_SIDE_PX:
            raise UsageError(
                f"frames of {side} pixels are too small to show their camera",
                hint=f"check a video that is rendered at {_MIN_SIDE_PX} pixels or more",
            )
        window.append(frame)
    if len(window) > max(STEPS, _MIN_SHARE * length):
        yield start, window


def _compare(motion: CameraMotion | None, recorded: RecordedCamera, start: int, end: int) -> SecondCheck:
    relative = invert_poses(recorded.poses[start]) @ recorded.poses[end]
    turn, travel = relative[:3, :3], relative[:3, 3]
    check = SecondCheck(start, end, turn_angle(turn), float(np.linalg.norm(travel)))
    if motion is None:
        return replace(check, note="too few points to track")
    shown = motion.poses[-1]
    check = replace(
        check,
        turned=turn_angle(shown[:3, :3]),
        rotation_error=turn_angle(turn.T @ shown[:3, :3]),
        turn_doubt=motion.turn_doubt,
    )
    if not motion.travels:
        return replace(check, note=NO_TRAVEL if motion.travels is False else UNCLEAR)
    if check.recorded_travel < _still(recorded, check):
        return replace(check, note=TRAVEL)
    return replace(check, heading_error=angle(travel, motion.travel), doubt=motion.doubt)


def _still(recorded: RecordedCamera, check: SecondCheck) -> float:
    """Return the travel below which a camera counts as standing still."""
    return 0.25 * recorded.step * (check.end - check.start) / recorded.fps
