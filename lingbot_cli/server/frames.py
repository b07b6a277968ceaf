"""Frame messages of a chunk, raw or encoded, and the chunk_stats message that follows them."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from lingbot_cli.server.client_events import OutputChange
from lingbot_cli.server.client_messages import FrameEncoding
from lingbot_cli.server.play_session import ChunkOutput
from lingbot_cli.server.protocol import pack

RAW_FRAMES_PER_MESSAGE = 16
ENCODED_FRAMES_PER_MESSAGE = 6
DEFAULT_QUALITY: dict[str, int] = {"jpeg": 95, "webp": 90}
CONTENT_TYPES: dict[str, str] = {"raw": "application/x-raw-rgb", "jpeg": "image/jpeg", "webp": "image/webp"}


@dataclass(frozen=True)
class FrameFormat:
    """Encoding of the frames: `max_width` 0 keeps their size, `quality` None takes the encoding's default."""

    encoding: FrameEncoding = "raw"
    max_width: int = 0
    quality: int | None = None

    def changed(self, output: OutputChange) -> "FrameFormat":
        """Apply an `output` event."""
        return FrameFormat(
            output.format or self.encoding,
            self.max_width if output.max_width is None else output.max_width,
            output.quality or self.quality,
        )


@dataclass(frozen=True)
class FrameMessages:
    """WebSocket messages of one chunk, in order; each group is sent without a break. Sizes in bytes."""

    groups: tuple[tuple[bytes, ...], ...]
    batches: int
    raw_bytes: int
    payload_bytes: int
    content_type: str


def frame_messages(
    frames: np.ndarray,
    frame_format: FrameFormat,
    *,
    request_id: str,
    chunk_index: int,
    event_id: int | None,
    **extra: float,
) -> FrameMessages:
    """Pack frames [T, H, W, 3] uint8 into messages; `extra` fields are added to every batch."""
    encoding = frame_format.encoding
    size = RAW_FRAMES_PER_MESSAGE if encoding == "raw" else ENCODED_FRAMES_PER_MESSAGE
    batches = [frames[start : start + size] for start in range(0, len(frames), size)]
    groups: list[tuple[bytes, ...]] = []
    payload_bytes = 0
    for index, batch in enumerate(batches):
        payload, fields = _encode_batch(batch, frame_format)
        payload_bytes += len(payload)
        header: dict[str, Any] = {
            "type": "frame_batch",
            "request_id": request_id,
            "chunk_index": chunk_index,
            "content_type": CONTENT_TYPES[encoding],
            "num_frames": len(batch),
            "total_size": len(payload),
            "channels": 3,
            **fields,
            "event_id": event_id,
            "frame_batch_index": index,
            "num_frame_batches": len(batches),
            "is_final_frame_batch": index == len(batches) - 1,
            **extra,
        }
        groups.append(_batch_messages(header, payload))
    return FrameMessages(tuple(groups), len(batches), frames.nbytes, payload_bytes, CONTENT_TYPES[encoding])


def _batch_messages(header: dict[str, Any], payload: bytes) -> tuple[bytes, ...]:
    """Pack a batch: raw payloads as a header and a bare binary message, encoded ones in one map."""
    if header["encoding"] == "raw":
        return pack(header), payload
    return (pack({**header, "payload": payload}),)


def _encode_batch(frames: np.ndarray, frame_format: FrameFormat) -> tuple[bytes, dict[str, Any]]:
    """Return a batch's payload and the header fields that describe it."""
    count, height, width, channels = frames.shape
    encoding = {"encoding": frame_format.encoding, "raw_size": frames.nbytes}
    if frame_format.encoding == "raw":
        shape = {"width": width, "height": height, "bytes_per_frame": height * width * channels}
        lengths = [height * width * channels] * count
        return frames.tobytes(), {"format": "rgb24", **shape, **encoding, "payload_lengths": lengths}
    preview = preview_size(height, width, frame_format.max_width)
    encoded = list(_encode(frames, frame_format, preview))
    shape = {
        "width": preview[1],
        "height": preview[0],
        "preview_width": preview[1],
        "preview_height": preview[0],
        "source_width": width,
        "source_height": height,
        "bytes_per_frame": max(map(len, encoded)),
    }
    lengths = [len(image) for image in encoded]
    return b"".join(encoded), {
        "format": frame_format.encoding,
        **shape,
        **encoding,
        "payload_lengths": lengths,
    }


def _encode(frames: np.ndarray, frame_format: FrameFormat, size: tuple[int, int]) -> Iterator[bytes]:
    quality = frame_format.quality or DEFAULT_QUALITY[frame_format.encoding]
    options: dict[str, Any] = {"subsampling": 0} if frame_format.encoding == "jpeg" else {"method": 0}
    for frame in frames:
        image = Image.fromarray(frame)
        if size != frame.shape[:2]:
            image = image.resize((size[1], size[0]), Image.Resampling.BICUBIC)
        buffer = io.BytesIO()
        image.save(buffer, frame_format.encoding, quality=quality, **options)
        yield buffer.getvalue()


def preview_size(height: int, width: int, max_width: int) -> tuple[int, int]:
    """Return the height and width of a frame at most `max_width` wide; 0 is no limit."""
    if not 0 < max_width < width:
        return height, width
    return max(1, round(height * max_width / width)), max_width


@dataclass(frozen=True)
class SendTimes:
    """Times in seconds: start of packing, start of sending, pause for pacing, end of sending."""

    start: float
    packed: float
    paced_s: float
    sent: float


def chunk_stats(
    request_id: str, chunk: ChunkOutput, messages: FrameMessages, times: SendTimes
) -> dict[str, Any]:
    """Return the `chunk_stats` message.

    Additions to the published protocol: `event_ids`, all events applied to the chunk, its last `pose` and
    its `prompt`.
    """
    write_s = times.sent - times.packed - times.paced_s
    raw = messages.content_type == CONTENT_TYPES["raw"]
    event_ids, control = chunk.input.event_ids, chunk.input.control

    def ms(seconds: float) -> float:
        return round(1000 * seconds, 3)

    return {
        "type": "chunk_stats",
        "request_id": request_id,
        "chunk_index": chunk.index,
        "event_id": event_ids[-1] if event_ids else None,
        "event_ids": list(event_ids),
        "pose": control.poses[-1].ravel().tolist(),
        "prompt": control.prompt,
        "request_prepare_ms": 0.0,
        "scheduler_forward_ms": ms(chunk.render_s),
        "pace_wait_ms": ms(times.paced_s),
        "header_write_ms": 0.0,
        "raw_payload_build_ms": ms(times.packed - times.start),
        "raw_write_ms": ms(write_s) if raw else 0.0,
        "ws_write_ms": ms(write_s),
        "chunk_total_ms": ms(chunk.render_s + times.sent - times.start),
        "num_batches": messages.batches,
        "num_frames": len(chunk.frames),
        "raw_bytes": messages.raw_bytes,
        "ws_payload_bytes": messages.payload_bytes,
        "content_type": messages.content_type,
    }
