"""What a finished film has come to, for people and for programs."""

from dataclasses import dataclass

from lingbot_cli.render.pipeline import RenderResult
from lingbot_cli.sinks.base import Sink, output_names
from lingbot_cli.ui.display import Report


@dataclass(frozen=True)
class RenderSummary:
    """A film in `sink`, made in so many seconds; its first `kept` frames are an earlier run's."""

    sink: Sink
    made: RenderResult
    rate: int
    kept: int
    seconds: float

    @property
    def fps(self) -> float:
        """Frames made a second."""
        return (self.made.frames - self.kept) / max(self.seconds, 1e-6)

    def announcement(self) -> Report:
        """The figures, and one line of them."""
        facts = {
            "file": self.sink.name,
            "files": output_names(self.sink),
            "frames": self.made.frames,
            "kept": self.kept,
            "chunks": self.made.chunks,
            "seconds": round(self.seconds, 3),
            "fps": round(self.fps, 2),
            "latents": self.made.latents,
        }
        before = f", {self.kept} of them before" if self.kept else ""
        line = (
            f"{self.sink.name.removesuffix(':')}: {self.made.frames} frames, "
            f"{self.made.frames / self.rate:.1f} s at {self.rate} fps, "
            f"made in {self.seconds:.1f} s ({self.fps:.1f} fps{before})"
        )
        return Report(facts, line)
