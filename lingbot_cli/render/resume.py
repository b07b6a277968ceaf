"""What a film takes up from an earlier run of it, and what it leaves when it is whole."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from lingbot_cli.errors import UsageError
from lingbot_cli.render.chunk_plan import NO_SAVED_CHUNKS, SavedChunks
from lingbot_cli.render.fingerprint import chunk_fingerprints, render_fingerprint
from lingbot_cli.render.pipeline import RenderedChunk
from lingbot_cli.render.request import PreparedVideo
from lingbot_cli.render.resume_store import ResumeStore
from lingbot_cli.runtime.autotune import Tuning
from lingbot_cli.sinks.base import Sink, VideoInfo
from lingbot_cli.timeline.chunks import FrameGrid
from lingbot_cli.timeline.times import Time
from lingbot_cli.ui.display import Display


@dataclass(frozen=True)
class ResumeOptions:
    """A film's trail and what is asked of it.

    `resume`: go on from what is there; "fast" rebuilds memory approximately. `fork_at`: what is told from this
    moment on may be new. `stay`: keep the trail when the film is whole, to fork it later. `anew`: what an
    interrupted run left may be thrown away.
    """

    trail: ResumeStore
    resume: Literal["exact", "fast"] | None = None
    fork_at: Time | None = None
    stay: bool = False
    anew: bool = False

    def check(self, prepared: PreparedVideo) -> None:
        """Refuse to throw away what an interrupted run left (UsageError), and a disk too small (OutputError)."""
        made, planned = self.trail.chunks(), prepared.plan
        latents = sum(len(control.poses) for control in prepared.controls[made:])
        self.trail.check(
            latents * planned.height * planned.width
        )  # 16 channels of 4 bytes a cell of 8×8 pixels
        if made and not (self.anew or self.resume or self.fork_at is not None):
            raise UsageError(
                f"{self.trail.folder} holds {_chunks(made)} of an interrupted film",
                hint="--resume goes on with it, --overwrite begins anew",
            )

    def take_up(self, prepared: PreparedVideo, display: Display) -> SavedChunks:
        """What earlier runs left that this film goes on from."""
        past = None
        if self.resume or self.fork_at is not None:
            past = self.trail.past(
                render_fingerprint(prepared), chunk_fingerprints(prepared), fork=self._fork(prepared)
            )
            past = past and replace(past, fast=self.resume == "fast")
        if past is not None:
            display.note(f"{_chunks(past.chunks)} of {len(prepared.controls)} taken up from an earlier run")
            if past.fast and past.chunks < len(prepared.controls):
                display.warning(
                    "--resume fast: memory is rebuilt approximately, what follows is not bit-equal"
                )
        return past or NO_SAVED_CHUNKS

    def tuning(self) -> Tuning | None:
        """How an earlier run of the film was computed, for one that goes on from it."""
        going_on = self.resume is not None or self.fork_at is not None
        return self.trail.tuning() if going_on else None

    def begin(self, prepared: PreparedVideo, past: SavedChunks, tuning: Tuning | None) -> None:
        """Make ready to keep what follows; only now does what is not taken up go."""
        self.trail.begin(render_fingerprint(prepared), past.chunks, tuning)

    def keeper(self, prepared: PreparedVideo) -> Callable[[RenderedChunk], None]:
        """What keeps each chunk that was made."""
        said = chunk_fingerprints(prepared)
        return lambda chunk: self.trail.keep(chunk.index, chunk.latents, said[chunk.index])

    def finish(self) -> None:
        """The film is whole."""
        if not self.stay:
            self.trail.clear()

    def _fork(self, prepared: PreparedVideo) -> int | None:
        """The first chunk with a frame at the fork or later."""
        if self.fork_at is None:
            return None
        preset = prepared.checkpoint.preset
        frame = FrameGrid(prepared.plan.fps, preset.chunk).to_frames(self.fork_at)
        if frame > prepared.plan.frames:
            raise UsageError(f"--fork-at {self.fork_at}: the film is over by then")
        return sum(chunk.start + chunk.frames <= frame for chunk in prepared.plan.chunks)


def _chunks(count: int) -> str:
    return f"{count} chunk{'s' if count > 1 else ''}"


def count_resumable_frames(
    sink: Sink, film: VideoInfo, past: SavedChunks, prepared: PreparedVideo, display: Display
) -> int:
    """How many of the film's first frames every output has from an earlier run; a word on those that have none.

    They must show chunks that are taken up; the last frame is always written anew, so that something is.
    """
    made = sum(control.frames for control in prepared.controls[: past.chunks]) - prepared.first
    shown = prepared.plan.frames - prepared.first
    limit = min(made, shown - 1)
    if limit <= 0:
        return 0
    there = sink.resumable_frames(film, limit)
    for name, frames in there.items():
        if not frames:
            display.note(f"{name} cannot be gone on with and is encoded again from its first frame")
    return min(there.values(), default=limit)
