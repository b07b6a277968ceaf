"""Top-view maps of a video's scenes: the camera's path, its headings and the events, as text or SVG."""

import math
from dataclasses import dataclass
from html import escape

import numpy as np

from lingbot_cli.camera.pose import CameraPose
from lingbot_cli.timeline.compile import CompiledTimeline
from lingbot_cli.timeline.times import format_clock

HEADING_ARROWS = "↑↗→↘↓↙←↖"
SVG_WIDTH, SVG_MARGIN, SVG_LINE_HEIGHT = 800, 50, 20
_SVG_MAX_HEIGHT = 500
_SVG_MAX_SCALE = 200.0  # SVG units a unit of the model


@dataclass(frozen=True)
class MapLabel:
    """An event at video frame `start`, with its number on the map."""

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
        """Return the length of the camera's path in units."""
        return float(np.linalg.norm(np.diff(self.positions, axis=0), axis=1).sum())

    def summary(self, fps: float) -> str:
        """Return frames, seconds and path length."""
        frames = len(self.positions)
        return f"{frames} frames, {format_clock(frames / fps)}, path {self.length:.1f} units"


def scene_maps(compiled: CompiledTimeline) -> list[SceneMap]:
    """Return the map of each scene."""
    starts = sorted({chunk.scene_start for chunk in compiled.chunks if chunk.scene_start < compiled.frames})
    events = _labelled_frames(compiled)
    maps, count = [], 0
    for start, end in zip(starts, [*starts[1:], compiled.frames], strict=True):
        here = [(frame, text) for frame, text in events if start <= frame < end]
        labels = tuple(MapLabel(count + i, frame, text) for i, (frame, text) in enumerate(here, 1))
        count += len(here)
        poses = compiled.poses[start:end]
        yaws = np.array([CameraPose.from_matrix(pose).yaw for pose in poses])
        maps.append(SceneMap(start, poses[:, [0, 2], 3], yaws, labels))
    return maps


def _labelled_frames(compiled: CompiledTimeline) -> list[tuple[int, str]]:
    """Return the frame and the text of each prompt, action, marker, named move and cut, sorted by frame."""
    seconds = compiled.grid.seconds
    events = [(t.start, f"prompt “{t.text}”") for t in compiled.prompts]
    events += [
        (t.start, f"action “{t.text}” until {format_clock(seconds(t.end))}") for t in compiled.action_texts
    ]
    events += [(t.start, f"marker “{t.text}”") for t in compiled.markers]
    events += [(t.start, f"{t.text} until {format_clock(seconds(t.end))}") for t in compiled.named_moves]
    events += [
        (chunk.start, f"cut to {compiled.cuts[chunk.cut][1].name}")
        for chunk in compiled.chunks
        if chunk.cut is not None
    ]
    return sorted((event for event in events if event[0] < compiled.frames), key=lambda event: event[0])


def heading_arrow(yaw: float) -> str:
    """Return the arrow nearest to a heading; ahead is up."""
    return HEADING_ARROWS[round(yaw / 45) % 8]


def text_map(scene: SceneMap, fps: float, width: int = 72, height: int = 20) -> list[str]:
    """Draw a scene as lines of text: a dotted path, an arrow each half second, a number at each event."""
    low, high = scene.positions.min(0), scene.positions.max(0)
    span = high - low
    # A character is twice as high as wide.
    unit = max(span[0] / (width - 1), span[1] / (height - 1) / 2, 0.02)
    columns, rows = math.floor(span[0] / unit + 0.5) + 1, math.floor(span[1] / unit / 2 + 0.5) + 1
    grid = [[" "] * columns for _ in range(rows)]
    cells = np.floor((scene.positions - low) / [unit, 2 * unit] + 0.5).astype(int)
    for x, z in cells:
        grid[z][x] = "·"
    for frame in range(0, len(cells), max(1, int(fps / 2))):
        x, z = cells[frame]
        grid[z][x] = heading_arrow(scene.yaws[frame])
    for label in scene.labels:
        x, z = cells[label.start - scene.start]
        for i, digit in enumerate(str(label.number)):
            if x + i < columns:
                grid[z][x + i] = digit
    headings = " ".join(heading_arrow(yaw) for yaw in scene.yaws[:: max(1, int(fps / 2))])
    return [
        *("".join(row).rstrip() for row in reversed(grid)),
        "",
        f"{scene.summary(fps)}; a character is {unit:.2f} units wide",
        f"heading, each half second: {headings}",
        *(f"{label.number:>3}  {format_clock(label.start / fps):>7}  {label.text}" for label in scene.labels),
    ]


def svg_map(scenes: list[SceneMap], fps: float, title: str) -> str:
    """Draw all scenes below each other as SVG: the path, a triangle each half second, numbered events."""
    body: list[str] = []
    top: float = SVG_MARGIN
    for scene in scenes:
        elements, height = _svg_scene(scene, fps, top)
        body += elements
        top += height
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SVG_WIDTH} {top}" '
            'font-family="sans-serif" font-size="14">',
            f"<title>{escape(title)}</title>",
            '<rect width="100%" height="100%" fill="#fff"/>',
            *body,
            "</svg>\n",
        ]
    )


def _svg_scene(scene: SceneMap, fps: float, top: float) -> tuple[list[str], float]:
    """Return the SVG elements of a scene and its height, the legend included."""
    low, high = scene.positions.min(0), scene.positions.max(0)
    span = high - low
    room = SVG_WIDTH - 2 * SVG_MARGIN
    scale = min(room / max(span[0], 1e-9), _SVG_MAX_HEIGHT / max(span[1], 1e-9), _SVG_MAX_SCALE)
    height = span[1] * scale
    left = SVG_MARGIN + (room - span[0] * scale) / 2
    xs, zs = scene.positions.T
    points = np.stack([left + (xs - low[0]) * scale, top + (high[1] - zs) * scale], 1)
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    elements = [
        f'<polyline points="{path}" fill="none" stroke="#2a6f97" stroke-width="3" stroke-linejoin="round"/>'
    ]
    for frame in range(0, len(points), max(1, int(fps / 2))):
        x, y = points[frame]
        elements.append(
            f'<path d="M0,-12 L6,5 L-6,5 Z" fill="#e07a5f" opacity="0.8" '
            f'transform="translate({x:.1f},{y:.1f}) rotate({scene.yaws[frame]:.1f})"/>'
        )
    for label in scene.labels:
        x, y = points[label.start - scene.start]
        # Numbers are beside the path, to the right of the heading.
        turn = math.radians(scene.yaws[label.start - scene.start])
        x, y = x + 20 * math.cos(turn), y + 20 * math.sin(turn)
        elements.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9" fill="#3d405b"/>')
        elements.append(
            f'<text x="{x:.1f}" y="{y + 4:.1f}" fill="#fff" font-size="11" text-anchor="middle">'
            f"{label.number}</text>"
        )
    bottom = top + height + SVG_MARGIN
    elements.append(f'<path d="M{SVG_MARGIN},{bottom} h{scale:.1f}" stroke="#3d405b" stroke-width="3"/>')
    legend = [f"{scene.summary(fps)}; the bar is one unit"]
    legend += [f"{label.number}. {format_clock(label.start / fps)} {label.text}" for label in scene.labels]
    for i, line in enumerate(legend, 1):
        y = bottom + SVG_LINE_HEIGHT * i
        elements.append(f'<text x="{SVG_MARGIN}" y="{y}" fill="#3d405b">{escape(line)}</text>')
    return elements, height + 2 * SVG_MARGIN + SVG_LINE_HEIGHT * (len(legend) + 1)
