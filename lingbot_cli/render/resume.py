"""Resume options of a render: reuse of saved chunks, forking, and saving of new chunks."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from lingbot_cli.errors import UsageError
from lingbot_cli.render.chunk_plan import NO_SAVED_CHUNKS, SavedChunks
from lingbot_cli.render.fingerprint import chunk_fingerprints, render_fingerprint
from lingbot_cli.render.pipeline import RenderedChunk
from lingbot_cli.render.request import PreparedVideo
from lingbot_cli.render.resume_store import ResumeStore
from lingbot_cli.sinks.base import Sink, VideoInfo
from lingbot_cli.timeline.chunks import FrameGrid
from lingbot_cli.timeline.times import Time
from lingbot_cli.ui.display import Display


@dataclass(frozen=True)
class ResumeOptions:
    """A video's store of saved chunks, and its use.

    `resume`: continue from the saved chunks; "fast" rebuilds the KV cache approximately. `fork_at`: time from
    which the timeline may differ from the saved run's. `keep_latents`: keep the store of a complete video, to fork
    it later. `overwrite`: the chunks of an interrupted run may be discarded.
    """

    store: ResumeStore
    resume: Literal["exact", "fast"] | None = None
    fork_at: Time | None = None
    keep_latents: bool = False
    overwrite: bool = False

    @property
    def resuming(self) -> bool:
        """True when saved chunks are to be reused."""
        return self.resume is not None or self.fork_at is not None

    def preflight(self, prepared: PreparedVideo) -> None:
        """Refuse to discard an interrupted run (UsageError), and a disk too small (OutputError).

        A fast resume is refused where keys and values are those of the last step: without the chunks before, the
        chunks in the window cannot be denoised again.
        """
        if self.resume == "fast" and prepared.request.options.commit == "last-step":
            raise UsageError(
                "--resume fast cannot be used with --commit last-step",
                hint="use --resume, which denoises every saved chunk of the scene again",
            )
        saved, plan = self.store.count_chunks(), prepared.plan
        latents = sum(len(control.poses) for control in prepared.controls[saved:])
        self.store.check_space(latents * plan.height * plan.width)  # 16 channels of 4 bytes per 8×8 pixels
        if saved and not (self.overwrite or self.resuming):
            raise UsageError(
                f"{self.store.folder}: {saved} chunk{'s' * (saved > 1)} of an interrupted render",
                hint="use --resume to continue it, or --overwrite to start over",
            )

    def load_saved(self, prepared: PreparedVideo, display: Display) -> SavedChunks:
        """Return the chunks of earlier runs that this one reuses. Errors: UsageError for other settings."""
        if not self.resuming:
            return NO_SAVED_CHUNKS
        fingerprint, chunks = render_fingerprint(prepared), chunk_fingerprints(prepared)
        saved = self.store.load(fingerprint, chunks, fork=self._fork_chunk(prepared))
        if saved is None:
            return NO_SAVED_CHUNKS
        display.note(f"resuming after {saved.chunks} of {len(prepared.controls)} chunks of an earlier run")
        saved = replace(saved, fast=self.resume == "fast")
        if saved.fast and saved.chunks < len(prepared.controls):
            display.warning(
                "--resume fast: the KV cache is rebuilt approximately; later frames are not bit-equal"
            )
        return saved

    def chunk_saver(self, prepared: PreparedVideo) -> Callable[[RenderedChunk], None]:
        """Return a function that saves a generated chunk."""
        fingerprints = chunk_fingerprints(prepared)
        return lambda chunk: self.store.save_chunk(chunk.index, chunk.latents, fingerprints[chunk.index])

    def _fork_chunk(self, prepared: PreparedVideo) -> int | None:
        if self.fork_at is None:
            return None
        plan = prepared.plan
        frame = FrameGrid(plan.fps, prepared.model.preset.chunk).to_frames(self.fork_at)
        if frame > plan.frames:
            raise UsageError(f"--fork-at {self.fork_at}: the video ends before")
        return sum(chunk.start + chunk.frames <= frame for chunk in plan.chunks)


def count_resumable_frames(
    sink: Sink, video: VideoInfo, saved: SavedChunks, prepared: PreparedVideo, display: Display
) -> int:
    """Return the number of first frames that every output has from an earlier run.

    They must belong to saved chunks; the last frame is always written again, so that each output gets one.
    """
    frames = sum(control.frames for control in prepared.controls[: saved.chunks]) - prepared.first_frame
    limit = min(frames, prepared.frames - 1)
    if limit <= 0:
        return 0
    resumable = sink.resumable_frames(video, limit)
    for name, count in resumable.items():
        if not count:
            display.note(f"{name} cannot be resumed and is encoded again from its first frame")
    return min(resumable.values(), default=limit)
