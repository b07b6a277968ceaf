"""Plan of a video before anything is loaded: sizes, frames, and each chunk's prompt, keys and motion."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from lingbot_cli.camera.pose import CameraPose, invert_poses
from lingbot_cli.camera.scale import StepSizes
from lingbot_cli.presets import Preset
from lingbot_cli.timeline.compile import CompiledTimeline, iter_controls
from lingbot_cli.timeline.input_files import PathReport
from lingbot_cli.timeline.times import format_clock, format_fps


@dataclass(frozen=True)
class PlannedChunk:
    """One chunk of a plan: its video frames from `start`, and its prompt.

    `keys` are all letters held during it, `motion` the camera's from its first frame to the next chunk's, in
    units along its own axes and degrees.
    """

    start: int
    frames: int
    prompt: str
    keys: str
    motion: str
    cut: Path | None = None
    recache: bool = False
    markers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A whole video: sizes in pixels, `frames` video frames at `fps`, the chunks in order.

    `scale` is the unit of translations, chosen by `scale_rule`; `paths` are the camera files followed.
    """

    preset: str
    height: int
    width: int
    fps: float
    frames: int
    seed: int
    scale: float
    chunks: tuple[PlannedChunk, ...]
    scale_rule: str
    steps: StepSizes
    paths: tuple[PathReport, ...]

    @property
    def seconds(self) -> float:
        """Return the video's length in seconds."""
        return self.frames / self.fps

    def camera_lines(self) -> list[str]:
        """Return the scale and each camera file as lines."""
        line = f"scale: {self.scale_rule}, one walking step = {self.scale:.4g}, {self.steps}"
        return [line, *map(str, self.paths)]

    def camera_json(self) -> dict[str, object]:
        """Return the scale and each camera file as plain data."""
        return {
            "scale": self.scale,
            "scale_rule": self.scale_rule,
            "steps": asdict(self.steps),
            "paths": [asdict(path) for path in self.paths],
        }


def make_plan(compiled: CompiledTimeline, preset: Preset, *, height: int, width: int, seed: int) -> Plan:
    """Return the plan of a video; loads nothing."""
    chunks = plan_chunks(compiled)
    return Plan(
        preset.name,
        height,
        width,
        compiled.grid.fps,
        compiled.frames,
        seed,
        compiled.scale,
        chunks,
        str(compiled.scale_rule),
        compiled.step_sizes(),
        compiled.paths,
    )


def plan_chunks(compiled: CompiledTimeline) -> tuple[PlannedChunk, ...]:
    """Return every chunk of a plan."""
    planned = []
    scenes = {chunk.scene_start for chunk in compiled.chunks}
    for chunk, control in zip(compiled.chunks, iter_controls(compiled), strict=True):
        end = chunk.start + control.frames
        # The step into the next chunk counts too, unless a scene begins there.
        last = end if end < len(compiled.poses) and end not in scenes else end - 1
        planned.append(
            PlannedChunk(
                start=chunk.start,
                frames=control.frames,
                prompt=control.prompt,
                keys="".join(dict.fromkeys("".join(compiled.keys[chunk.start : end]))),
                motion=_describe_motion(compiled.poses[chunk.start], compiled.poses[last]),
                cut=control.cut,
                recache=control.recache,
                markers=tuple(m.text for m in compiled.markers if chunk.start <= m.start < end),
            )
        )
    return tuple(planned)


def _describe_motion(here: np.ndarray, there: np.ndarray) -> str:
    """Describe the camera's motion between two poses [4, 4]; `still` below 0.005 units and 0.5°."""
    begin, end = CameraPose.from_matrix(here), CameraPose.from_matrix(there)
    right, down, forward = (invert_poses(CameraPose(yaw=begin.yaw).matrix()) @ (there - here))[:3, 3]
    yaw = (end.yaw - begin.yaw + 180) % 360 - 180
    moves = (("forward", forward), ("right", right), ("up", -down))
    turns = (("yaw", yaw), ("pitch", end.pitch - begin.pitch), ("roll", end.roll - begin.roll))
    parts = [f"{name} {way:+.2f}" for name, way in moves if abs(way) >= 0.005]
    parts += [f"{name} {turn:+.0f}°" for name, turn in turns if abs(turn) >= 0.5]
    return " ".join(parts) or "still"


def format_chunk_table(chunks: tuple[PlannedChunk, ...], fps: float) -> list[str]:
    """Return the chunks as aligned lines; a prompt is written only where it changes."""
    rows = [("chunk", "frames", "from", "keys", "motion", "prompt and events")]
    before = None
    for number, chunk in enumerate(chunks):
        notes = [f"cut to {chunk.cut.name}"] if chunk.cut else []
        notes += [f"marker “{m}”" for m in chunk.markers]
        if chunk.prompt != before:
            notes.append(f"“{chunk.prompt}”" + (" (recache)" if chunk.recache else ""))
        before = chunk.prompt
        frames = f"{chunk.start}–{chunk.start + chunk.frames - 1}"
        at = format_clock(chunk.start / fps)
        rows.append((str(number), frames, at, chunk.keys or "–", chunk.motion, " · ".join(notes)))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return [
        "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[5]]).rstrip() for row in rows
    ]


def total_line(preset: str, compiled: CompiledTimeline, chunks: tuple[PlannedChunk, ...]) -> str:
    """Return the length of a video in seconds, frames, chunks and scenes as a line."""
    scenes = sum(chunk.cut is not None for chunk in chunks if chunk.start) + 1
    length = format_clock(compiled.frames / compiled.grid.fps)
    return (
        f"{length}: {compiled.frames} frames at {format_fps(compiled.grid.fps)} fps in {len(chunks)} chunks of "
        f"{compiled.grid.chunk} latent frames, {scenes} scene{'s' if scenes > 1 else ''} ({preset})"
    )


def chunks_json(chunks: tuple[PlannedChunk, ...]) -> list[dict[str, object]]:
    """Return chunks as plain data."""
    return [{**asdict(chunk), "cut": str(chunk.cut) if chunk.cut else None} for chunk in chunks]
