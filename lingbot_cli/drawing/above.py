"""A film's camera seen from above: where it goes, where it looks, and what happens on the way."""

import math
from dataclasses import dataclass

import numpy as np

from lingbot_cli.camera.pose import CameraPose
from lingbot_cli.timeline.compile import CompiledTimeline
from lingbot_cli.timeline.times import format_clock

HEADING_ARROWS = "↑↗→↘↓↙←↖"


@dataclass(frozen=True)
class MapLabel:
    """Something that happens at video frame `start`, numbered as it is drawn."""

    number: int
    start: int
    text: str


@dataclass(frozen=True, eq=False)
class SceneMap:
    """One scene from above: `positions` [N, 2] are x to the right and z ahead, `yaws` [N] in degrees."""

    start: int
    positions: np.ndarray
    yaws: np.ndarray
    labels: tuple[MapLabel, ...]

    @property
    def length(self) -> float:
        """How far the camera goes, in units."""
        return float(np.linalg.norm(np.diff(self.positions, axis=0), axis=1).sum())


def scene_maps(track: CompiledTimeline) -> list[SceneMap]:
    """The film's scenes, each with what happens in it."""
    starts = sorted({chunk.scene_start for chunk in track.chunks if chunk.scene_start < track.frames})
    happenings = _labelled_frames(track)
    made, count = [], 0
    for start, end in zip(starts, [*starts[1:], track.frames], strict=True):
        here = [(frame, what) for frame, what in happenings if start <= frame < end]
        labels = tuple(MapLabel(count + i, frame, what) for i, (frame, what) in enumerate(here, 1))
        count += len(here)
        poses = track.poses[start:end]
        yaws = np.array([CameraPose.from_matrix(pose).yaw for pose in poses])
        made.append(SceneMap(start, poses[:, [0, 2], 3], yaws, labels))
    return made


def _labelled_frames(track: CompiledTimeline) -> list[tuple[int, str]]:
    """Everything said, at the frame it was said; sorted."""
    said = [(t.start, f"prompt “{t.text}”") for t in track.prompts]
    said += [
        (t.start, f"action “{t.text}” until {format_clock(track.grid.seconds(t.end))}")
        for t in track.action_texts
    ]
    said += [(t.start, f"marker “{t.text}”") for t in track.markers]
    said += [
        (chunk.start, f"cut to {track.cuts[chunk.cut][1].name}")
        for chunk in track.chunks
        if chunk.cut is not None
    ]
    return sorted((each for each in said if each[0] < track.frames), key=lambda each: each[0])


def heading_arrow(yaw: float) -> str:
    """The arrow nearest to a heading, ahead being up."""
    return HEADING_ARROWS[round(yaw / 45) % 8]


def text_map(scene: SceneMap, fps: int, width: int = 72, height: int = 20) -> list[str]:
    """A scene as lines of text: the way dotted, an arrow each half second, a number where something happens."""
    low, high = scene.positions.min(0), scene.positions.max(0)
    span = high - low
    # A character is twice as high as wide.
    unit = max(span[0] / (width - 1), span[1] / (height - 1) / 2, 0.02)
    columns, rows = math.floor(span[0] / unit + 0.5) + 1, math.floor(span[1] / unit / 2 + 0.5) + 1
    grid = [[" "] * columns for _ in range(rows)]
    at = np.floor((scene.positions - low) / [unit, 2 * unit] + 0.5).astype(int)
    for x, z in at:
        grid[z][x] = "·"
    for frame in range(0, len(at), max(1, fps // 2)):
        x, z = at[frame]
        grid[z][x] = heading_arrow(scene.yaws[frame])
    for label in scene.labels:
        x, z = at[label.start - scene.start]
        for i, digit in enumerate(str(label.number)):
            if x + i < columns:
                grid[z][x + i] = digit
    picture = ["".join(row).rstrip() for row in reversed(grid)]
    looks = " ".join(heading_arrow(scene.yaws[frame]) for frame in range(0, len(at), max(1, fps // 2)))
    return [
        *picture,
        "",
        f"{len(at)} frames, {format_clock(len(at) / fps)}, {scene.length:.1f} units on the way; "
        f"one character is {unit:.2f}",
        f"looking, each half second: {looks}",
        *(f"{label.number:>3}  {format_clock(label.start / fps):>7}  {label.text}" for label in scene.labels),
    ]
