"""What a client is told about a chunk once it is out."""

from dataclasses import dataclass
from typing import Any

from lingbot_cli.server.frames import FrameMessages
from lingbot_cli.server.play_session import ChunkOutput


@dataclass(frozen=True)
class DeliveryTimes:
    """Seconds: when delivery began, when messages were built and sent, and how long was waited between."""

    began: float
    built: float
    waited: float
    sent: float


def chunk_stats(
    request_id: str, made: ChunkOutput, messages: FrameMessages, times: DeliveryTimes
) -> dict[str, Any]:
    """The `chunk_stats` message. Ours: `event_ids`, all the events this chunk has applied, and its last `pose`."""
    written = times.sent - times.built - times.waited
    raw = messages.content_type == "application/x-raw-rgb"
    told = made.told

    def ms(seconds: float) -> float:
        return round(1000 * seconds, 3)

    return {
        "type": "chunk_stats",
        "request_id": request_id,
        "chunk_index": made.index,
        "event_id": told.event_ids[-1] if told.event_ids else None,
        "event_ids": list(told.event_ids),
        "pose": told.control.poses[-1].ravel().tolist(),
        "prompt": told.control.prompt,
        "request_prepare_ms": 0.0,
        "scheduler_forward_ms": ms(made.seconds),
        "pace_wait_ms": ms(times.waited),
        "header_write_ms": 0.0,
        "raw_payload_build_ms": ms(times.built - times.began),
        "raw_write_ms": ms(written) if raw else 0.0,
        "ws_write_ms": ms(written),
        "chunk_total_ms": ms(made.seconds + times.sent - times.began),
        "num_batches": messages.batches,
        "num_frames": len(made.frames),
        "raw_bytes": messages.raw_bytes,
        "ws_payload_bytes": messages.payload_bytes,
        "content_type": messages.content_type,
    }
