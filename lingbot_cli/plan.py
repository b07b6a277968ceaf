"""What a film will be before anything is loaded: Track + preset + machine → Plan."""

from dataclasses import dataclass
from pathlib import Path

from lingbot_cli.timeline.compile import Track
from lingbot_cli.timeline.controls import controls
from lingbot_cli.world.presets import Preset


@dataclass(frozen=True)
class PlannedChunk:
    """One chunk as the plan shows it: its film frames from `start` and what is said to it."""

    start: int
    frames: int
    prompt: str
    keys: str
    cut: Path | None = None
    recache: bool = False


@dataclass(frozen=True)
class Plan:
    """A whole film: sizes in pixels, `frames` video frames at `fps`, the chunks in order."""

    preset: str
    height: int
    width: int
    fps: int
    frames: int
    seed: int
    scale: float
    chunks: tuple[PlannedChunk, ...]

    @property
    def seconds(self) -> float:
        """How long the film lasts."""
        return self.frames / self.fps


def plan(track: Track, preset: Preset, *, height: int, width: int, seed: int) -> Plan:
    """The plan of a film, with nothing loaded."""
    chunks = tuple(
        PlannedChunk(
            start=chunk.start,
            frames=control.frames,
            prompt=control.prompt,
            keys="".join(dict.fromkeys("".join(track.keys[chunk.start : chunk.start + control.frames]))),
            cut=control.cut,
            recache=control.recache,
        )
        for chunk, control in zip(track.chunks, controls(track), strict=True)
    )
    return Plan(preset.name, height, width, track.grid.fps, track.frames, seed, track.scale, chunks)
