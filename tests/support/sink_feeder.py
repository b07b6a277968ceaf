"""A renderer that can be killed: writes numbered frames into one sink, chunk by chunk, and prints its progress.

Run as `python -m tests.support.sink_feeder TARGET WIDTH HEIGHT CHUNKS [RESUME_DIR]`; with a resume folder it
resumes an earlier run. Prints the encoder's process id, then the number of frames after every chunk.
"""

import os
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from lingbot_cli.sinks.base import Chapter, VideoInfo
from lingbot_cli.sinks.factory import OutputOptions, choose_sink

CHUNK = 12
REST = 0.12


def frames(first: int, count: int, height: int, width: int) -> np.ndarray:
    """Return frames [T, H, W, 3] whose brightness encodes their number."""
    rows = np.arange(height)[:, None] + np.arange(width)[None]
    shades = (rows[None] + 3 * (first + np.arange(count))[:, None, None]) % 256
    return np.repeat(shades.astype(np.uint8)[..., None], 3, axis=3)


def main() -> None:
    """Write all frames, unless killed."""
    target, width, height, chunks = sys.argv[1], *map(int, sys.argv[2:5])
    resume_dir = Path(sys.argv[5]) if len(sys.argv) > 5 else None
    total = CHUNK * chunks
    video = VideoInfo(height, width, Fraction(16), total, (Chapter(30, "half"),), {"comment": "fed"})
    sink = choose_sink(target, OutputOptions(resume_dir=resume_dir), os.environ)
    existing = 0 if resume_dir is None else sink.resumable_frames(video, total - 1)[target]
    sink.open(replace(video, start_frame=existing))
    encoder = sink.encoder
    print(getattr(encoder, "_concat", encoder)._child.pid, flush=True)
    done = existing
    while done < total:
        more = min(CHUNK, total - done)
        sink.write(frames(done, more, height, width))
        done += more
        print(done, flush=True)
        time.sleep(REST)
    sink.close()
    print("closed", flush=True)


if __name__ == "__main__":
    main()
