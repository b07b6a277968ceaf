"""A renderer that can be killed: feeds one sink with counted frames, chunk by chunk, and says how far it is.

Run as `python -m tests.sinks.feeder TARGET WIDTH HEIGHT CHUNKS`; prints the encoder's process id, then the
number of frames after every chunk.
"""

import os
import sys
import time
from fractions import Fraction

import numpy as np

from lingbot_cli.sinks.base import FilmInfo
from lingbot_cli.sinks.choose import OutputOptions, choose_sink

CHUNK = 12
REST = 0.12


def frames(first: int, count: int, height: int, width: int) -> np.ndarray:
    """Frames [T, H, W, 3] whose number can be read from their brightness."""
    rows = np.arange(height)[:, None] + np.arange(width)[None]
    shades = (rows[None] + 3 * (first + np.arange(count))[:, None, None]) % 256
    return np.repeat(shades.astype(np.uint8)[..., None], 3, axis=3)


def main() -> None:
    """Feed, and finish if nobody kills us."""
    target, width, height, chunks = sys.argv[1], *map(int, sys.argv[2:])
    sink = choose_sink(target, OutputOptions(), os.environ)
    sink.open(FilmInfo(height, width, Fraction(16), CHUNK * chunks, metadata={"comment": "fed"}))
    print(sink.encoder._child.pid, flush=True)
    for chunk in range(chunks):
        sink.write(frames(chunk * CHUNK, CHUNK, height, width))
        print((chunk + 1) * CHUNK, flush=True)
        time.sleep(REST)
    sink.close()
    print("closed", flush=True)


if __name__ == "__main__":
    main()
