"""A track told chunk by chunk: what a session is given, one Control after the other."""

from collections.abc import Iterator

from lingbot_cli.control import Control
from lingbot_cli.timeline.chunks import FrameChunk
from lingbot_cli.timeline.compile import CompiledTimeline


def iter_controls(track: CompiledTimeline) -> Iterator[Control]:
    """Every chunk's Control, in order; their `frames` add up to the film exactly."""
    before = None
    for chunk in track.chunks:
        yield chunk_control(track, chunk, before)
        before = chunk


def chunk_control(track: CompiledTimeline, chunk: FrameChunk, before: FrameChunk | None) -> Control:
    """What is told to one chunk, given the one before it.

    A prompt, an action or a cut said at a frame counts from the first chunk that begins at it or later.
    """
    rows = [frame - track.first_frame for frame in chunk.latent_frames]
    since = before.start if before is not None else -1
    fresh = [p for p in track.prompts if since < p.start <= chunk.start]
    return Control(
        poses=track.poses[rows],
        intrinsics=track.intrinsics[rows],
        actions=track.actions[rows],
        prompt=_prompt_with_actions(track, chunk, since),
        frames=min(chunk.frames, track.frames - chunk.start),
        recache=before is not None and any(p.recache for p in fresh),
        cut=track.cuts[chunk.cut][1] if chunk.cut is not None else None,
    )


def _prompt_with_actions(track: CompiledTimeline, chunk: FrameChunk, since: int) -> str:
    """The standing prompt, then the actions of the moment; each lasts one chunk at least."""
    texts = [track.prompt_at(chunk.start)]
    for action in track.action_texts:
        if action.start <= chunk.start and (chunk.start < action.end or action.start > since):
            texts.append(action.text)
    return " ".join(t if t[-1] in ".!?…" or t is texts[-1] else t + "." for t in texts if t)
