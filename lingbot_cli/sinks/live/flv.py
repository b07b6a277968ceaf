"""FLV as ffmpeg writes it to a pipe, read tag by tag."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

AUDIO, VIDEO, DATA = 8, 9, 18
_HEADER = 9 + 4  # the file's header and the size of no tag before it
_AAC, _KEYFRAME = 10, 1


@dataclass(frozen=True)
class FlvTag:
    """One tag: `kind` 8 audio, 9 video, 18 data; `time` in milliseconds."""

    kind: int
    time: int
    body: bytes

    @property
    def is_settings(self) -> bool:
        """Whether it says how the others are to be read."""
        if self.kind == DATA:
            return True
        coded = self.kind == VIDEO or self.body[0] >> 4 == _AAC
        return coded and self.body[1] == 0

    @property
    def is_picture(self) -> bool:
        """Whether it is a frame."""
        return self.kind == VIDEO and self.body[1] == 1

    @property
    def is_keyframe(self) -> bool:
        """Whether it is a frame that needs no other."""
        return self.is_picture and self.body[0] >> 4 == _KEYFRAME


def read_flv_tags(stream: BinaryIO) -> Iterator[FlvTag]:
    """The tags of a stream until it ends; a last one that is not whole is left out."""
    stream.read(_HEADER)
    while len(head := stream.read(11)) == 11:
        size = int.from_bytes(head[1:4], "big")
        body = stream.read(size)
        if len(stream.read(4)) < 4:
            return
        if len(body) > 1:
            yield FlvTag(head[0] & 31, int.from_bytes(head[7:8] + head[4:7], "big"), body)
