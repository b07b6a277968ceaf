"""The camera's way from above as an SVG drawing."""

import math
from html import escape

import numpy as np

from lingbot_cli.drawing.above import SceneMap
from lingbot_cli.timeline.times import format_clock

WIDTH, MARGIN, LINE_HEIGHT = 800, 50, 20


def svg_map(scenes: list[SceneMap], fps: int, title: str) -> str:
    """All scenes below each other: the way, a triangle each half second, numbers, and what they mean."""
    body: list[str] = []
    top: float = MARGIN
    for scene in scenes:
        drawn, height = _svg_scene(scene, fps, top)
        body += drawn
        top += height
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" '
            'font-family="sans-serif" font-size="14">',
            f"<title>{escape(title)}</title>",
            '<rect width="100%" height="100%" fill="#fff"/>',
            *body,
            "</svg>\n",
        ]
    )


def _svg_scene(scene: SceneMap, fps: int, top: float) -> tuple[list[str], float]:
    low, high = scene.positions.min(0), scene.positions.max(0)
    span = high - low
    room = WIDTH - 2 * MARGIN
    scale = min(room / max(span[0], 1e-9), 500 / max(span[1], 1e-9), 200.0)
    height = span[1] * scale
    left = MARGIN + (room - span[0] * scale) / 2
    at = np.stack(
        [left + (scene.positions[:, 0] - low[0]) * scale, top + (high[1] - scene.positions[:, 1]) * scale], 1
    )
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    out = [
        f'<polyline points="{way}" fill="none" stroke="#2a6f97" stroke-width="3" stroke-linejoin="round"/>'
    ]
    for frame in range(0, len(at), max(1, fps // 2)):
        x, y = at[frame]
        out.append(
            f'<path d="M0,-12 L6,5 L-6,5 Z" fill="#e07a5f" opacity="0.8" '
            f'transform="translate({x:.1f},{y:.1f}) rotate({scene.yaws[frame]:.1f})"/>'
        )
    for label in scene.labels:
        x, y = at[label.start - scene.start]
        # Numbers stand beside the way, to the right of where the camera looks.
        turn = math.radians(scene.yaws[label.start - scene.start])
        x, y = x + 20 * math.cos(turn), y + 20 * math.sin(turn)
        out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9" fill="#3d405b"/>')
        out.append(
            f'<text x="{x:.1f}" y="{y + 4:.1f}" fill="#fff" font-size="11" text-anchor="middle">{label.number}</text>'
        )
    y = top + height + MARGIN
    length = format_clock(len(at) / fps)
    facts = f"{len(at)} frames, {length}, {scene.length:.1f} units on the way; the bar is one unit"
    out.append(f'<path d="M{MARGIN},{y} h{scale:.1f}" stroke="#3d405b" stroke-width="3"/>')
    lines = [facts, *(f"{s.number}. {format_clock(s.start / fps)} {s.text}" for s in scene.labels)]
    for i, line in enumerate(lines, 1):
        out.append(f'<text x="{MARGIN}" y="{y + LINE_HEIGHT * i}" fill="#3d405b">{escape(line)}</text>')
    return out, height + 2 * MARGIN + LINE_HEIGHT * (len(lines) + 1)
