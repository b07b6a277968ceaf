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
SPLIT_BYTES = 65_536  # payloads of this size and more follow their header as a message of their own
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
    """WebSocket messages of one chunk, in order; each group is sent without a break. Sizes in bytes.

    `raw_bytes` counts the frames before encoding, `payload_bytes` all messages.
    """

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
    for index, batch in enumerate(batches):
        payload, fields = _encode_batch(batch, frame_format)
        header: dict[str, Any] = {
            "request_id": request_id,
            "chunk_index": chunk_index,
            "content_type": CONTENT_TYPES[encoding],
            "num_frames": len(batch),
            "total_size": len(payload),
            "channels": 3,
            **fields,
            **({} if event_id is None else {"event_id": event_id}),
            "frame_batch_index": index,
            "num_frame_batches": len(batches),
            "is_final_frame_batch": index == len(batches) - 1,
            **extra,
        }
        groups.append(_batch_messages(header, payload))
    payload_bytes = sum(len(message) for group in groups for message in group)
    return FrameMessages(tuple(groups), len(batches), frames.nbytes, payload_bytes, CONTENT_TYPES[encoding])


def _batch_messages(header: dict[str, Any], payload: bytes) -> tuple[bytes, ...]:
    """Pack a batch: small payloads in one map, larger ones as a header and a bare binary message."""
    if len(payload) >= SPLIT_BYTES:
        return pack({"type": "frame_batch_header", **header}), payload
    return (pack({"type": "frame_batch", **header, "payload": payload}),)


def _encode_batch(frames: np.ndarray, frame_format: FrameFormat) -> tuple[bytes, dict[str, Any]]:
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
    """Seconds that sending a chunk took: packing, pause for pacing, headers, payloads."""

    pack_s: float
    pace_s: float
    header_s: float
    payload_s: float

    @property
    def total_s(self) -> float:
        return self.pack_s + self.pace_s + self.header_s + self.payload_s


def chunk_stats(
    session_id: str, request_id: str, chunk: ChunkOutput, messages: FrameMessages, times: SendTimes
) -> dict[str, Any]:
    """Return the published `chunk_stats` message; times are whole milliseconds."""

    def ms(seconds: float) -> int:
        return max(0, int(1000 * seconds + 0.5))

    return {
        "type": "chunk_stats",
        "session_id": session_id,
        "request_id": request_id,
        "chunk_index": chunk.index,
        "event_id": chunk.input.event_id,
        "request_prepare_ms": ms(chunk.prepare_s),
        "scheduler_forward_ms": ms(chunk.render_s),
        "pace_wait_ms": ms(times.pace_s),
        "header_write_ms": ms(times.header_s),
        "raw_payload_build_ms": ms(times.pack_s),
        "raw_write_ms": ms(times.payload_s),
        "ws_write_ms": ms(times.header_s + times.payload_s),
        "chunk_total_ms": ms(chunk.prepare_s + chunk.render_s + times.total_s),
        "num_batches": messages.batches,
        "num_frames": len(chunk.frames),
        "raw_bytes": messages.raw_bytes,
        "ws_payload_bytes": messages.payload_bytes,
        "content_type": messages.content_type,
    }


def chunk_stats_extension(chunk: ChunkOutput) -> dict[str, Any]:
    """Return our additions to `chunk_stats`: all events applied to the chunk, its last pose and its prompt."""
    control = chunk.input.control
    return {
        "event_ids": list(chunk.input.event_ids),
        "pose": control.poses[-1].ravel().tolist(),
        "prompt": control.prompt,
    }


def chunk_log_line(stats: dict[str, Any]) -> str:
    """Return the line that `serve --log-chunks` writes: ids, milliseconds by step, frames and bytes."""
    keys = (
        "session_id chunk_index event_id request_prepare_ms scheduler_forward_ms pace_wait_ms raw_payload_build_ms "
        "header_write_ms raw_write_ms ws_write_ms chunk_total_ms num_batches num_frames raw_bytes ws_payload_bytes"
    )
    return "chunk: " + " ".join(f"{key}={stats[key]}" for key in [*keys.split(), "content_type"])
