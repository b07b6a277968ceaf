"""Some frames of a film, the very ones that the whole film shows."""

import re
from dataclasses import replace

from lingbot_cli.errors import UsageError
from lingbot_cli.render.request import PreparedVideo

_RANGE = re.compile(r"(\d{0,7}):(\d{0,7})", re.ASCII)


def select_frames(prepared: PreparedVideo, frames: str) -> PreparedVideo:
    """A film of the frames `A:B`, from A to before B; either may be left out. UsageError when there are none.

    What comes before is made too, for a world remembers, but only decoded as far back as the decoder sees.
    """
    found = _RANGE.fullmatch(frames)
    if found is None:
        raise UsageError(f"--frames {frames}: not a range", hint="write A:B, for example 0:48 or 480:")
    whole = prepared.plan.frames
    first, end = int(found[1] or 0), int(found[2] or whole)
    if not first < end <= whole:
        raise UsageError(
            f"--frames {frames}: the film has frames 0 to {whole}", hint="write A:B with A before B"
        )
    count = sum(chunk.start < end for chunk in prepared.plan.chunks)
    chunks, controls = list(prepared.plan.chunks[:count]), list(prepared.controls[:count])
    shown = end - chunks[-1].start
    chunks[-1], controls[-1] = replace(chunks[-1], frames=shown), replace(controls[-1], frames=shown)
    plan = replace(prepared.plan, frames=end, chunks=tuple(chunks))
    return replace(prepared, plan=plan, controls=tuple(controls), first=first)
