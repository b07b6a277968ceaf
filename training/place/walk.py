"""Random walks through the courtyard, with keys held as a player would."""

from dataclasses import dataclass, replace

import numpy as np

from lingbot_cli.camera.keys import TURN_DEGREES_PER_FRAME, WALK_UNITS_PER_FRAME, key_motion
from lingbot_cli.camera.lens import square_lens
from lingbot_cli.camera.pose import CameraPose, pose_matrices
from training.place.scene import EYE, REACH

_KEYS = {
    **{"": 0.12, "w": 0.17, "s": 0.07, "a": 0.04, "d": 0.04, "j": 0.15, "l": 0.15, "wj": 0.06, "wl": 0.06},
    **{"wd": 0.02, "wa": 0.02, "sj": 0.02, "sl": 0.02, "dj": 0.01, "al": 0.01},
    **{"i": 0.013, "k": 0.013, "q": 0.007, "e": 0.007},
}
_BACK = str.maketrans("wsadjl", "swdalj")


@dataclass(frozen=True)
class Walk:
    """A camera path as requested and as walked, each [F, 4, 4] float64.

    Both start at the same pose and differ after the walk meets a wall.
    """

    requested: np.ndarray
    actual: np.ndarray


def walk_of_keys(keys: list[tuple[str, float]], start: CameraPose) -> Walk:
    """Return the walk of one `(keys, pace)` per video frame from `start`, which is frame 0."""
    ask = stand = start
    asked, stood = [ask], [stand]
    for letters, pace in keys:
        step = key_motion(letters, WALK_UNITS_PER_FRAME * pace, TURN_DEGREES_PER_FRAME * pace)
        ask, stand = ask.moved(step), _inside(stand.moved(step))
        asked.append(ask)
        stood.append(stand)
    return Walk(pose_matrices(asked), pose_matrices(stood))


def _inside(s: CameraPose) -> CameraPose:
    def clip(value: float, low: float, high: float) -> float:
        return min(max(value, low), high)

    return replace(s, x=clip(s.x, -REACH, REACH), y=clip(s.y, -2.2, -0.5), z=clip(s.z, -REACH, REACH))


def _random_start(rng: np.random.Generator) -> CameraPose:
    x, z = rng.uniform(-4.4, 4.4, 2)
    yaw = rng.uniform(0, 360) if rng.random() < 0.7 else rng.choice([0, 90, 180, 270]) + rng.normal(0, 8)
    tilt = float(np.clip(rng.normal(0, 5), -14, 14)) if rng.random() < 0.25 else 0.0
    return CameraPose(float(x), -EYE, float(z), yaw=float(yaw), pitch=tilt)


def stand_or_strafe(rng: np.random.Generator, frames: int) -> Walk:
    """Return a walk of that many frames that stands still or strafes to one side."""
    keys = str(rng.choice(["", "a", "d"]))
    return walk_of_keys([(keys, float(rng.uniform(0.3, 1.6)))] * (frames - 1), _random_start(rng))


def wander(rng: np.random.Generator, frames: int) -> Walk:
    """Return a random walk of that many frames: standing, turns, walks, both at once, and reversals."""
    start = _random_start(rng)
    tilt = start.pitch
    keys: list[tuple[str, float]] = []
    rise = 0.0
    while len(keys) < frames - 1:
        letters = str(rng.choice(list(_KEYS), p=np.array(list(_KEYS.values())) / sum(_KEYS.values())))
        if keys and rng.random() < 0.15:
            letters = keys[-1][0].translate(_BACK)
        if letters in ("i", "k"):
            letters = "k" if tilt > 6 else "i" if tilt < -6 else letters
        if letters in ("q", "e"):
            letters = "q" if rise > 0 else "e"
        tilting = letters in ("i", "k", "q", "e")
        pace = 1.0 if rng.random() < 0.65 else float(rng.uniform(0.3, 1.6))
        if letters in ("j", "l") and rng.random() < 0.15:
            pace = float(rng.uniform(1.6, 3.5))
        span = int(rng.integers(4, 9) if tilting else rng.integers(8, 31))
        eased = not tilting and rng.random() < 0.15
        tilt += TURN_DEGREES_PER_FRAME * pace * span * ((letters == "i") - (letters == "k"))
        rise += pace * span * ((letters == "e") - (letters == "q"))
        rise_and_fall = np.sin(np.linspace(0.1, 0.9, span) * np.pi) * 1.4 if eased else np.ones(span)
        keys += [(letters, pace * float(share)) for share in rise_and_fall]
    return walk_of_keys(keys[: frames - 1], start)


def lens(rng: np.random.Generator, height: int = 480, width: int = 832) -> np.ndarray:
    """Return intrinsics [4] for 832×480 of frames of a size, mostly the default lens."""
    wide = 1.0 if rng.random() < 0.65 else float(rng.uniform(0.8, 1.4))
    fx, fy, cx, cy = square_lens(None, height, width)
    return np.array([fx * wide, fy * wide, cx, cy])
