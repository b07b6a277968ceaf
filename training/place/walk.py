"""Random walks through the courtyard: keys held for a while, as somebody would play."""

from dataclasses import dataclass

import numpy as np

from training.place.scene import EYE, REACH

STEP = 0.05  # units a video frame, the published walking speed
TURN = 2.0  # degrees a video frame
_KEYS = (
    ["", "w", "s", "a", "d", "j", "l", "wj", "wl", "wd", "wa", "sj", "sl", "dj", "al", "i", "k", "q", "e"],
    [0.12, 0.17, 0.07, 0.04, 0.04, 0.15, 0.15, 0.06, 0.06, 0.02, 0.02, 0.02, 0.02, 0.01, 0.01]
    + [0.013, 0.013, 0.007, 0.007],
)


@dataclass(frozen=True)
class Walk:
    """One camera path: what was asked for and where one really stood, [F, 4, 4] each, float64.

    Both begin at the same place; they part where a walk runs against a wall.
    """

    asked: np.ndarray
    stood: np.ndarray


def pose_of(x: float, y: float, z: float, heading: float, pitch: float) -> np.ndarray:
    """Camera-to-world [4, 4] at a place, angles in degrees, heading to the right and pitch up positive."""
    h, p = np.radians(heading), np.radians(pitch)
    yaw = np.array([[np.cos(h), 0, np.sin(h)], [0, 1, 0], [-np.sin(h), 0, np.cos(h)]])
    tilt = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    pose = np.eye(4)
    pose[:3, :3] = yaw @ tilt
    pose[:3, 3] = x, y, z
    return pose


def held(keys: list[tuple[str, float]], start: tuple[float, float, float], pitch: float = 0.0) -> Walk:
    """The walk of one `(keys, pace)` a video frame from `start` (x, z, heading); frame 0 is the start itself."""
    x, z, heading = start
    ask, stand = np.array([x, -EYE, z]), np.array([x, -EYE, z])
    asked, stood = [pose_of(*ask, heading, pitch)], [pose_of(*stand, heading, pitch)]
    for letters, pace in keys:
        heading += TURN * pace * (("l" in letters) - ("j" in letters))
        tilt = pitch + TURN * pace * (("i" in letters) - ("k" in letters))
        pitch = tilt if abs(tilt) <= 85 else pitch
        h = np.radians(heading)
        forward, right = ("w" in letters) - ("s" in letters), ("d" in letters) - ("a" in letters)
        rise = ("q" in letters) - ("e" in letters)
        step = (
            STEP
            * pace
            * np.array(
                [forward * np.sin(h) + right * np.cos(h), rise, forward * np.cos(h) - right * np.sin(h)]
            )
        )
        ask = ask + step
        stand = np.clip(stand + step, [-REACH, -2.2, -REACH], [REACH, -0.5, REACH])
        asked.append(pose_of(*ask, heading, pitch))
        stood.append(pose_of(*stand, heading, pitch))
    return Walk(np.array(asked), np.array(stood))


def wander(rng: np.random.Generator, frames: int) -> Walk:
    """A random walk of that many frames: idle, pure turns, pure walks, both at once, and turning back."""
    start = (*rng.uniform(-4.4, 4.4, 2), rng.uniform(0, 360))
    if rng.random() < 0.3:
        start = (start[0], start[1], float(rng.choice([0, 90, 180, 270]) + rng.normal(0, 8)))
    pitch = float(np.clip(rng.normal(0, 5), -14, 14)) if rng.random() < 0.25 else 0.0
    names, odds = _KEYS
    keys: list[tuple[str, float]] = []
    tilt, rise = pitch, 0.0
    while len(keys) < frames - 1:
        letters = str(rng.choice(names, p=np.array(odds) / sum(odds)))
        if keys and rng.random() < 0.15:
            letters = keys[-1][0].translate(str.maketrans("wsadjl", "swdalj"))
        if letters in ("i", "k"):
            letters = "k" if tilt > 6 else "i" if tilt < -6 else letters
        if letters in ("q", "e"):
            letters = "e" if rise > 0 else "q"
        pace = 1.0 if rng.random() < 0.7 else float(rng.uniform(0.4, 1.6))
        span = int(rng.integers(8, 31)) if letters not in ("i", "k", "q", "e") else int(rng.integers(4, 9))
        tilt += TURN * pace * span * ((letters == "i") - (letters == "k"))
        rise += pace * span * ((letters == "q") - (letters == "e"))
        keys += [(letters, pace)] * span
    return held(keys[: frames - 1], start, pitch)


def lens(rng: np.random.Generator) -> np.ndarray:
    """Intrinsics [4] for 832×480: mostly the published 500 pixels of focal length."""
    focal = 500.0 if rng.random() < 0.65 else float(rng.uniform(400, 700))
    return np.array([focal, focal, 416.0, 240.0])
