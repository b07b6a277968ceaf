"""Where a film that was broken off can be gone on with."""

import re
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

_CORRUPT_FLAG = 2  # ffmpeg's mark of a packet that the end of the file cut short


@dataclass(frozen=True)
class CutPoint:
    """After the first `frames` frames of the file `left`: each of them is whole, and none shown later precedes them.

    `end`: when the first packet that is left out would be decoded, in seconds of the file's own clock.
    `delay`: how many frames decoding is ahead of showing.
    """

    left: Path
    frames: int
    end: Fraction = Fraction(0)
    delay: int = 0


@dataclass(frozen=True)
class Packet:
    """When a frame is decoded and shown, in seconds, and whether all of it is there."""

    decoded: Fraction
    shown: Fraction
    whole: bool


def read_packets(ffmpeg: str, path: Path) -> list[Packet]:
    """The packets of a film as far as it can be read, in the order of decoding; nothing is decoded."""
    asked = [ffmpeg, "-v", "quiet", "-copyts", "-i", f"file:{path.absolute()}", "-map", "0:v", "-c", "copy"]
    said = subprocess.run(
        [*asked, "-f", "framecrc", "-"], capture_output=True, text=True, stdin=subprocess.DEVNULL
    ).stdout
    base = re.search(r"^#tb 0: (\d+/\d+)$", said, re.M)
    if base is None:
        return []
    tick = Fraction(base[1])
    return [_packet(line, tick) for line in said.splitlines() if not line.startswith("#")]


def _packet(line: str, tick: Fraction) -> Packet:
    # stream, decoding time, showing time, duration, bytes, checksum, and flags where they are unusual
    fields = [field.strip() for field in line.split(",")]
    flags = next((int(field[2:], 16) for field in fields[6:] if field.startswith("F=")), 0)
    return Packet(int(fields[1]) * tick, int(fields[2]) * tick, not flags & _CORRUPT_FLAG)


def find_cut_point(left: Path, packets: list[Packet], fps: Fraction, limit: int) -> CutPoint | None:
    """The last place to cut a film within its first `limit` frames; None when there is none.

    A place is good when the packets before it are exactly the frames before it, so that nothing waits for a
    frame that comes later. The very last packet is left out: reading beyond it may meet a torn end.
    """
    best, latest = 0, -1
    first = min((packet.shown for packet in packets), default=Fraction(0))
    for count, packet in enumerate(packets[:-1], start=1):
        if not packet.whole or count > limit:
            break
        latest = max(latest, round((packet.shown - first) * fps))
        if latest == count - 1:
            best = count
    if not best:
        return None
    delay = round((packets[0].shown - packets[0].decoded) * fps)
    return CutPoint(left, best, packets[best].decoded, delay)
