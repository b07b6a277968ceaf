"""A chunk's frames as the messages that carry them."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from lingbot_cli.server.client_events import OutputChange
from lingbot_cli.server.messages import FrameEncoding
from lingbot_cli.server.protocol import pack

RAW_FRAMES_PER_MESSAGE = 16  # a message
ENCODED_FRAMES_PER_MESSAGE = 6
DEFAULT_QUALITY: dict[str, int] = {"jpeg": 95, "webp": 90}
CONTENT_TYPES: dict[str, str] = {"raw": "application/x-raw-rgb", "jpeg": "image/jpeg", "webp": "image/webp"}


@dataclass(frozen=True)
class FrameFormat:
    """How frames travel: `max_width` 0 leaves their size, `quality` None the format's own."""

    format: FrameEncoding = "raw"
    max_width: int = 0
    quality: int | None = None

    def changed(self, output: OutputChange) -> "FrameFormat":
        """With what an `output` event says."""
        said = {name: value for name, value in output.model_dump().items() if value is not None}
        return replace(self, **said)


@dataclass(frozen=True)
class FrameMessages:
    """The WebSocket messages of one chunk in order, those that belong together as one; sizes in bytes."""

    parts: tuple[tuple[bytes, ...], ...]
    batches: int
    raw_bytes: int
    payload_bytes: int
    content_type: str


def frame_messages(
    frames: np.ndarray,
    form: FrameFormat,
    *,
    request_id: str,
    chunk_index: int,
    event_id: int | None,
    **more: float,
) -> FrameMessages:
    """Frames [T, H, W, 3] uint8 as messages: raw ones as a header and a bare binary, encoded ones in the map.

    `more` is said with every batch.
    """
    size = RAW_FRAMES_PER_MESSAGE if form.format == "raw" else ENCODED_FRAMES_PER_MESSAGE
    pieces = [frames[start : start + size] for start in range(0, len(frames), size)]
    parts: list[tuple[bytes, ...]] = []
    payload_bytes = 0
    for index, piece in enumerate(pieces):
        carried, facts = _payload(piece, form)
        payload_bytes += len(carried)
        header: dict[str, Any] = {
            "type": "frame_batch",
            "request_id": request_id,
            "chunk_index": chunk_index,
            "content_type": CONTENT_TYPES[form.format],
            "num_frames": len(piece),
            "total_size": len(carried),
            "channels": 3,
            **facts,
            "event_id": event_id,
            "frame_batch_index": index,
            "num_frame_batches": len(pieces),
            "is_final_frame_batch": index == len(pieces) - 1,
            **more,
        }
        if form.format == "raw":
            parts.append((pack(header), carried))
        else:
            parts.append((pack({**header, "payload": carried}),))
    return FrameMessages(tuple(parts), len(pieces), frames.nbytes, payload_bytes, CONTENT_TYPES[form.format])


def _payload(frames: np.ndarray, form: FrameFormat) -> tuple[bytes, dict[str, Any]]:
    count, height, width, channels = frames.shape
    facts: dict[str, Any] = {"encoding": form.format, "raw_size": frames.nbytes}
    if form.format == "raw":
        shape = {"width": width, "height": height, "bytes_per_frame": height * width * channels}
        lengths = [height * width * channels] * count
        return frames.tobytes(), {"format": "rgb24", **shape, **facts, "payload_lengths": lengths}
    smaller = preview_size(height, width, form.max_width)
    encoded = list(_encode(frames, form, smaller))
    shape = {
        "width": smaller[1],
        "height": smaller[0],
        "preview_width": smaller[1],
        "preview_height": smaller[0],
        "source_width": width,
        "source_height": height,
        "bytes_per_frame": max(map(len, encoded)),
    }
    lengths = [len(one) for one in encoded]
    return b"".join(encoded), {"format": form.format, **shape, **facts, "payload_lengths": lengths}


def _encode(frames: np.ndarray, form: FrameFormat, size: tuple[int, int]) -> Iterator[bytes]:
    quality = form.quality or DEFAULT_QUALITY[form.format]
    options: dict[str, Any] = {"subsampling": 0} if form.format == "jpeg" else {"method": 0}
    for frame in frames:
        image = Image.fromarray(frame)
        if size != frame.shape[:2]:
            image = image.resize((size[1], size[0]), Image.Resampling.BICUBIC)
        buffer = io.BytesIO()
        image.save(buffer, form.format, quality=quality, **options)
        yield buffer.getvalue()


def preview_size(height: int, width: int, max_width: int) -> tuple[int, int]:
    """Height and width of a frame that may be `max_width` wide; 0 means as wide as it is."""
    if not 0 < max_width < width:
        return height, width
    return max(1, round(height * max_width / width)), max_width
