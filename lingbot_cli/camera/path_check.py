"""Checks of a camera path for the usual slips: axes or direction of its matrices, and jumps."""

import numpy as np

from lingbot_cli.camera.convention import Convention, Matrix, describe_convention
from lingbot_cli.camera.formats.camera_file import from_convention, to_convention

MIN_ROWS = 4
_JUMP = 10.0  # times the median step
_MOSTLY = 0.7  # share of the way that goes backwards
_TURNED = -0.2  # mean of the camera's up along the world's


def path_notes(poses: np.ndarray, convention: Convention, matrix: Matrix) -> tuple[str, ...]:
    """Return notes on a path [N, 4, 4], OpenCV camera-to-world, that was read with a convention and direction."""
    notes = [_jump_note(poses)]
    forward, up = _forward_share(poses), _upright(poses)
    if forward < -_MOSTLY or up < _TURNED:
        wrong = "the camera mostly moves backwards" if forward < -_MOSTLY else "the camera hangs upside down"
        others = _better_readings(poses, convention, matrix)
        advice = f"; if it should not, try {' or '.join(others)}" if others else ""
        notes.append(f"{wrong} (read as {describe_convention(convention, matrix)}){advice}")
    return tuple(note for note in notes if note)


def _forward_share(poses: np.ndarray) -> float:
    """Return the part of the way that goes along the view: 1 forward, −1 backward, 0 sideways or still."""
    steps = np.diff(poses[:, :3, 3], axis=0)
    way = float(np.linalg.norm(steps, axis=1).sum())
    if len(poses) < MIN_ROWS or way < 1e-9:
        return 0.0
    return float((steps * poses[:-1, :3, 2]).sum()) / way


def _upright(poses: np.ndarray) -> float:
    """Return the mean of the camera's up along the world's, 1 to −1; y points down in both."""
    return float(poses[:, 1, 1].mean())


def _better_readings(poses: np.ndarray, convention: Convention, matrix: Matrix) -> list[str]:
    """Return the keys by which the same matrices would move forward and upright."""
    raw = to_convention(poses, convention, matrix)
    found = []
    readings: tuple[tuple[Convention, Matrix], ...] = (
        ("opengl", "c2w"),
        ("blender", "c2w"),
        ("opencv", "w2c"),
        ("opengl", "w2c"),
        ("blender", "w2c"),
        ("opencv", "c2w"),
    )
    for axes, direction in readings:
        if (axes, direction) == (convention, matrix):
            continue
        read = from_convention(raw, axes, direction)
        if _forward_share(read) > -_TURNED and _upright(read) > -_TURNED:
            keys = [f"convention: {axes}"] if axes != convention else []
            keys += [f"matrix: {direction}"] if direction != matrix else []
            found.append(" with ".join(keys))
    return sorted(found, key=lambda keys: " with " in keys)[:2]


def _jump_note(poses: np.ndarray) -> str | None:
    """Return a note on a step that is many times as long as the others."""
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    moved = steps[steps > 1e-9]
    if len(moved) < MIN_ROWS:
        return None
    usual, row = float(np.median(moved)), int(np.argmax(steps))
    if steps[row] < _JUMP * usual:
        return None
    return (
        f"the camera jumps from row {row} to row {row + 1}: {steps[row] / usual:.0f} times the median step; "
        "`scale: {fit: 1.0}` measures by the median"
    )
