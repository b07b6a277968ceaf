"""How fast a sink is by itself."""

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from lingbot_cli.sinks.base import Sink, VideoInfo

SINK_FRAMES = 144


def sink_fps(sink: Sink, clock: Callable[[], float]) -> float:
    """The frames a second that a sink takes when nothing else runs: a picture that pans, 832×480."""
    height, width, chunk = 480, 832, 12
    across = np.arange(2 * width) * 255 // (2 * width)
    down = np.sin(np.arange(height) / 9) * 60
    picture = np.stack(
        [across + down[:, None], across * 0 + 128 + down[:, None], 255 - across - down[:, None]], -1
    )
    picture = picture.clip(0, 255).astype(np.uint8)
    sink.open(VideoInfo(height, width, Fraction(16), SINK_FRAMES))
    began = clock()
    for first in range(0, SINK_FRAMES, chunk):
        sink.write(
            np.stack([picture[:, pan : pan + width] for pan in range(3 * first, 3 * (first + chunk), 3)])
        )
    sink.close()
    return SINK_FRAMES / (clock() - began)
